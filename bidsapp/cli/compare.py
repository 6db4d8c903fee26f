"""``centipet-compare A.tsv B.tsv``: agreement of two pipelines or two versions."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bidsapp.cli.command import Parser, run_command
from bidsapp.cli.convert import add_equation_options
from bidsapp.errors import CannotCreateError, ExitCode, UsageError
from bidsapp.options.checks import finite


def main(argv: Sequence[str] | None = None) -> int:
    """Compare two tables; return 0 whenever they could be compared."""
    return run_command("centipet-compare", lambda: _run(command_line().parse_args(argv)))


def command_line() -> argparse.ArgumentParser:
    """Parser of ``centipet-compare``."""
    parser = Parser(
        prog="centipet-compare",
        description="Agreement of two tables of the same scans (group_centiloid.tsv, or any TSV "
        "or CSV with participant_id and centiloid or suvr_wc): slope, intercept, R2, bias, limits "
        "of agreement, changes of class, plots. With --equation, SUVRs of another pipeline "
        "in B.tsv become Centiloids first.",
    )
    parser.add_argument("first", type=Path, metavar="A.tsv", help="the older, or the standard")
    parser.add_argument("second", type=Path, metavar="B.tsv", help="what is compared with it")
    parser.add_argument(
        "-o", "--output-dir", type=Path, metavar="DIR", default=Path("centipet-comparison"),
        help="JSON and plots (default: ./centipet-comparison)",
    )  # fmt: skip
    parser.add_argument(
        "--cutoff", nargs="+", type=finite, metavar="CL",
        help="count changes of class at these (default: those of the literature)",
    )  # fmt: skip
    parser.add_argument(
        "--regression", choices=["ordinary", "deming"], default="ordinary",
        help="least squares, or error in both (default: ordinary)",
    )  # fmt: skip
    add_equation_options(parser)
    return parser


def _run(options: argparse.Namespace) -> int:
    from bidsapp.calibrate.compare import compare, content, plots, usual_cutoffs, words
    from bidsapp.calibrate.fit import regression
    from bidsapp.io.atomic import write_json

    cutoffs = usual_cutoffs() if options.cutoff is None else options.cutoff
    if options.column and not options.equation:
        raise UsageError("--column goes with --equation")
    agreement = compare(
        options.first,
        options.second,
        cutoffs,
        regression(options.regression),
        equations=options.equation,
        column=options.column,
    )
    folder = options.output_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotCreateError(
            f"{folder}: cannot be made ({error.strerror}); choose another --output-dir"
        ) from error
    report = content(agreement, options.regression)
    print(words(agreement))
    for path in (write_json(folder / "comparison.json", report), *plots(agreement, folder)):
        print(path)
    return ExitCode.OK

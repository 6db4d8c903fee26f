"""``centipet-compare A.tsv B.tsv``: agreement of two pipelines or two versions."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from bidsapp.cli.command import made_folder, parse_and_run
from bidsapp.errors import ExitCode, UsageError


def main(argv: Sequence[str] | None = None) -> int:
    """Compare two tables; return 0 whenever they could be compared.

    Parameters
    ----------
    argv : arguments after the command; None takes those of the process

    Returns
    -------
    int
    """
    return parse_and_run("compare", _run, argv)


def _run(options: argparse.Namespace) -> int:
    from bidsapp.calibrate.compare import compare, content, plots, usual_cutoffs, words
    from bidsapp.calibrate.fit import regression
    from bidsapp.io.atomic import write_json

    cutoffs = usual_cutoffs() if options.cutoff is None else options.cutoff
    if options.column and not options.equation:
        raise UsageError("--column needs --equation")
    agreement = compare(
        options.first,
        options.second,
        cutoffs,
        regression(options.regression),
        equations=options.equation,
        column=options.column,
    )
    folder = made_folder(options.output_dir, "--output-dir")
    report = content(agreement, options.regression)
    print(words(agreement))
    for path in (write_json(folder / "comparison.json", report), *plots(agreement, folder)):
        print(path)
    return ExitCode.OK

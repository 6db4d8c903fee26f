"""Everything that is compared with the standard pipeline, in one go: docs/validation.md's tables.

    python tests/benchmarks/validation.py DATA HEADS WORK [--docs docs] [--with-t1w-only]

``DATA`` is the development data, ``HEADS`` the BIDS dataset of its synthetic whole heads. What ran
before is read from ``WORK``, so that a run that was stopped goes on; on two idle cores all of it
takes half an hour. Four things are measured, each in its own folder of ``WORK``:

normalisation  the T1w alone: the PET read where it is known to lie (`normalisation.py`)
chain          the whole chain, from BIDS to the group table
rescue         the same without the T1w (``--pet-only``)
real           the scan of a person, which has no T1w

Whole and stripped heads are those with even numbers: the others made the priors. With ``--docs``
the tables go between the marks of ``validation.md`` and the plots (whole-cerebellum reference,
Centiloid of the PiB scale) into ``validation/`` beside it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from agreement import PIB_SCALE, read
from pet_only import Reference

from bidsapp.calibrate.figures import Paired, agreement_plot, regression_plot
from bidsapp.core.grid.alignment import displacement
from bidsapp.core.statistics.regression import agreement, ordinary
from bidsapp.data import vois

HERE = Path(__file__).parent
REGION_NAMES = {
    "wc": "whole cerebellum",
    "cg": "cerebellar grey",
    "wcb": "with brainstem",
    "pons": "pons",
}
DOUBTFUL = "sub-04"  # its reference is in doubt: ../shared/data/README.md
MARKS = "<!-- made by tests/benchmarks/validation.py -->", "<!-- end -->"


def even(names: Iterable[str]) -> list[str]:
    """Those with an even number."""
    return sorted(n for n in names if int("".join(c for c in n if c.isdigit())) % 2 == 0)


def run(*command: str | Path) -> None:
    """Run a program of this environment; it may end with an error, which its tables then tell."""
    print("+", *command, flush=True)
    subprocess.run([sys.executable, *map(str, command)], check=False)


def normalisation(data: Path, heads: Path, work: Path) -> dict[str, pd.DataFrame]:
    """Centiloids (columns ``wc``, ``standard_wc`` ...) of the T1w way alone, by set."""
    found = {}
    for name, half in (("whole", "even"), ("stripped", "even"), ("bids", None)):
        table = work / f"normalisation_{name}.tsv"
        if not table.exists():
            part = ["--half", half] if half else []
            run(HERE / "normalisation.py", data, "--heads", heads, "--set", name, *part,
                "--checks", "-o", table)  # fmt: skip
        rows = pd.read_csv(table, sep="\t").set_index("name").drop(DOUBTFUL, errors="ignore")
        for region in PIB_SCALE:  # the table holds differences
            rows[region] += rows[f"standard_{region}"]
        label = {"bids": "development"}.get(name, f"{name}, even")
        found[label] = rows
    return found


def chain(bids: Path, reference: Path, out: Path, names: list[str], *options: str) -> pd.DataFrame:
    """The same columns from derivatives, made if they are not there; flags in column ``flags``."""
    labels = [name.removeprefix("sub-") for name in names]
    if not (out / "group_centiloid.tsv").exists():
        work = out.with_name("work")
        run("-m", "bidsapp", bids, out, "participant", "-w", work, *options,
            "--participant-label", *labels)  # fmt: skip
        run("-m", "bidsapp", bids, out, "group")
    ours, standard = read(out, reference)
    rows = pd.DataFrame(index=ours.index)
    for region, (slope, intercept) in PIB_SCALE.items():
        rows[region] = slope * ours[f"suvr_{region}"] + intercept
        rows[f"standard_{region}"] = slope * standard[f"suvr_{region}"] + intercept
    rows["sd"] = np.hypot(np.hypot(ours["sd_pipeline"], ours["sd_pipeline_bias"]), ours["sd_noise"])
    rows["flags"] = ours["flags"]
    return rows.drop(DOUBTFUL, errors="ignore")


def positions(out: Path, known: Reference, names: Iterable[str]) -> pd.Series:
    """Mean distance (mm) of the PET from where it is known to lie, over cortex and cerebellum."""
    masks = vois(2)
    found = {}
    for name in names:
        (path,) = out.glob(f"{name}/**/*_from-T1w_to-pet_mode-image_xfm.json")
        field = known.field(name)  # in PET world, by the known displacement
        true = np.array(known.rigid[name])
        back = np.linalg.inv(true)
        points = np.concatenate([field[masks["ctx"]], field[masks["wc"]]])
        points = points @ back[:3, :3].T + back[:3, 3]
        found[name] = displacement(np.array(json.loads(path.read_text())["T1wToPet"]), true, points)
    return pd.Series(found)


def table(sets: dict[str, pd.DataFrame]) -> list[str]:
    """Rows of Markdown: how each set agrees with the standard, by reference region."""
    lines = [
        "| scans | region | n | slope | R2 | bias | SD | mean absolute difference | largest |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, rows in sets.items():
        for number, (region, words) in enumerate(REGION_NAMES.items()):
            both = rows[[f"standard_{region}", region]].dropna().to_numpy(float).T
            line, limits = ordinary(*both), agreement(*both)
            apart = np.abs(both[1] - both[0])
            lines.append(
                f"| {'' if number else name} | {words} | {limits.n} | {line.slope:.3f} "
                f"| {line.r2:.4f} | {limits.bias:+.2f} | {limits.sd:.2f} | {apart.mean():.2f} "
                f"| {apart.max():.2f} |"
            )
    return lines


def plots(folder: Path, stem: str, rows: pd.DataFrame) -> list[str]:
    """Scatter and Bland-Altman plot of the whole cerebellum; Markdown that shows them."""
    standard, ours = rows[["standard_wc", "wc"]].dropna().to_numpy(float).T
    names = "standard pipeline (CL)", "CentiPET (CL)"
    regressed = Paired(standard, ours, *names)
    compared = Paired(standard, ours, "mean of both (CL)", "CentiPET - standard (CL)")
    line, limits = ordinary(standard, ours), agreement(standard, ours)
    paths = (
        regression_plot(folder / f"{stem}_regression.svg", regressed, line),
        agreement_plot(folder / f"{stem}_agreement.svg", compared, limits),
    )
    return [f"![{path.stem.replace('_', ' ')}]({folder.name}/{path.name})" for path in paths]


def flagged(rows: pd.DataFrame) -> str:
    """Who is flagged, and how many have no number."""
    codes = rows["flags"].fillna("").astype(str)
    noted = [f"{name} ({flags})" for name, flags in codes.items() if flags not in ("", "n/a")]
    without = list(rows.index[rows["wc"].isna()])
    return f"Flags: {'; '.join(noted) or 'none'}. Without a number: {', '.join(without) or 'none'}."


def held(rows: pd.DataFrame) -> str:
    """How often the interval that image and pipeline account for holds the standard's value."""
    known = rows.dropna(subset=["wc", "sd"])
    inside = (known["wc"] - known["standard_wc"]).abs() <= 1.96 * known["sd"]
    return (
        f"The 95 % interval of pipeline and noise holds the standard's Centiloid in "
        f"{inside.sum()} of {len(known)}."
    )


def real(data: Path, work: Path) -> str:
    """What the scan of a person gives without a T1w."""
    out = work / "real"
    if not (out / "group_centiloid.tsv").exists():
        run("-m", "bidsapp", data / "real" / "mended", out, "participant", "--pet-only",
            "-w", work / "work")  # fmt: skip
        run("-m", "bidsapp", data / "real" / "mended", out, "group")
    row = pd.read_csv(out / "group_centiloid.tsv", sep="\t").iloc[0]
    return f"One real florbetapir scan (about 2 CL by another program): {row['centiloid']} CL."


def main() -> None:
    """Measure what is missing, print the tables, write them where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("heads", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--docs", type=Path)
    parser.add_argument("--with-t1w-only", action="store_true", help="without rescue and real")
    options = parser.parse_args()
    data, heads, work = options.data, options.heads, options.work
    work.mkdir(parents=True, exist_ok=True)
    by_set = {
        "whole, even": Reference.of(data, heads),
        "development": Reference.of(data, None),
    }
    names = {
        "whole, even": even(json.loads((data / "heads" / "truth.json").read_text())),
        "development": sorted(by_set["development"].rigid),
    }
    own = {label: data / ("heads" if "whole" in label else "") / "reference.tsv" for label in names}
    alone = normalisation(data, heads, work)
    whole_chain, without_t1w, lines = {}, {}, []
    for label, known in by_set.items():
        stem = label.split(",")[0]
        out = work / f"chain_{stem}"
        whole_chain[label] = chain(known.bids, own[label], out, names[label])
        if not options.with_t1w_only:
            without_t1w[label] = chain(
                known.bids, own[label], work / f"rescue_{stem}", names[label], "--pet-only"
            )
        apart = positions(out, known, whole_chain[label].index)
        lines.append(f"| {label} | {len(apart)} | {apart.mean():.2f} | {apart.max():.2f} |")
    text = [
        "## Normalisation alone",
        "The PET is read where it is known to lie, through both deformations.",
        "\n".join(table(alone)),
        "## Whole chain",
        "From BIDS to the group table; the standard has the known position of the PET.",
        "\n".join(table(whole_chain)),
        *(f"{k.capitalize()}. {held(v)} {flagged(v)}" for k, v in whole_chain.items()),
        "## Position of the PET",
        "Mean over cortical target and whole cerebellum, mm.",
        "\n".join(["| scans | n | mean | largest |", "|---|---|---|---|", *lines]),
    ]
    if not options.with_t1w_only:
        text += [
            "## PET without T1w",
            "`--pet-only`, against the standard normalisation of the T1w.",
            "\n".join(table(without_t1w)),
            *(f"{k.capitalize()}. {held(v)} {flagged(v)}" for k, v in without_t1w.items()),
            real(data, work),
        ]
    print("\n\n".join(text))
    if options.docs:
        folder = options.docs / "validation"
        folder.mkdir(exist_ok=True)
        shown = [plots(folder, f"normalisation_{k.split(',')[0]}", v) for k, v in alone.items()]
        shown += [plots(folder, f"chain_{k.split(',')[0]}", v) for k, v in whole_chain.items()]
        text += ["## Plots", *("\n".join(pair) for pair in shown)]
        page = options.docs / "validation.md"
        before, _, rest = page.read_text().partition(MARKS[0])
        _, _, after = rest.partition(MARKS[1])
        page.write_text(before + "\n\n".join([MARKS[0], *text, MARKS[1]]) + after)


if __name__ == "__main__":
    main()

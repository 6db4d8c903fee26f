"""How well regional means agree between MNI and the native spaces: numbers of docs/atlases.md.

    centipet BIDS OUT participant --atlas AAL3 DesikanKilliany --output-spaces T1w pet
    python tests/benchmarks/spaces.py OUT

Prints, per atlas, space and size of the regions, the median and the largest difference of the means
over all scans, in percent of the mean in MNI, and the region that has it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

SIZES_ML = (10, 20, 50)


def differences(out: Path, space: str) -> pd.DataFrame:
    """Rows scan, atlas, region, volume on the template (ml), difference (percent)."""
    tables = []
    for native in sorted(out.glob(f"sub-*/**/*_space-{space}_atlas-*_vois.tsv")):
        template = native.with_name(native.name.replace(f"_space-{space}", ""))
        one, other = (pd.read_csv(path, sep="\t", na_values="n/a") for path in (template, native))
        scan, _, atlas = template.name.removesuffix("_vois.tsv").rpartition("_atlas-")
        change = 100 * (other["mean"] / one["mean"] - 1)
        tables.append(one[["name", "volume_ml"]].assign(scan=scan, atlas=atlas, change=change))
    return pd.concat(tables) if tables else pd.DataFrame()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="derivatives with tables in several spaces")
    out = parser.parse_args().out
    for space in ("T1w", "pet"):
        found = differences(out, space)
        for atlas, rows in found.groupby("atlas") if len(found) else ():
            for size in SIZES_ML:
                large = rows[(rows.volume_ml >= size) & rows.change.notna()].reset_index(drop=True)
                if large.empty:
                    continue
                worst = large.loc[large.change.abs().idxmax()]
                print(
                    f"{space:4}{atlas:18}{size:4} ml and more: {large.scan.nunique()} scans, "
                    f"median {large.change.abs().median():.2f} %, largest {worst.change:+.2f} % "
                    f"({worst['name']} of {worst.scan})"
                )


if __name__ == "__main__":
    main()

"""From two files to a Centiloid, in Python.

The phantom of ``centipet-demo`` has 60 CL. Its PET and T1w are written as plain NIfTI without
sidecars; `quantify` gives the same results as ``centipet quantify``, to the last bit.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bidsapp import quantify
from bidsapp.cli.demo import phantom_of
from bidsapp.data.tracers import tracers
from bidsapp.io.nifti import load_volume, save_volume
from bidsapp.report.pictures import mni_brain_layout, suvr_over_anatomy


def main(out: Path) -> Path:
    """Quantify the phantom and draw its SUVR on the template."""
    phantom = phantom_of(60.0, tracers()["FBB"])
    with tempfile.TemporaryDirectory() as folder:
        pet = save_volume(Path(folder, "pet.nii.gz"), phantom.pet)
        t1w = save_volume(Path(folder, "t1w.nii.gz"), phantom.t1w)
        found = quantify(
            pet, t1w, tracer="FBB", window=(90, 110), histograms=0.1,
            output_dir=Path(folder, "out"), work_dir=Path(folder, "work"),
        )  # fmt: skip
        assert found.rescan_interval is not None
        low, high = found.rescan_interval
        print(f"{found.centiloid:.1f} CL, scanned again {low:.1f} to {high:.1f}; truth 60.0 CL")
        print("flags:", ", ".join(flag.code for flag in found.flags))
        regions = {row["name"]: row["suvr_wc"] for row in found.regions["DesikanKilliany"]}
        print(f"SUVR of both frontal lobes: {float(regions['frontal']):.2f}")
        suvr = load_volume(found.images["suvr_wc"])
        head = load_volume(found.images["t1w_mni"])
        figure = suvr_over_anatomy(suvr, head, mni_brain_layout(), "FBB")
    return figure.save(out / "quantify_phantom.svg")


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if sys.argv[1:] else ".")))

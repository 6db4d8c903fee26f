"""Make the atlases of ``resources/``, as a part of `tools.build`.

Every atlas of ``atlases.toml`` is carried from the space it is drawn in to where the standard
pipeline puts that template's tissue on the GAAIN 2 mm grid (``sources/tpl-*``): images normalised
by this app lie there. A label that ends on the other side of the brain than its name says, or that
loses all its voxels, stops the build.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from bidsapp.core.grid.sampling import nearest
from bidsapp.core.grid.volume import Volume
from bidsapp.core.regions.regions import Regions
from bidsapp.data import RESOURCES, mni_grid, read_table, resource_path
from bidsapp.data.label_table import Region
from bidsapp.io.atomic import write_text
from bidsapp.settings import TEMPLATE_SPACE

if TYPE_CHECKING:
    from tools.build import Wheels

Labels = NDArray[np.int16]

SOURCES = Path(__file__).parent / "sources"

# Steps of the stored map to another template, in voxels of 2 mm: good to 0.14 mm (measured).
LATTICE_STEP = 4
_MIDLINE_MM = 4.0  # names of regions whose centre lies nearer may be of either side

_FREESURFER = re.compile(r"(?:ctx[-_](lh|rh)[-_]|(Left|Right)-)?(.*)")
# No tissue, or not a region of its own.
_LEFT_OUT = re.compile(
    r".*((?i:unknown)|CSF|vessel|choroid-plexus|hypointensities|Optic-Chiasm|Inf-Lat-Vent|"
    r"[34](rd|th)-Ventricle|Medial_wall)"
)
_CENTILOID = {
    "ctx": "Cortical target",
    "wc": "Whole cerebellum",
    "cg": "Cerebellar grey matter",
    "wcb": "Whole cerebellum and brainstem",
    "pons": "Pons",
}


def build_atlases(wheels: Wheels) -> None:
    """Write the image and the label table of every atlas, and the map to the other template.

    Parameters
    ----------
    wheels : where the sources are
    """
    atlases = read_table("atlases")
    lobes = tomllib.loads((SOURCES / "lobes.toml").read_text("utf-8"))
    field = template_field("MNI152NLin2009cAsym")
    _write_lattice(field - mni_grid(2).world())
    desikan: tuple[Labels, list[Region]] | None = None
    for name, atlas in atlases.items():
        if "image" not in atlas:
            continue
        image = wheels.image(atlas["package"], atlas["image"])
        text = wheels.read(atlas["package"], atlas["table"]).decode("utf-8")
        rows = _rows(name, text, lobes)
        labels = carried(image, template_field(atlas["space"]), [row.index for row in rows])
        if name == "DesikanKilliany":
            desikan = labels, rows
        if desikan and name.startswith("Schaefer"):
            rows = _lobes_by_overlap(labels, rows, *desikan)
        _check(name, labels, rows)
        _write_atlas(name, labels, rows)
    centiloid = [
        Region(i, n, "B", "n/a", t) for i, (n, t) in enumerate(_CENTILOID.items(), start=1)
    ]
    _write_table("Centiloid", centiloid)


def carried(image: Volume, field: NDArray[np.float64], values: Iterable[int]) -> Labels:
    """Labels at the points of a field, the commonest of eight points in each voxel.

    Parameters
    ----------
    image : label image
    field : ndarray, shape (X, Y, Z, 3), world coordinate in ``image`` of each voxel, mm
    values : labels to keep

    Returns
    -------
    ndarray, shape (X, Y, Z), int16
        A label that is nowhere the commonest gets the voxels where most of its points are.
    """
    kept = np.isin(image.data, list(values))
    source = Volume(np.where(kept, image.data, 0).astype(np.int16), image.affine)
    step = np.stack([np.gradient(field, axis=axis) for axis in range(3)], axis=-2) / 4
    corners = [
        nearest(source, field + np.einsum("...ij,i->...j", step, np.array([x, y, z], float)))
        for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)
    ]  # fmt: skip
    votes = np.stack([sum((corner == other) for other in corners) for corner in corners])
    best = np.argmax(votes, axis=0)
    labels: Labels = np.take_along_axis(np.stack(corners), best[None], axis=0)[0]
    for value in np.setdiff1d(np.array(list(values)), labels):
        share = sum((corner == value).astype(int) for corner in corners)
        if share.max() > 0:
            labels[share == share.max()] = value
    return labels


def _rows(name: str, text: str, lobes: Mapping[str, Any]) -> list[Region]:
    """Label table of a package in our columns."""
    patterns = lobes.get(name, {})
    if name in ("DesikanKilliany", "Destrieux"):
        table = [(int(row["index"]), row["name"]) for row in csv.DictReader(io.StringIO(text))]
        return [
            _freesurfer_row(index, full, patterns)
            for index, full in table
            if not _LEFT_OUT.fullmatch(full)
        ]
    rows = []
    for row in csv.DictReader(io.StringIO(text), delimiter=";"):
        label, full = row["ROIabbr"], row["ROIname"]
        side = {"l": "L", "r": "R"}[label[0]] if label[0] in "lr" else "B"
        bare = label if side == "B" else label[1:]
        full = full.removeprefix("17Networks_")
        lobe = _lobe(bare, patterns) if patterns else "n/a"
        rows.append(Region(int(row["ROIid"]), label, side, lobe, full))
    return rows


def _freesurfer_row(index: int, full: str, patterns: Mapping[str, list[str]]) -> Region:
    cortex, deep, bare = _FREESURFER.fullmatch(full).groups()  # type: ignore[union-attr]
    side = {"lh": "L", "rh": "R", "Left": "L", "Right": "R", None: "B"}[cortex or deep]
    return Region(index, full, side, _lobe(bare, patterns), f"{bare} {side}".removesuffix(" B"))


def _lobe(name: str, patterns: Mapping[str, list[str]]) -> str:
    matching = [
        lobe for lobe, names in patterns.items() if any(re.fullmatch(p, name) for p in names)
    ]
    if not matching:
        raise SystemExit(f"lobes.toml has no lobe for {name}")
    return matching[0]


def _lobes_by_overlap(
    labels: Labels, rows: list[Region], desikan: Labels, desikan_rows: list[Region]
) -> list[Region]:
    """Lobe of each parcel: the cortical one of Desikan-Killiany with most of its voxels."""
    cortical = [row for row in desikan_rows if row.name.startswith("ctx")]
    lobe_of = {row.index: row.lobe for row in cortical}
    with_lobes = []
    for row in rows:
        inside = desikan[labels == row.index]
        counts: dict[str, int] = {}
        for value, count in zip(*np.unique(inside, return_counts=True), strict=True):
            if (lobe := lobe_of.get(int(value))) is not None:
                counts[lobe] = counts.get(lobe, 0) + int(count)
        with_lobes.append(replace(row, lobe=max(counts, key=lambda lobe: counts[lobe])))
    return with_lobes


def _check(name: str, labels: Labels, rows: list[Region]) -> None:
    """Stop when a region is empty or lies on the other side than its name says."""
    x = mni_grid(2).world()[..., 0].reshape(-1)
    regions = Regions.from_labels(labels, [row.index for row in rows])
    for position, row in enumerate(rows):
        voxels = regions.of(position)
        if voxels.size == 0:
            raise SystemExit(f"{name}: {row.name} has no voxel on the 2 mm grid")
        centre = float(x[voxels].mean())
        if (row.hemisphere == "L" and centre > 0) or (row.hemisphere == "R" and centre < 0):
            raise SystemExit(f"{name}: {row.name} lies at x = {centre:.1f} mm")
        if row.hemisphere == "B" and abs(centre) > _MIDLINE_MM:
            raise SystemExit(f"{name}: {row.name} has no side but lies at x = {centre:.1f} mm")


def _write_atlas(name: str, labels: Labels, rows: list[Region]) -> None:
    image = nib.Nifti1Image(labels, mni_grid(2).affine)
    image.set_sform(image.affine, code=4)  # MNI152
    image.set_qform(image.affine, code=4)
    path = resource_path(f"atlas-{name}_dseg", 2)
    write_image(path, image)
    _write_table(name, rows)


def _write_table(name: str, rows: list[Region]) -> None:
    lines = ["\t".join(Region.__dataclass_fields__)]
    lines += ["\t".join(map(str, asdict(row).values())) for row in rows]
    path = RESOURCES / f"tpl-{TEMPLATE_SPACE}_atlas-{name}_dseg.tsv"
    write_text(path, "\n".join(lines) + "\n")


def _write_lattice(displacement: NDArray[np.float64]) -> None:
    """Store a smooth displacement (mm) on every `LATTICE_STEP`-th voxel, to 0.01 mm."""
    coarse = displacement[::LATTICE_STEP, ::LATTICE_STEP, ::LATTICE_STEP]
    affine = mni_grid(2).affine @ np.diag([LATTICE_STEP] * 3 + [1])
    image = nib.Nifti1Image(np.round(coarse * 100).astype(np.int16), affine)
    path = resource_path("to-MNI152NLin2009cAsym_xfm", 2 * LATTICE_STEP)
    write_image(path, image)


def write_image(path: Path, image: nib.Nifti1Image) -> None:
    """Write an image with its header as it is, the same bytes whenever it is written.

    Parameters
    ----------
    path : ending in ``.nii.gz``
    image : with all that its header shall say
    """
    path.write_bytes(gzip.compress(image.to_bytes(), 9, mtime=0))


def template_field(space: str) -> NDArray[np.float64]:
    """World coordinate in a template (RAS mm) of each voxel of the GAAIN grid, (91, 109, 91, 3).

    Parameters
    ----------
    space : of the template

    Returns
    -------
    ndarray, shape (91, 109, 91, 3)
        RAS, mm.
    """
    path = SOURCES / f"tpl-{space}_from-MNI_to-tpl.nii.gz"
    return np.asarray(nib.Nifti1Image.from_filename(path).get_fdata())

"""Atlases: those of the package by name, and those that a user gives as files.

Every atlas ends as `Regions` with a row per region, whatever it came as: on the GAAIN 2 mm grid, or
for a parcellation of one participant on its own grid in the space of the T1w. An atlas of all that
comes from a file is checked before anything is computed with it: each refusal is a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bidsapp.core.grid.alignment import inverse, transform
from bidsapp.core.grid.sampling import interpolate, nearest
from bidsapp.core.grid.volume import Grid, Volume, mask_box
from bidsapp.core.regions.atlas_checks import Anatomy, mirrored, outside_brain, shifted
from bidsapp.core.regions.regions import Regions, eroded_regions, spread
from bidsapp.data import (
    RESOURCES,
    TARGET,
    VOI_NAMES,
    mni_grid,
    priors,
    read_table,
    resource_path,
    template_mask,
    vois,
)
from bidsapp.data.freesurfer import freesurfer_rows
from bidsapp.data.label_table import Region, read_label_table, side_of
from bidsapp.data.sentences import refused, worded
from bidsapp.errors import BadDataError, UsageError
from bidsapp.io.hashes import remembered_hash
from bidsapp.io.nifti import load_labels, load_volume, named_space, read_frames, read_shape
from bidsapp.plain import some
from bidsapp.settings import TEMPLATE_SPACE, AtlasChoice, AtlasFile, ParcellationChoice, Processing

__all__ = [
    "SPACES", "Atlas", "Region", "atlas", "atlas_names", "nearest_regions", "points_in",
    "sides_of", "uptake_regions",
]  # fmt: skip

OTHER_SPACE = "MNI152NLin2009cAsym"
SPACES = (TEMPLATE_SPACE, OTHER_SPACE)
OWN_SPACE = "T1w"  # of a parcellation of one participant
CENTILOID = "Centiloid"
ANATOMY = "DesikanKilliany"

_MOST_LABELS = 10_000
_WHOLE = 1e-3  # how far a label may be from a whole number
_NEAR_MIDLINE_MM = 4.0
_FREESURFER = (".mgz", ".mgh")
_LATTICE = "to-MNI152NLin2009cAsym_xfm"


@dataclass(frozen=True, eq=False)
class Atlas:
    """Regions of one grid, in a fixed order.

    Attributes
    ----------
    name : label of the BIDS entity ``atlas``
    title : for people
    rows : one per region
    regions : the voxels of these regions
    composites : regions made of several rows: name -> positions in ``rows``
    notes : what was assumed or mended when it was read, in sentences
    grid : of the regions, in the space of a T1w; None for ``mni_grid(2)``
    source : file of a participant, and what it holds; None for an atlas of all
    erode_mm : margin of every region, and of every composite, that is not measured
    """

    name: str
    title: str
    rows: tuple[Region, ...]
    regions: Regions
    composites: dict[str, tuple[int, ...]]
    notes: tuple[str, ...] = ()
    grid: Grid | None = None
    source: dict[str, str] | None = None
    erode_mm: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the regions and, after them, of the composites."""
        return (*(row.name for row in self.rows), *self.composites)

    @property
    def indices(self) -> tuple[int | None, ...]:
        """Label of each of `names`; composites have none."""
        return (*(row.index for row in self.rows), *[None] * len(self.composites))

    @property
    def labels(self) -> NDArray[np.int32]:
        """Label image on ``mni_grid(2)``; where regions overlap, that of the later row."""
        return self.regions.labelled([row.index for row in self.rows])

    @cached_property
    def measured(self) -> Regions:
        """Regions in the order of ``names``, without their margins where these are left out."""
        alone = [(position,) for position in range(len(self.rows))]
        whole = self.regions.combined([*alone, *self.composites.values()])
        if self.erode_mm is None:
            return whole
        return eroded_regions(whole, self.grid or mni_grid(2), self.erode_mm)

    @property
    def drawn(self) -> Regions:
        """Regions of ``rows`` as they are measured."""
        if self.erode_mm is None:
            return self.regions
        return self.measured.combined([(position,) for position in range(len(self.rows))])

    def positions(self, labels: Sequence[str]) -> tuple[int, ...]:
        """Rows of names, indices, ranges of indices (``3-7``) or composites.

        Parameters
        ----------
        labels : names, indices, ranges or composites

        Returns
        -------
        tuple of int
            Places in ``rows``, each once.

        Raises
        ------
        UsageError
            The atlas has no such region.
        """
        by_name = {row.name: [place] for place, row in enumerate(self.rows)}
        by_name |= {name: list(places) for name, places in self.composites.items()}
        by_index = {row.index: place for place, row in enumerate(self.rows)}
        places: list[int] = []
        for label in labels:
            span = re.fullmatch(r"(\d+)(?:-(\d+))?", label)
            if label in by_name:
                places += by_name[label]
            elif span and (
                inside := [
                    place
                    for index, place in by_index.items()
                    if int(span[1]) <= index <= int(span[2] or span[1])
                ]
            ):
                places += inside
            else:
                known = some(by_name, 6)
                raise UsageError(f"atlas {self.name} has no region {label!r}; it has {known}")
        return tuple(dict.fromkeys(places))


def atlas_names() -> tuple[str, ...]:
    """Names of the atlases in the package.

    Returns
    -------
    tuple of str
    """
    return tuple(read_table("atlases"))


def atlas(choice: AtlasChoice | str) -> Atlas:
    """Return an atlas of the package by its name, or one from a file.

    Parameters
    ----------
    choice : name of an atlas of the package, or a file with its table

    Returns
    -------
    Atlas

    Raises
    ------
    UsageError
        The package has no such atlas.
    NoInputError, BadDataError
        The image or the table of a user cannot be used; the sentence says why.
    """
    if isinstance(choice, str):
        choice = AtlasChoice(choice)
    in_own_space = isinstance(choice, AtlasFile) and choice.space == OWN_SPACE
    return (_own_atlas if in_own_space else _atlas)(choice)


@lru_cache
def uptake_regions() -> dict[str, NDArray[np.bool_]]:
    """Regions where tissue has its own level of uptake, on ``mni_grid(2)``.

    ``ctx``, the cortical target, and ``cbl``, the whole cerebellum: everything nearer to it than
    to any other region of an anatomical atlas. The Centiloid's ``wc`` is not that: it leaves out
    the upper third of the cerebellum, the neighbour of the occipital and temporal cortex, which
    would be taken for cortex with a load like theirs.

    Returns
    -------
    dict of ndarray, shape (91, 109, 91), bool
    """
    whole = atlas(ANATOMY)
    rows = whole.composites["cerebellum"]
    cerebellum = np.isin(whole.labels, [whole.rows[row].index for row in rows])
    far, near = (
        ndimage.distance_transform_edt(~part)
        for part in ((whole.labels > 0) & ~cerebellum, cerebellum)
    )
    regions = {TARGET: vois(2)[TARGET], "cbl": np.asarray(near < far)}
    for region in regions.values():
        region.setflags(write=False)
    return regions


@lru_cache
def nearest_regions() -> Volume:
    """Which anatomical region of grey matter is nearest to every voxel of ``mni_grid(2)``.

    Returns
    -------
    Volume
        Numbers from 1; both sides of a region have the same, so has the whole cerebellum.
    """
    whole = atlas(ANATOMY)
    numbers: dict[str, int] = {}
    number_of = np.zeros(max(row.index for row in whole.rows) + 1, np.int16)
    for row in whole.rows:
        if row.lobe not in ("white", "ventricle"):
            name = row.lobe if row.lobe == "cerebellum" else re.sub(r" [LR]$", "", row.description)
            number_of[row.index] = numbers.setdefault(name, len(numbers) + 1)
    nearest_number = spread(number_of[whole.labels], mni_grid(2).voxel_size)
    nearest_number.setflags(write=False)
    return Volume(nearest_number, mni_grid(2).affine)


def _read_atlas(choice: AtlasChoice) -> Atlas:
    if isinstance(choice, AtlasFile):
        return _from_file(choice)
    if choice.name not in atlas_names():
        known = ", ".join(atlas_names())
        raise UsageError(worded("atlas", "unknown", choice=choice, known=known))
    return _from_package(choice.name)


_atlas = lru_cache(_read_atlas)
_own_atlas = lru_cache(maxsize=4)(_read_atlas)  # a scan has few, and they are large


def _from_package(name: str) -> Atlas:
    table = read_label_table(RESOURCES / f"tpl-{TEMPLATE_SPACE}_atlas-{name}_dseg.tsv")
    if name == CENTILOID:
        regions = Regions.from_masks([vois(2)[voi] for voi in VOI_NAMES])
    else:
        image = load_volume(resource_path(f"atlas-{name}_dseg", 2), dtype=np.int16)
        regions = Regions.from_labels(image.data, [row.index for row in table.labelled])
    title = read_table("atlases")[name]["title"]
    return Atlas(name, title, table.labelled, regions, _composites(name, table.labelled))


def _composites(name: str, rows: Sequence[Region]) -> dict[str, tuple[int, ...]]:
    """Composites of the table, then the lobes: both sides, left, right."""
    groups: dict[str, tuple[int, ...]] = {}
    for composite, entry in read_table("composites").get(name, {}).items():
        pattern = re.compile("|".join(f"(?:{name})" for name in entry["names"]))
        within = [p for p, row in enumerate(rows) if pattern.fullmatch(row.name)]
        groups |= (
            _sides(composite, within, rows) if entry.get("sides") else {composite: tuple(within)}
        )
    names = {row.name for row in rows}
    for lobe in dict.fromkeys(row.lobe for row in rows if row.lobe != "n/a"):
        sides = _sides(lobe, [p for p, row in enumerate(rows) if row.lobe == lobe], rows)
        groups |= {name: chosen for name, chosen in sides.items() if chosen and name not in names}
    return groups


def _sides(name: str, places: Sequence[int], rows: Sequence[Region]) -> dict[str, tuple[int, ...]]:
    """A composite of both sides, of the left and of the right."""
    of = {side: tuple(p for p in places if rows[p].hemisphere == side) for side in "LR"}
    return {name: tuple(places), **{f"{name}_{side}": chosen for side, chosen in of.items()}}


# ------------------------------------------------------------------------ atlases from files


def _from_file(choice: AtlasFile) -> Atlas:
    path, (space, notes) = choice.image, _space(choice)
    table = choice.table or _beside(path)
    if path.suffix not in _FREESURFER and len(read_shape(path)) == 4:
        maps: Iterator[Volume] = read_frames(path)
    else:
        image = _checked(load_labels(path), path)
        maps = iter([image])
        share = _share_of_fractions(image.data)
        if share == 0 or image.data.max() > 1:
            return _place(_labels(image, choice, table, space, share), choice, notes)
    return _place(_probabilities(maps, path, table, space), choice, notes)


@dataclass(frozen=True)
class _Read:
    """What an image of a user holds: ``filled`` is its foreground on its own grid."""

    regions: Regions
    rows: tuple[Region, ...]
    filled: Volume
    notes: tuple[str, ...]


def _place(read: _Read, choice: AtlasFile, notes: tuple[str, ...]) -> Atlas:
    """Atlas of what was read, if it lies where it should."""
    path, notes, grid, source = choice.image, (*notes, *read.notes), None, None
    title, like = path.name, choice.name
    if choice.space == OWN_SPACE:
        grid, source = read.filled.grid, {"Name": path.name, "SHA256": remembered_hash(path)}
        if choice.program is not None:
            about = read_table("parcellations")[choice.program][choice.name]
            title, like = about["title"], about["composites"]
    else:
        _check_place(read, path)
    composites = _composites(like, read.rows)
    placed = Atlas(
        choice.name,
        title,
        read.rows,
        read.regions,
        composites,
        notes,
        grid,
        source,
        choice.erode_mm,
    )
    return placed if choice.erode_mm is None else replace(placed, notes=(*notes, *_erosion(placed)))


def _erosion(eroded: Atlas) -> Iterator[str]:
    """Remarks about excluded margins."""
    yield f"{eroded.name}: measured {eroded.erode_mm:g} mm inside the border of every region"
    sizes = (np.diff(regions.starts) for regions in (eroded.regions, eroded.drawn))
    counts = zip(eroded.rows, *sizes, strict=True)
    if gone := [row.name for row, before, after in counts if before and not after]:
        names = some(gone, 8, "others")
        yield f"{eroded.name}: erode={eroded.erode_mm:g} leaves nothing of {names}"


def _space(choice: AtlasFile) -> tuple[str, tuple[str, ...]]:
    """Space that the option or the name of the file states, and what was assumed."""
    path, space = choice.image, choice.space or named_space(choice.image)
    if space is None:
        return TEMPLATE_SPACE, (worded("atlas", "no-space", path=path, space=TEMPLATE_SPACE),)
    if space not in (*SPACES, choice.space and OWN_SPACE):
        raise refused("atlas", "space", path=path, space=space, spaces=SPACES, own=OWN_SPACE)
    return space, ()


def _checked(image: Volume, path: Path) -> Volume:
    """The image with 0 for NaN; refused when it holds negative values."""
    values = np.nan_to_num(image.data)
    if values.min() < -_WHOLE:
        raise refused("atlas", "negative", path=path)
    return Volume(values, image.affine)


def _share_of_fractions(values: NDArray[np.floating]) -> float:
    """Part of the non-zero voxels that hold another than a whole number."""
    inside = values[values != 0]
    return float((np.abs(inside - np.rint(inside)) > _WHOLE).mean()) if inside.size else 0.0


def _labels(
    image: Volume, choice: AtlasFile, table: Path | None, space: str, fractions: float
) -> _Read:
    path = choice.image
    if fractions:
        raise refused("atlas", "interpolated", path=path, share=fractions)
    labels = Volume(np.rint(image.data).astype(np.int64), image.affine)
    present = np.unique(labels.data[labels.data > 0])
    if present.size == 0:
        raise refused("atlas", "empty", path=path)
    if present.size > _MOST_LABELS or present[-1] >= 2**31:
        raise refused("atlas", "no-labels", path=path, n=present.size)
    named = choice.program is not None
    rows = freesurfer_rows(present.tolist()) if named else _rows(path, table, present)
    carried = labels.data if space == OWN_SPACE else nearest(labels, points_in(space))
    regions = Regions.from_labels(carried, [row.index for row in rows])
    return _Read(regions, rows, Volume(labels.data > 0, image.affine), ())


def _rows(path: Path, table: Path | None, present: NDArray[np.int64]) -> tuple[Region, ...]:
    """Rows of the label table, or names made from the labels when there is none."""
    if table is None:
        return tuple(Region(int(value), f"label-{value}") for value in present)
    read = read_label_table(table)
    listed = {row.index for row in read.rows}
    if missing := [str(value) for value in present.tolist() if value not in listed]:
        names = some(missing, 8, "others")
        raise refused("atlas", "no-row", table=table, names=names, path=path)
    labels = set(present.tolist())
    return tuple(row for row in read.labelled if not read.lookup or row.index in labels)


def _probabilities(maps: Iterable[Volume], path: Path, table: Path | None, space: str) -> _Read:
    """Probability maps, one after the other: an atlas of a hundred need not fit into memory."""
    points = None if space == OWN_SPACE else points_in(space)
    index: NDArray[np.float64] | None = None  # the maps share one grid
    carried: list[Regions] = []
    filled: Volume | None = None
    largest = 0.0
    for image in maps:
        part = _checked(image, path)
        largest = max(largest, float(part.data.max()))
        certain = part.data > 0
        filled = Volume(certain if filled is None else filled.data | certain, part.affine)
        if points is None:
            carried.append(
                _fractional(part.data.shape, np.arange(part.data.size), part.data.ravel())
            )
            continue
        index = transform(inverse(part.affine), points) if index is None else index
        carried.append(_carried_map(part.data, index))
    if filled is None or largest <= 0:
        raise refused("atlas", "empty", path=path)
    if largest > 100 + _WHOLE:
        raise refused("atlas", "no-probability", path=path, largest=largest)
    regions, notes = Regions.joined(carried), tuple[str, ...]()
    if largest > 1 + _WHOLE:
        regions, notes = regions.scaled(0.01), (f"{path.name} was read as percent",)
    return _Read(regions, _map_rows(path, table, len(carried)), filled, notes)


def _carried_map(data: NDArray[np.floating], index: NDArray[np.float64]) -> Regions:
    """One probability map at fractional voxels (X, Y, Z, 3), looked up where it is filled."""
    low, high = mask_box(data != 0)
    flat = index.reshape(-1, 3)
    near = np.flatnonzero(((flat > low - 1) & (flat < high + 1)).all(axis=1))
    values = interpolate(data.astype(np.float32), flat[near].T, beyond="constant")
    return _fractional(index.shape, near, values)


def _fractional(
    shape: Sequence[int], voxels: NDArray[np.intp], values: NDArray[np.floating]
) -> Regions:
    """One region of voxels with their membership, without those that are not part of it."""
    x, y, z = shape[:3]
    kept = values > 0
    starts = np.array([0, kept.sum()])
    return Regions((x, y, z), voxels[kept], starts, values[kept].astype(np.float64))


def _map_rows(path: Path, table: Path | None, count: int) -> tuple[Region, ...]:
    if table is None:
        return tuple(Region(n, f"map-{n}") for n in range(1, count + 1))
    read = read_label_table(table)
    rows = read.rows if len(read.rows) == count else read.labelled
    if len(rows) != count:
        raise refused("atlas", "rows", table=table, n=len(rows), n_maps=count, path=path)
    return tuple(replace(row, index=number) for number, row in enumerate(rows, start=1))


def _beside(path: Path) -> Path | None:
    """Label table with the name of the image."""
    stem = path.name.split(".", 1)[0]
    tables = [path.with_name(stem + suffix) for suffix in (".tsv", ".csv", ".txt")]
    return next((table for table in tables if table.is_file()), None)


def _check_place(read: _Read, path: Path) -> None:
    """Refuse an atlas that is outside the template's brain, shifted or mirrored."""
    grid, regions, rows = mni_grid(2), read.regions, read.rows
    tissue = priors().maps
    anatomy = Anatomy(template_mask(2).data, tissue[0], tissue[1], grid)
    labelled = np.zeros(regions.shape, bool)
    certain = regions.voxels if regions.weights is None else regions.voxels[regions.weights >= 0.25]
    labelled.reshape(-1)[certain] = True
    sides = sides_of(rows, regions, grid)
    reason = (
        outside_brain(_share_on_grid(read.filled), labelled, anatomy)
        or mirrored(labelled, sides, anatomy)
        or shifted(labelled, anatomy)
    )
    if reason:
        raise BadDataError(f"{path}: {reason}")


def sides_of(
    rows: Sequence[Region], regions: Regions, grid: Grid, middle_mm: float = 0.0
) -> list[tuple[str, float]]:
    """Side by its name, and mm to the right of the middle of the head, of regions on a side.

    Parameters
    ----------
    rows : of the atlas
    regions : their voxels, in the same order
    grid : of these
    middle_mm : x of the middle of the head, mm, RAS

    Returns
    -------
    list of (str, float)
        One for every region that has a side and does not lie in the middle.
    """
    x = grid.world()[..., 0].reshape(-1) - middle_mm
    sides = []
    for position, row in enumerate(rows):
        voxels = regions.of(position)
        centre = float(x[voxels].mean()) if voxels.size else 0.0
        side = row.hemisphere if row.hemisphere in "LR" else side_of(row.name)
        if side in ("L", "R") and abs(centre) > _NEAR_MIDLINE_MM:
            sides.append((side, centre))
    return sides


def _share_on_grid(filled: Volume) -> float:
    """Part of the voxels of a mask that lie on the grid of the template."""
    world = transform(filled.affine, np.argwhere(filled.data).astype(np.float64))
    grid = mni_grid(2)
    index = transform(inverse(grid.affine), world)
    return float(((index >= -0.5) & (index < np.array(grid.shape) - 0.5)).all(axis=1).mean())


def points_in(space: str) -> NDArray[np.float64]:
    """World coordinates in ``space`` of every voxel of ``mni_grid(2)``, mm.

    Parameters
    ----------
    space : one of `SPACES`

    Returns
    -------
    ndarray, shape (91, 109, 91, 3)
        RAS, mm.
    """
    world = mni_grid(2).world()
    if space == TEMPLATE_SPACE:
        return world
    lattice = load_volume(resource_path(_LATTICE, 8), dtype=np.float64)  # in 0.01 mm
    index = np.moveaxis(transform(inverse(lattice.affine), world), -1, 0)
    return world + interpolate(lattice.data / 100, index)


def chosen_atlases(processing: Processing) -> tuple[Atlas, ...]:
    """The atlases of a run; the Centiloid volumes are always first.

    Parcellations of the participants are among them when the plan of a scan names their images.

    Parameters
    ----------
    processing : ``atlases``, ``derivatives``

    Returns
    -------
    tuple of Atlas

    Raises
    ------
    CentipetError
        One of them cannot be used.
    """
    every = (AtlasChoice("Centiloid"), *processing.atlases, *processing.derivatives)
    made = (atlas(choice) for choice in every if not isinstance(choice, ParcellationChoice))
    return tuple({parcellation.name: parcellation for parcellation in made}.values())

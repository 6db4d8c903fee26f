"""From derivatives to pictures: which images are read, and what is said when one is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path

import numpy as np

from bidsapp.bids.derivatives import output_path
from bidsapp.bids.entities import parse_entities
from bidsapp.data import mni_grid, priors, vois
from bidsapp.errors import BadDataError, CentipetError
from bidsapp.nifti import load_volume
from bidsapp.report import pictures
from bidsapp.report.mosaic import Layout, lay_out_around
from bidsapp.report.pictures import Picture
from bidsapp.report.records import ScanRecord, Status
from bidsapp.volume import Volume


@dataclass(frozen=True)
class Problem:
    """A picture that could not be drawn, and why."""

    title: str
    sentence: str


@dataclass(frozen=True)
class _Anatomy:
    """Images of one T1w, and the cuts through its brain."""

    t1w: Volume
    white: Volume
    brain: Volume
    layout: Layout


class ScanPictures:
    """Draws the pictures of finished scans; the T1w that scans share is read once.

    Parameters
    ----------
    output_dir : root of the derivative dataset
    """

    def __init__(self, output_dir: Path) -> None:
        self._output_dir = output_dir
        # one T1w at a time: scans come sorted by session, and a T1w is some 200 MB of images
        self._anatomy = lru_cache(maxsize=1)(self._load_anatomy)

    def __call__(self, record: ScanRecord) -> tuple[Picture | Problem, ...]:
        """Pictures of a scan in the order of the page, or the problem in a picture's stead."""
        pet = cache(partial(self._load_ratio, record))

        def uptake() -> Picture:
            on = self._anatomy(_t1w_entities(record))
            return pictures.suvr_over_t1w(pet("pet_t1w"), on.t1w, on.layout, record.tracer)

        def regions() -> Picture:
            return pictures.vois_on_pet(pet("pet_mni"), _outlined_vois(), record.tracer)

        def tissue() -> Picture:
            on = self._anatomy(_t1w_entities(record))
            return pictures.tissue_on_pet(
                pet("pet_t1w"), on.white, on.brain, on.layout, record.tracer
            )

        return (
            _drawn(pictures.UPTAKE, uptake, self._output_dir),
            _drawn(pictures.REGIONS, regions, self._output_dir),
            _drawn(pictures.ALIGNMENT, tissue, self._output_dir),
        )

    def _load_ratio(self, record: ScanRecord, key: str) -> Volume:
        """Average PET over the mean uptake of the whole cerebellum, as the record has it."""
        volume = load_volume(output_path(self._output_dir, key, record.entities), ndim=3)
        mean = record.voi.get("wc", {}).get("mean")
        if not mean:
            raise BadDataError(
                f"{record.path}: has no mean uptake of the whole cerebellum (voi.wc.mean); run "
                "the participant level again"
            )
        return Volume(np.divide(volume.data, mean), volume.affine)

    def _load_anatomy(self, entities: tuple[tuple[str, str], ...]) -> _Anatomy:
        paths = {
            key: output_path(self._output_dir, key, dict(entities)) for key in ("t1w", "wm", "mask")
        }
        t1w, white, brain = (load_volume(path, ndim=3) for path in paths.values())
        if not brain.data.any():
            raise BadDataError(
                f"{paths['mask']}: the brain mask is empty; look at the T1w and run the "
                "participant level again"
            )
        return _Anatomy(t1w, white, brain, lay_out_around(brain))


def template_pictures(
    output_dir: Path, records: Iterable[ScanRecord]
) -> list[tuple[str, Picture | Problem]]:
    """Every T1w of some scans in template space, with the name of the raw image.

    A T1w whose scans all failed is shown when it got that far: it may tell why.
    """
    drawn: dict[Path, tuple[str, Picture | Problem]] = {}
    for record in records:
        path = output_path(output_dir, "t1w_mni", dict(_t1w_entities(record)))
        if path not in drawn and (record.status is Status.OK or path.exists()):
            picture = _drawn(pictures.NORMALISATION, partial(_normalisation, path), output_dir)
            drawn[path] = (Path(record.t1w_source or path).name, picture)
    return list(drawn.values())


def _normalisation(path: Path) -> Picture:
    return pictures.template_on_t1w(load_volume(path, ndim=3), priors())


@cache
def _outlined_vois() -> dict[str, Volume]:
    """Volumes of interest that are outlined: of wcb only what the cerebellum leaves of it."""
    masks = vois(2)
    shown = {**masks, "brainstem": masks["wcb"] & ~masks["wc"]}
    return {name: Volume(shown[name], mni_grid(2).affine) for name in pictures.VOI_OUTLINES}


def _t1w_entities(record: ScanRecord) -> tuple[tuple[str, str], ...]:
    """Entities of the T1w of a scan; of the scan itself when it never got one."""
    return tuple((parse_entities(record.t1w_source or "") or record.entities).items())


def _drawn(title: str, draw: Callable[[], Picture], output_dir: Path) -> Picture | Problem:
    """Draw a picture, or say why it is missing: one lost image must not cost the page.

    Paths are told relative to the dataset, so that a page is the same wherever it was made.
    """
    try:
        return draw()
    except CentipetError as error:
        return Problem(title, str(error).replace(f"{output_dir}/", ""))

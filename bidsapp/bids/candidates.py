"""A PET that may be processed: its tracer, its times, and problems of its sidecar."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bidsapp.bids.derivatives import sidecar_path
from bidsapp.bids.pet_kind import kind_findings, other_modality, unquantifiable
from bidsapp.bids.pet_metadata import PetTiming, check_decay, missing_keys, read_timing
from bidsapp.bids.raw_dataset import RawDataset, RawImage, sidecar_files
from bidsapp.bids.stated import flags_of
from bidsapp.bids.values import as_list, number_in
from bidsapp.bids.windows import is_in_window
from bidsapp.core.grid.volume import Grid
from bidsapp.core.quality import Flag
from bidsapp.data.sentences import refused, worded, worded_flag
from bidsapp.data.series_texts import is_unknown
from bidsapp.data.tau import tau_voi_files
from bidsapp.data.tracers import (
    Tracer,
    named_tracers,
    other_amyloid_tracers,
    other_element,
    tau_tracers,
    tracers,
)
from bidsapp.errors import BadDataError, CentipetError, NoInputError, prefixed_errors
from bidsapp.io.nifti import read_geometry
from bidsapp.settings import Processing

_EDGE_MM = 5.0  # of a PET voxel; the phantom reads 2 CL lower at 6 mm, 5 CL at 10 mm


@dataclass(frozen=True)
class Candidate:
    """A PET whose sidecar could be read, before its window and its T1w are chosen.

    ``unread`` is why the image itself cannot be read: it may have to be fetched first.
    ``continued`` are images that go on with it, whose frames are in ``timing``, too.
    """

    image: RawImage
    tracer: Tracer
    timing: PetTiming
    flags: tuple[Flag, ...]
    in_window: bool
    unread: CentipetError | None = None
    continued: tuple[RawImage, ...] = ()


class LeftOut(Exception):
    """A PET that this app does not process, such as another tracer (``tracer`` is its code)."""

    def __init__(self, reason: str, tracer: str) -> None:
        super().__init__(reason)
        self.tracer = tracer


class NotQuantifiable(LeftOut):
    """A PET without attenuation correction: left out where there is one with it."""


def read_candidate(pet: RawImage, dataset: RawDataset, processing: Processing) -> Candidate:
    """Judge the sidecar, then the header of the image, which may have to be fetched first.

    Parameters
    ----------
    pet : of the dataset
    dataset : what was found
    processing : options of the run

    Returns
    -------
    Candidate
    """
    sidecar = dataset.sidecar(pet)
    check_modality(pet.path, sidecar, "PT")
    if "TracerName" not in sidecar and "trc" not in pet.entities:
        raise _incomplete(pet, ["TracerName", *missing_keys(sidecar)], dataset)
    tracer, flags = _find_tracer(pet, sidecar, processing)
    if reason := unquantifiable(sidecar, pet.entities):
        raise NotQuantifiable(reason, tracer.code)
    unread, n_frames = None, _n_frames(sidecar)
    try:
        shape, grid = read_geometry(pet.path)
        n_frames = shape[3] if len(shape) > 3 else 1
        flags += _coarse(grid)
    except NoInputError as error:
        unread = error
    try:
        timing = read_timing(sidecar, pet.path, n_frames, tracer.window_s, tracer.half_life_s)
    except BadDataError as error:
        if missing := missing_keys(sidecar):
            raise _incomplete(pet, missing, dataset) from error
        raise
    flags += _check_radionuclide(tracer, timing, sidecar.get("RadionuclideHalfLife"), pet.path)
    with prefixed_errors(pet.path):
        timing = check_decay(timing, sidecar, tracer.half_life_s)
    flags += (*timing.findings, *kind_findings(sidecar, pet.entities), *flags_of(sidecar))
    in_window = is_in_window(pet, tracer, timing, processing)
    return Candidate(pet, tracer, timing, flags, in_window, unread)


def _n_frames(sidecar: Mapping[str, Any]) -> int:
    """Frames of an image by its sidecar, where those of zero length are none."""
    durations = sidecar.get("FrameDuration")
    if not isinstance(durations, list):
        return len(as_list(sidecar.get("FrameTimesStart"))) or 1
    return sum(length != 0 for length in durations) or 1


def _coarse(grid: Grid) -> tuple[Flag, ...]:
    """Flag of voxels that no scanner makes: thick slices mix cortex with what lies beside."""
    edge = float(grid.voxel_size.max())
    return (worded_flag("pet-coarse", edge=edge, most=_EDGE_MM),) if edge > _EDGE_MM else ()


def _incomplete(pet: RawImage, keys: Sequence[str], dataset: RawDataset) -> BadDataError:
    """Error that names all that a sidecar lacks at once, and the file to write it into.

    That is one of the image's folder: what is written further up counts for others, too.
    """
    listed, own = ", ".join(keys), sidecar_path(pet.path).name
    if not (files := sidecar_files(pet, dataset.bids_dir)):
        return refused("sidecar", "none", pet=pet, name=own, listed=listed)
    verb = "is" if len(keys) == 1 else "are"
    file = files[-1].name if files[-1].parent == pet.path.parent else own
    return refused("sidecar", "incomplete", pet=pet, listed=listed, verb=verb, file=file)


def _find_tracer(
    pet: RawImage, sidecar: Mapping[str, Any], processing: Processing
) -> tuple[Tracer, tuple[Flag, ...]]:
    """Tracer by all that names it, which must agree.

    Raises
    ------
    BadDataError
        Texts contradict each other, or none names a tracer.
    LeftOut
        All that is named is a tracer of another target.
    """
    texts = {"TracerName": sidecar.get("TracerName")}
    if label := pet.entities.get("trc"):
        texts = {f"trc-{label}": label} | texts
    texts["Radiopharmaceutical"] = sidecar.get("Radiopharmaceutical")  # as dcm2niix has it
    named_by = {where: _as_text(text) for where, text in texts.items() if text is not None}
    named = {where: named_tracers(text) for where, text in named_by.items()}
    known = {where: name for where, name in named.items() if name.understood}
    if not known:
        names = ", ".join(tracer.name for tracer in tracers().values())
        text = label or named_by.get("TracerName")
        raise refused("plan", "tracer", pet=pet, text=text, known=names)
    if len({name.codes for name in known.values()}) > 1 or not all(
        name.amyloid or name.other for name in known.values()
    ):
        listed = ", ".join(where if where.startswith("trc-") else f"{where} {named_by[where]!r}"
                         for where in known)  # fmt: skip
        raise refused("plan", "tracers", pet=pet, said=listed)
    name = next(iter(known.values()))
    tracer = name.amyloid or _other_target(pet, name.other or "", processing)
    doubtful = [
        where
        for where in named.keys() - known.keys() - {"Radiopharmaceutical"}
        if not is_unknown(named_by[where])
    ]
    for where in doubtful:
        if named[where].isotopes - {tracer.radionuclide}:
            raise refused(
                "plan", "isotope", pet=pet, where=where, text=named_by[where], tracer=tracer
            )
    return tracer, tuple(
        _not_understood(where, named_by[where], tracer) for where in sorted(doubtful)
    )


def _as_text(value: object) -> str:
    """A text that should be one; what else stands there is read, too, as it may name a tracer."""
    return ", ".join(map(_as_text, value)) if isinstance(value, list) else str(value)


def _not_understood(where: str, text: str, tracer: Tracer) -> Flag:
    if where == "TracerName":
        return worded_flag("tracer-name", text=text, tracer=tracer.name)
    return worded_flag("tracer-label", where=where, tracer=tracer.name)


def _other_target(pet: RawImage, code: str, processing: Processing) -> Tracer:
    """Tau tracer, which needs the user's volumes; every other one is left out."""
    tau = tau_tracers().get(code)
    if code in other_amyloid_tracers():
        raise LeftOut(worded("plan", "no-equation", code=code), code)
    if tau is None:
        raise LeftOut(f"{code} is not an amyloid tracer, so there is no Centiloid", code)
    if processing.tau_vois is None:
        raise LeftOut(worded("plan", "tau", tau=tau), code)
    _check_tau_vois(processing.tau_vois)
    return tau


@cache
def _check_tau_vois(folder: Path) -> None:
    """Refuse a folder without all volumes, before anything is computed."""
    tau_voi_files(folder)


def _check_radionuclide(
    tracer: Tracer, timing: PetTiming, half_life: object, pet: Path
) -> tuple[Flag, ...]:
    """Refuse a nuclide that cannot be the tracer's; ``18Fluorine`` and ``F-18`` are both F18."""
    number = re.search(r"\d+", timing.radionuclide or "")
    wrong_number = number and number[0] != re.sub(r"\D", "", tracer.radionuclide)
    if wrong_number or other_element(timing.radionuclide or "", tracer.radionuclide):
        raise refused("plan", "radionuclide", pet=pet, timing=timing, tracer=tracer)
    if is_unknown(half_life):
        return ()
    seconds, usual = number_in(half_life), tracer.half_life_s
    if not seconds:  # 0 stands for unknown
        value = str(half_life)[:40]
        return (worded_flag("half-life", value=value, tracer=tracer.name, half_life_s=usual),)
    if not 0.95 < seconds / usual < 1.05:
        raise refused("plan", "half-life", pet=pet, seconds=seconds, tracer=tracer)
    return ()


def check_modality(path: Path, sidecar: Mapping[str, Any], expected: str) -> None:
    """Refuse an image that its sidecar calls another kind: PET and T1w may have been exchanged.

    Parameters
    ----------
    path : of the image, for the message
    sidecar : merged metadata
    expected : ``PT`` or ``MR``
    """
    if (modality := other_modality(sidecar, expected)) is not None:
        kind = "PET" if expected == "PT" else "T1w"
        raise refused("plan", "modality", path=path, modality=modality, what=kind)

"""Measurement of one PET scan in the regions of atlases, by space, and corrected for blur."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bidsapp.bids.plan import ScanPlan
from bidsapp.data import REFERENCES
from bidsapp.interfaces.derivatives import SaveTables
from bidsapp.interfaces.regions import (
    AcceptParcellations,
    Correct,
    MeasureRegions,
    SaveMasks,
    SaveRatios,
    SaveRegions,
)
from bidsapp.settings import TEMPLATE_SPACE
from bidsapp.steps.correcting import pvc_columns
from bidsapp.workflows.sidecars import PET_IMAGE, PVC_IMAGES
from bidsapp.workflows.wiring import Flow, StepOutput

# Peak memory of a 128 x 128 x 84 PET with a 256 x 256 x 256 T1w, measured.
_MEASURE_GB, _NATIVE_GB, _SAVE_GB, _CORRECT_GB = 0.5, 1.5, 0.4, 1.2


def check_parcellations(flow: Flow, scan: ScanPlan, tissues: Mapping[str, StepOutput]) -> Any:
    """Check the parcellations of the participant that the plan of a scan names.

    Parameters
    ----------
    flow : the workflow of the scan, to which steps are added
    scan : its plan
    tissues : fields of a `HeadTissues`

    Returns
    -------
    StepOutput or Processing
        The options of the run with those that can be used.
    """
    processing = flow.sidecars.processing
    if not scan.parcellations:
        return processing
    accepted = flow.recorded(
        AcceptParcellations, "check", _NATIVE_GB, parcellations=list(scan.parcellations),
        processing=processing, **tissues,
    )  # fmt: skip
    return accepted.processing


def measure_regions(
    flow: Flow,
    scan: ScanPlan,
    own_options: Any,
    pets: Mapping[str, StepOutput],
    head: Mapping[str, StepOutput],
) -> None:
    """Measure a scan in the regions of all atlases of the run, in every requested space.

    Parameters
    ----------
    flow : the workflow of the scan, to which steps are added
    scan : its plan
    own_options : of the scan, with its own parcellations
    pets : ``pet_mni``, ``pet_native``, and ``pet_t1w`` if there is a T1w
    head : fields of a `PlacedHead`
    """
    sidecars = flow.sidecars
    processing, place = sidecars.processing, sidecars.place(scan.entities)
    equations = dict(sidecars.pipeline(scan).regional.scale().equations)
    for space in dict.fromkeys((TEMPLATE_SPACE, *processing.voi_spaces)):
        pet = pets.get(PET_IMAGE[space])
        if pet is None:
            continue
        on_template = space == TEMPLATE_SPACE
        measured = flow.step(
            MeasureRegions, f"measure_{space}", _MEASURE_GB if on_template else _NATIVE_GB,
            pet=pet, space=space, equations=equations, processing=own_options, **head,
        )  # fmt: skip
        flow.step(
            SaveRegions, f"tables_{space}", _SAVE_GB, place=place, space=space,
            processing=own_options, units=scan.metadata.units, tables=measured.tables,
            sidecar=sidecars.regional(scan, space),
        )  # fmt: skip
        if processing.write_masks:
            owner = sidecars.mask_owner(scan, space)
            flow.step(
                SaveMasks, f"masks_{space}", _SAVE_GB, place=sidecars.place(owner.entities),
                kind="pet" if owner is scan else "t1w", space=space, processing=own_options,
                masks=measured.masks, sidecar=sidecars.masks(scan, space),
            )  # fmt: skip
        flow.step(
            SaveRatios, f"ratios_{space}", _SAVE_GB, place=place, pet=pet, space=space,
            equations=equations, references=measured.references,
            skip=list(REFERENCES) if on_template else [], sidecar=sidecars.ratio(scan, space),
        )  # fmt: skip
        if on_template:
            flow.records.append(measured.record)


def correct_regions(
    flow: Flow,
    scan: ScanPlan,
    own_options: Any,
    pet: StepOutput,
    head: Mapping[str, StepOutput],
    regions: StepOutput,
) -> None:
    """Correct a scan for the partial volume effect, on its native grid; no Centiloid rests on it.

    Parameters
    ----------
    flow : the workflow of the scan, to which steps are added
    scan : its plan
    own_options : of the scan, with its own parcellations
    pet : not smoothed, native grid
    head : fields of a `PlacedHead`
    regions : of the T1w, as `NativeRegions` gives them
    """
    sidecars = flow.sidecars
    content = sidecars.pvc(scan)
    corrected = flow.step(
        Correct, "correct", _CORRECT_GB, pet=pet, regions=regions, processing=own_options, **head
    )
    flow.recorded(
        SaveTables, "tables_pvc", _SAVE_GB, place=sidecars.place(scan.entities), key="pvc",
        columns=pvc_columns(scan.metadata.units), sidecar=content["pvc"],
        **corrected.of("tables", "record"),
    )  # fmt: skip
    keys = [key for method, key in PVC_IMAGES.items() if method in sidecars.processing.pvc]
    flow.save_images(scan.entities, content, corrected.of(*keys), "images_pvc")

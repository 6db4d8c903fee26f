"""Measurement of one PET scan in the regions of atlases, by space, and corrected for blur."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bidsapp.bids.plan import ScanPlan
from bidsapp.data import REFERENCES
from bidsapp.data.calibrations import regional_scale
from bidsapp.interfaces.derivatives import SaveTables
from bidsapp.interfaces.regions import (
    AcceptParcellations,
    Correct,
    MeasureRegions,
    SaveRatios,
    SaveRegions,
)
from bidsapp.settings import TEMPLATE_SPACE
from bidsapp.steps.correcting import pvc_columns
from bidsapp.workflows.sidecars import PET_IMAGE, PVC_IMAGES
from bidsapp.workflows.wiring import Flow, StepOutput

# Peak memory of a 128 x 128 x 84 PET with a 256 x 256 x 256 T1w, measured.
_MEASURE_GB, _NATIVE_GB, _SAVE_GB, _CORRECT_GB = 0.5, 1.5, 0.4, 1.2

# What brings the atlas to a space.
_PLACING = {
    TEMPLATE_SPACE: ("field",),
    "T1w": ("warp", "mask"),
    "pet": ("warp", "t1w_to_pet"),
}


def check_parcellations(flow: Flow, scan: ScanPlan, tissue: Mapping[str, StepOutput]) -> Any:
    """Check the parcellations of the participant that the plan of a scan names.

    Parameters
    ----------
    flow : the workflow of the scan, to which steps are added
    scan : its plan
    tissue : ``gm``, ``wm``, ``csf``, ``mask``

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
        files=[str(parcellation.image) for parcellation in scan.parcellations],
        processing=processing, **tissue,
    )  # fmt: skip
    return accepted.processing


def measure_regions(
    flow: Flow, scan: ScanPlan, own_options: Any, inputs: Mapping[str, StepOutput]
) -> None:
    """Measure a scan in the regions of all atlases of the run, in every requested space.

    Parameters
    ----------
    flow : the workflow of the scan, to which steps are added
    scan : its plan
    own_options : of the scan, with its own parcellations
    inputs : ``pet_mni``, ``pet_t1w``, ``pet_native``, ``gm``, ``wm``, ``mask``, ``field``,
        ``warp``, ``t1w_to_pet``; without a T1w what there is of them
    """
    sidecars = flow.sidecars
    processing, place = sidecars.processing, sidecars.place(scan.entities)
    tissue = [] if scan.t1w is None else ["gm", "wm"]
    equations = regional_scale(processing, scan.tracer, scan.normalisation).equations
    lines = {name: [line.slope, line.intercept] for name, line in equations.items()}
    for space in dict.fromkeys((TEMPLATE_SPACE, *processing.voi_spaces)):
        pet = inputs.get(PET_IMAGE[space])
        if pet is None:
            continue
        on_template = space == TEMPLATE_SPACE
        measured = flow.step(
            MeasureRegions, f"measure_{space}", _MEASURE_GB if on_template else _NATIVE_GB,
            pet=pet, space=space, lines=lines, processing=own_options,
            **{key: inputs[key] for key in (*tissue, *_PLACING[space])},
        )  # fmt: skip
        flow.step(
            SaveRegions, f"tables_{space}", _SAVE_GB, **place, space=space, processing=own_options,
            units=scan.metadata.units, t1w_entities={} if scan.t1w is None else scan.t1w.entities,
            sidecar=sidecars.regional(scan, space), mask_sidecar=sidecars.masks(scan, space),
            tables=measured.tables, masks=measured.masks if processing.write_masks else None,
        )  # fmt: skip
        flow.step(
            SaveRatios, f"ratios_{space}", _SAVE_GB, **place, pet=pet, space=space, lines=lines,
            references=measured.references, skip=list(REFERENCES) if on_template else [],
            sidecar=sidecars.ratio(scan, space),
        )  # fmt: skip
        if on_template:
            flow.records.append(measured.record)


def correct_regions(
    flow: Flow, scan: ScanPlan, own_options: Any, inputs: Mapping[str, StepOutput]
) -> None:
    """Correct a scan for the partial volume effect, on its native grid; no Centiloid rests on it.

    Parameters
    ----------
    flow : the workflow of the scan, to which steps are added
    scan : its plan
    own_options : of the scan, with its own parcellations
    inputs : ``pet``, not smoothed, and what else `Correct` takes
    """
    sidecars = flow.sidecars
    content = sidecars.pvc(scan)
    corrected = flow.step(Correct, "correct", _CORRECT_GB, processing=own_options, **inputs)
    flow.recorded(
        SaveTables, "tables_pvc", _SAVE_GB, **sidecars.place(scan.entities), key="pvc",
        columns=pvc_columns(scan.metadata.units), sidecar=content["pvc"],
        **corrected.of("tables", "record"),
    )  # fmt: skip
    keys = [key for method, key in PVC_IMAGES.items() if method in sidecars.processing.pvc]
    flow.save_images(scan.entities, content, corrected.of(*keys), "images_pvc")

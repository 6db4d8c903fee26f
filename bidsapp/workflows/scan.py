"""One PET scan from raw image to record, with a T1w or without."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bidsapp.bids.plan import ScanPlan
from bidsapp.interfaces.derivatives import SavePosition, SaveResult, SaveWarp
from bidsapp.interfaces.pet import (
    BothPositions,
    NormalisePet,
    PetToT1wGrid,
    PetToTemplate,
    Register,
)
from bidsapp.record.parts import not_corrected
from bidsapp.workflows.anat import SharedAnatomy
from bidsapp.workflows.dynamic import add_kinetics, add_time_activity
from bidsapp.workflows.pet import average_frames, inspect_frames, quantify, smooth
from bidsapp.workflows.regions import check_parcellations, correct_regions, measure_regions
from bidsapp.workflows.sidecars import TISSUES, Sidecars
from bidsapp.workflows.wiring import Flow, Step, StepOutput

# Peak memory with a 256 x 256 x 256 T1w and a 128 x 128 x 84 PET, measured.
_REGISTER_GB, _NORMALISE_GB, _RESAMPLE_GB, _TEMPLATE_GB, _TABLE_GB = 1.5, 0.6, 0.6, 0.4, 0.2


def init_scan_wf(
    scan: ScanPlan, sidecars: Sidecars, options: str, anatomy: SharedAnatomy | None
) -> Flow:
    """Compose the steps of one PET scan, up to its record.

    Parameters
    ----------
    scan : its plan
    sidecars : of the run
    options : digest of its options
    anatomy : of its T1w; None to normalise the PET itself

    Returns
    -------
    Flow
    """
    processing = sidecars.processing
    flow = Flow(f"{scan.name}_{options}", sidecars)
    if anatomy is not None:
        flow.records += anatomy.flow.records
        flow.written += anatomy.flow.written
    averaged = average_frames(flow, scan)
    content = sidecars.pet(scan)
    if anatomy is None:
        position, head = _normalise(flow, scan, averaged.mean.pet, content)
        tissues = {}
    else:
        tissues = anatomy.head.of(*TISSUES, "mask")
        position, head = _register(flow, scan, averaged.mean.pet, anatomy.head, tissues, content)
    transforms = {key: head[key] for key in ("field", "t1w_to_pet")}
    inspected = inspect_frames(flow, scan, averaged, head)
    smoothed = smooth(flow, inspected, head, None if anatomy is None else anatomy.regions)
    on_template = flow.step(
        PetToTemplate, "to_template", _TEMPLATE_GB, **smoothed.of("position_means"), **transforms
    ).pet
    images = {"pet_native": smoothed.pet, "pet_mni": on_template}
    if anatomy is not None:
        images["pet_t1w"] = flow.step(
            PetToT1wGrid, "to_t1w", _RESAMPLE_GB, **smoothed.of("position_means"),
            reference=anatomy.head.mask, t1w_to_pet=head["t1w_to_pet"],
        ).pet  # fmt: skip
        # the Centiloid may be that of the PET before it was smoothed
        pipeline = sidecars.pipeline(scan).for_centiloid()
        requested = pipeline.processing == processing
        flow.recorded(
            BothPositions, "both", _TEMPLATE_GB, scale=pipeline.scale(),
            position_means=(smoothed if requested else inspected).position_means,
            field=head["field"], by_method=position.by_method,
        )  # fmt: skip
    ratios = quantify(
        flow, scan, on_template, plain=inspected, smoothed=smoothed, transforms=transforms,
        position=position.record,
    )  # fmt: skip
    flow.save_images(scan.entities, content, images | ratios)
    own_options = check_parcellations(flow, scan, tissues)
    measure_regions(flow, scan, own_options, images, head)
    if scan.is_dynamic:
        curves = add_time_activity(flow, scan, averaged, own_options, transforms)
        if processing.kinetics:
            add_kinetics(flow, scan, own_options, curves.of("tacs", "frames") | head)
    if processing.pvc and anatomy is None:
        flow.records.append(not_corrected("it needs the tissue maps of a T1w"))
    elif processing.pvc and anatomy is not None:
        correct_regions(flow, scan, own_options, inspected.pet, head, anatomy.regions)
    _complete(flow, scan)
    return flow


def _normalise(
    flow: Flow, scan: ScanPlan, mean: StepOutput, content: Mapping[str, Any]
) -> tuple[Step, dict[str, StepOutput]]:
    """Normalise the mean PET itself, and write its warp; the step, and fields of a `PlacedHead`."""
    normalised = flow.step(NormalisePet, "normalise", _NORMALISE_GB, pet=mean, source=str(scan.pet))
    flow.records.insert(0, normalised.record)
    flow.step(
        SaveWarp, "warp", _TABLE_GB, place=flow.sidecars.place(scan.entities), key="pet_warp",
        sidecars={key: content[key] for key in ("pet_warp", "pet_warp_inverse")}, native=mean,
        **normalised.of("field", "warp"),
    )  # fmt: skip
    return normalised, normalised.of("field", "warp", "t1w_to_pet")


def _register(
    flow: Flow,
    scan: ScanPlan,
    mean: StepOutput,
    head: Step,
    tissues: Mapping[str, StepOutput],
    content: Mapping[str, Any],
) -> tuple[Step, dict[str, StepOutput]]:
    """Register the mean PET to the T1w, write the transform; returns as `_normalise`."""
    registered = flow.recorded(
        Register, "register", _REGISTER_GB, pet=mean, source=str(scan.pet), anatomy=scan.anatomy,
        method=flow.sidecars.processing.pet_to_t1w, **tissues, **head.of("t1w", "warp"),
    )  # fmt: skip
    flow.step(
        SavePosition, "xfm", _TABLE_GB, place=flow.sidecars.place(scan.entities),
        record=registered.record, **registered.of("t1w_to_pet", "by_method"),
        sidecars={key: content[key] for key in ("xfm", "xfm_inverse")},
    )  # fmt: skip
    return registered, head.of("field", "warp") | registered.of("t1w_to_pet") | dict(tissues)


def _complete(flow: Flow, scan: ScanPlan) -> None:
    """Write the record when all else is written."""
    flow.step(
        SaveResult, "result", _TABLE_GB, output_dir=str(flow.sidecars.output_dir),
        planned=flow.sidecars.record(scan), raw=flow.sidecars.raw_files(scan),
        parts=flow.records, written=flow.written,
    )  # fmt: skip

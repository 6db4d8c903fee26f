"""Smoothing of the mean of the window, when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from nipype.pipeline.engine import Workflow

from bidsapp.interfaces.resolution import Smooth
from bidsapp.record import RecordPart
from bidsapp.settings import Processing
from bidsapp.workflows.wiring import bounded, of_one, same, step

_SMOOTH_GB = 1.2
_ANATOMY = ("gm", "wm", "csf", "mask", "regions", "t1w_to_pet")


def init_smoothing_wf(
    *, processing: Processing, anatomy: Sequence[str] = _ANATOMY, name: str = "smoothing_wf"
) -> Workflow:
    """Smooth the PET along its voxel axes; nothing happens unless it is asked for.

    Alignment comes before, activity over time and partial volume correction use the PET as it was.

    Inputs
    ------
    pet, stills
        As `bidsapp.workflows.pet.init_pet_reference_wf` gives them.
    gm, wm, csf, mask, regions, t1w_to_pet
        As `bidsapp.workflows.anat.init_anat_wf` gives them, and T1w world -> PET world, 4 x 4: to
        measure the resolution. None of them when ``anatomy`` is empty: ``--psf`` tells it then.

    Outputs
    -------
    pet, stills
        The same, smoothed.
    record
        What it gives to the record: ``smoothing``.
    """
    needed, given = ["pet", "stills", *anatomy], ["pet", "stills", "record"]
    added, target = processing.smooth_fwhm_mm, processing.target_resolution_mm
    if added is None and target is None:
        workflow, inputs, outputs = bounded(name, needed, given)
        workflow.connect([(inputs, outputs, same(["pet", "stills"]))])
        outputs.inputs.record = RecordPart()
        return workflow
    own = processing.psf_mm and list(processing.psf_mm)
    made = Smooth(fwhm_mm=added, target_mm=target, psf_mm=own)
    return of_one(step(made, "smooth", _SMOOTH_GB), name, needed, given)

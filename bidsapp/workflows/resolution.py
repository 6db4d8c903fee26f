"""Smoothing of the mean of the window, when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from nipype.interfaces.utility import IdentityInterface
from nipype.pipeline.engine import Node, Workflow

from bidsapp.interfaces.resolution import Smooth
from bidsapp.record import RecordPart
from bidsapp.settings import Processing

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
    workflow = Workflow(name=name)
    needed = ["pet", "stills", *anatomy]
    inputs = Node(IdentityInterface(needed), name="inputnode")
    outputs = Node(IdentityInterface(["pet", "stills", "record"]), name="outputnode")
    added, target = processing.smooth_fwhm_mm, processing.target_resolution_mm
    if added is None and target is None:
        workflow.connect([(inputs, outputs, [("pet", "pet"), ("stills", "stills")])])
        outputs.inputs.record = RecordPart()
        return workflow
    own = processing.psf_mm and list(processing.psf_mm)
    made = Smooth(fwhm_mm=added, target_mm=target, psf_mm=own)
    smooth = Node(made, name="smooth", mem_gb=_SMOOTH_GB, n_procs=1)
    given = ["pet", "stills", "record"]
    workflow.connect([(inputs, smooth, [(field, field) for field in needed])])
    workflow.connect([(smooth, outputs, [(field, field) for field in given])])
    return workflow

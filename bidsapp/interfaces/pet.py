"""Nodes on the PET: mean over the window, position relative to the T1w, resampling."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from nipype.interfaces.base import (
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from bidsapp.core.alignment import Matrix, transform
from bidsapp.core.field import artefact_ends, without_ends
from bidsapp.core.motion import FrameAlignment, align_frames, align_parts
from bidsapp.core.quality import (
    affine_findings,
    alignment_findings,
    blur_findings,
    end_findings,
    motion_findings,
    own_anatomy_findings,
    part_findings,
    strain_findings,
)
from bidsapp.core.rigid import register
from bidsapp.core.stills import (
    mean_at_reference,
    mean_in_scanner,
    resample_stills,
    sample_stills,
    still_images,
)
from bidsapp.core.volume import Volume
from bidsapp.core.warp import Warp
from bidsapp.data import read_table
from bidsapp.data.registration import head_of
from bidsapp.errors import CentipetError
from bidsapp.interfaces.store import (
    InputSpec,
    about,
    fetch,
    fetch_stills,
    fetch_volume,
    keep_stills,
    keep_volume,
    optional,
)
from bidsapp.io.nifti import affine_disagreement, read_frames
from bidsapp.record import RecordPart
from bidsapp.record.model import FieldOfView
from bidsapp.record.parts import motion_part
from bidsapp.settings import PetToT1w


class AlignFramesInput(InputSpec):
    """Inputs of `AlignFrames`; one entry per PET of the injection, the scan itself first."""

    pets = traits.List(File(exists=True), mandatory=True, desc="raw PETs, NIfTI")
    durations_s = traits.List(traits.List(traits.Float), mandatory=True, desc="of each frame")
    starts_s = traits.List(traits.List(traits.Float), mandatory=True, desc="after injection")
    weights_s = traits.List(traits.Float, mandatory=True, desc="seconds of the scan's frames used")
    within = traits.Bool(True, usedefault=True, desc="align the frames of a PET, too")


class AlignFramesOutput(TraitedSpec):
    """Outputs of `AlignFrames`."""

    motion = traits.List(desc="per PET and frame 4 x 4: world of the reference -> of the frame")
    record = traits.Instance(
        RecordPart, desc="its part of the record: motion, quality numbers, flags"
    )


class AlignFrames(SimpleInterface):
    """Position of the head in every frame of a scan, and of others after the same injection."""

    input_spec, output_spec = AlignFramesInput, AlignFramesOutput

    def _run_interface(self, runtime):
        own, *others = self.inputs.pets
        durations = self.inputs.durations_s
        with about(own):
            counted = [weight > 0 for weight in self.inputs.weights_s]
            first = align_frames(read_frames(own), durations[0], counted)
        applied = [self._applied(first, np.eye(4))]
        found: list[FrameAlignment | None] = [first]
        limit_mm = read_table("limits")["frame_motion_mm"]["flag"]
        flags = motion_findings(first.spread_mm, limit_mm, corrected=self.inputs.within)
        for other, duration in zip(others, durations[1:], strict=True):
            try:
                part = align_frames(read_frames(other), duration)
            except CentipetError as error:  # the Centiloid does not need this PET
                reason = str(error).replace(f"{other}: ", "").replace(f"{Path(other).parent}/", "")
                flags += part_findings(Path(other).name, reason)
                applied.append([])
                found.append(None)
                continue
            to_part = align_parts(first.mean, part.mean)
            applied.append(self._applied(part, to_part))
            found.append(part.after(to_part))
        self._results["motion"] = applied
        self._results["record"] = RecordPart(
            motion=motion_part(found, self.inputs.starts_s, durations, self.inputs.within),
            qc={"motion_window_mm": first.spread_mm},
            flags=flags,
        )
        return runtime

    def _applied(self, part: FrameAlignment, to_part: Matrix) -> list[Any]:
        within = part.matrices if self.inputs.within else np.eye(4)[None].repeat(len(part.found), 0)
        return [(matrix @ to_part).tolist() for matrix in within]


class TimeAverageInput(InputSpec):
    """Inputs of `TimeAverage`."""

    pet = File(exists=True, mandatory=True, desc="raw PET, NIfTI, 3D or 4D")
    weights_s = traits.List(traits.Float, mandatory=True, desc="seconds of each frame that count")
    decay_factors = traits.List(traits.Float, desc="correction of each frame, if it needs one")
    motion = traits.List(desc="as `AlignFrames` gives it")


class TimeAverageOutput(TraitedSpec):
    """Outputs of `TimeAverage`."""

    pet = File(exists=True, desc="mean over the window, native grid, head at the reference")
    stills = File(exists=True, desc="the same, one image per position of the head")
    ends = traits.List(traits.Int, desc="planes left out at both ends of the axis of the scanner")
    record = traits.Instance(RecordPart, desc="its part of the record: field_of_view, flags")


class TimeAverage(SimpleInterface):
    """Time-weighted mean of the frames in the uptake window."""

    input_spec, output_spec = TimeAverageInput, TimeAverageOutput

    def _run_interface(self, runtime):
        weights = self.inputs.weights_s
        motion = self.inputs.motion[0] if self.inputs.motion else [np.eye(4)] * len(weights)
        with about(self.inputs.pet):
            factors = optional(self.inputs.decay_factors)
            stills = still_images(read_frames(self.inputs.pet), weights, motion, factors)
        # artefacts belong to planes of the scanner, wherever the head lies meanwhile
        ends = artefact_ends(mean_in_scanner(stills))
        stills = [replace(still, image=without_ends(still.image, ends)) for still in stills]
        self._results["ends"] = list(ends)
        self._results["record"] = RecordPart(
            field_of_view=FieldOfView(excluded_planes=tuple(map(int, ends))),
            flags=end_findings(*ends),
        )
        folder = Path(runtime.cwd)
        self._results["pet"] = keep_volume(folder / "mean.npz", mean_at_reference(stills))
        self._results["stills"] = keep_stills(folder / "stills.npz", stills)
        return runtime


class RegisterInput(InputSpec):
    """Inputs of `Register`; images but ``pet`` on the T1w grid."""

    pet = File(exists=True, mandatory=True, desc="PET on its native grid")
    source = traits.Str(mandatory=True, desc="name of the raw image, for messages")
    t1w = File(exists=True, mandatory=True, desc="bias-corrected T1w")
    mask = File(exists=True, mandatory=True, desc="brain mask")
    gm = File(exists=True, mandatory=True, desc="probability of grey matter")
    wm = File(exists=True, mandatory=True, desc="probability of white matter")
    csf = File(exists=True, mandatory=True, desc="probability of cerebrospinal fluid")
    warp = File(exists=True, mandatory=True, desc="parameters of the warp to the template")
    anatomy = traits.Enum("t1w", "template", usedefault=True, desc="what the T1w is")
    method = traits.Enum(*[method.value for method in PetToT1w], desc="which position to use")


class RegisterOutput(TraitedSpec):
    """Outputs of `Register`; matrices as nested lists, T1w world -> PET world, RAS mm."""

    t1w_to_pet = traits.List(desc="the position used")
    by_method = traits.Dict(desc="the position each method found")
    record = traits.Instance(
        RecordPart, desc="its part of the record: method, quality numbers, flags"
    )


class Register(SimpleInterface):
    """Rigid position of the PET relative to the T1w (`bidsapp.core.rigid`)."""

    input_spec, output_spec = RegisterInput, RegisterOutput

    def _run_interface(self, runtime):
        tissue = [fetch_volume(getattr(self.inputs, name)).data for name in ("gm", "wm", "csf")]
        warp, limits = Warp.from_arrays(fetch(self.inputs.warp)), read_table("limits")
        t1w, mask = fetch_volume(self.inputs.t1w), fetch_volume(self.inputs.mask).data
        with about(self.inputs.source):
            head = head_of(t1w, np.stack(tissue), mask, warp.to_template)
            fit = register(fetch_volume(self.inputs.pet), head, method=PetToT1w(self.inputs.method))
        flags = (
            *(
                fit.flags
                or alignment_findings(fit.distance_mm, limits["pet_t1w_distance_mm"]["flag"])
            ),
            *own_anatomy_findings(fit.own_anatomy, limits["pet_t1w_own_anatomy"]["least"]),
            *strain_findings(fit.strain, limits["pet_t1w_stretch"]["flag"]),
            *blur_findings(fit.fwhm_mm, limits["pet_smoothed_mm"]["flag"]),
            *affine_findings(
                affine_disagreement(self.inputs.source), limits["header_places_mm"]["flag"], "PET"
            ),
        )
        self._results["t1w_to_pet"] = fit.matrix.tolist()
        self._results["by_method"] = {"nmi": fit.nmi.tolist(), "model": fit.model.tolist()}
        self._results["record"] = RecordPart(
            method=f"{self.inputs.anatomy}+{fit.method.value}",
            qc={
                "pet_t1w_distance_mm": fit.distance_mm,
                "pet_t1w_nmi": fit.score,
                "pet_t1w_unexplained": fit.unexplained,
                "pet_t1w_own_anatomy": fit.own_anatomy,
                "pet_t1w_stretch": float(np.abs(np.linalg.eigvalsh(fit.strain)).max()),
                "pet_fwhm_mm": fit.fwhm_mm,
            },
            flags=flags,
        )
        return runtime


class PetToT1wGridInput(InputSpec):
    """Inputs of `PetToT1wGrid`."""

    stills = File(exists=True, mandatory=True, desc="PET, one image per position of the head")
    reference = File(exists=True, mandatory=True, desc="image on the T1w grid")
    t1w_to_pet = traits.List(mandatory=True, desc="4 x 4, RAS mm")


class PetToT1wGridOutput(TraitedSpec):
    """Outputs of `PetToT1wGrid`."""

    pet = File(exists=True, desc="PET on the T1w grid, NaN outside its field of view")


class PetToT1wGrid(SimpleInterface):
    """PET to the T1w grid, trilinear, from its native grid."""

    input_spec, output_spec = PetToT1wGridInput, PetToT1wGridOutput

    def _run_interface(self, runtime):
        grid = fetch_volume(self.inputs.reference).grid
        stills = fetch_stills(self.inputs.stills)
        moved = resample_stills(stills, grid, np.array(self.inputs.t1w_to_pet))
        self._results["pet"] = keep_volume(Path(runtime.cwd) / "t1w.npz", moved)
        return runtime


class PetToTemplateInput(InputSpec):
    """Inputs of `PetToTemplate`."""

    stills = File(exists=True, mandatory=True, desc="PET, one image per position of the head")
    field = File(exists=True, mandatory=True, desc="T1w world coordinate of every MNI voxel")
    t1w_to_pet = traits.List(mandatory=True, desc="4 x 4, RAS mm")


class PetToTemplateOutput(TraitedSpec):
    """Outputs of `PetToTemplate`."""

    pet = File(exists=True, desc="PET on the 2 mm MNI grid, NaN outside its field of view")


class PetToTemplate(SimpleInterface):
    """PET to the 2 mm MNI grid, one trilinear interpolation from its native grid."""

    input_spec, output_spec = PetToTemplateInput, PetToTemplateOutput

    def _run_interface(self, runtime):
        field = fetch_volume(self.inputs.field)
        points = transform(np.array(self.inputs.t1w_to_pet), field.data.astype(np.float64))
        warped = Volume(sample_stills(fetch_stills(self.inputs.stills), points), field.affine)
        self._results["pet"] = keep_volume(Path(runtime.cwd) / "template.npz", warped)
        return runtime

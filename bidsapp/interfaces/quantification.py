"""Nodes that turn the PET in MNI space into numbers and ratio images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nipype.interfaces.base import (
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from bidsapp.core.centiloid import centiloid
from bidsapp.core.noise import estimate
from bidsapp.core.quality import (
    Flag,
    centiloid_findings,
    centiloid_refusal,
    coverage_findings,
    coverage_refusal,
)
from bidsapp.core.scale import (
    Expressed,
    Scale,
    disagreement_findings,
    express,
    range_findings,
    ratio_noise,
    scale_findings,
)
from bidsapp.core.suvr import ratio_image, uptake_ratios
from bidsapp.core.voi import CoverageRule, measure
from bidsapp.core.volume import Volume
from bidsapp.data import REFERENCES, TARGET, read_table, vois
from bidsapp.data.tau import REFERENCE, tau_equations, tau_masks, tau_regions
from bidsapp.errors import BadDataError
from bidsapp.interfaces.store import InputSpec, about, fetch_volume, keep_volume
from bidsapp.record import RecordPart
from bidsapp.record.parts import centiloid_part


class QuantifyInput(InputSpec):
    """Inputs of `Quantify`."""

    pet = File(exists=True, mandatory=True, desc="PET on the 2 mm MNI grid, NaN if not measured")
    source = traits.Str(mandatory=True, desc="name of the raw image, for messages")
    tracer = traits.Str(mandatory=True, desc="code of the tracer table")
    scale = traits.Instance(Scale, mandatory=True, desc="equations that belong to the scan")
    cutoffs = traits.List(traits.Float, [], usedefault=True, desc="CL, to tell who exceeds them")
    tau_vois = traits.Dict({}, usedefault=True, desc="tau volumes by region; none for amyloid")


class QuantifyOutput(TraitedSpec):
    """Outputs of `Quantify`."""

    voi = traits.Dict(desc="statistics by volume of interest")
    record = traits.Instance(
        RecordPart, desc="its part of the record: voi, suvr, Centiloids, qc, flags"
    )


class Quantify(SimpleInterface):
    """VOI means, uptake ratios, and Centiloids with their uncertainty."""

    input_spec, output_spec = QuantifyInput, QuantifyOutput

    def _run_interface(self, runtime):
        given = self.inputs
        with about(given.source):
            record = quantified(
                fetch_volume(given.pet),
                tracer=given.tracer,
                scale=given.scale,
                cutoffs=given.cutoffs,
                tau_vois=given.tau_vois,
            )
        self._results["record"] = record
        self._results["voi"] = dict(record.voi)
        return runtime


def quantified(
    pet: Volume,
    *,
    tracer: str,
    scale: Scale,
    cutoffs: Sequence[float] = (),
    tau_vois: Mapping[str, str] | None = None,
) -> RecordPart:
    """Part of the record that the image alone tells: VOI means, SUVRs, Centiloids, noise, flags.

    Parameters
    ----------
    pet : on the 2 mm MNI grid, NaN where nothing was measured
    tracer : code of the tracer table
    scale : equations that belong to the scan
    cutoffs : CL, to tell who exceeds them
    tau_vois : tau volumes by region; none for amyloid

    Raises
    ------
    BadDataError
        The target or the reference region was not measured, or holds nothing.
    """
    rule = CoverageRule(**read_table("limits")["voi_coverage"])
    table = measure(pet.data, vois(2), pet.grid.voxel_volume, least_coverage=rule.refuse)
    if reason := coverage_refusal(table, (TARGET, scale.main), rule):
        raise BadDataError(reason)
    suvr = uptake_ratios(table, target=TARGET, references=REFERENCES)
    noise = _noise(pet)
    expressed = express(suvr, scale, noise)
    possible = read_table("limits")["centiloid_possible"]
    if expressed.centiloid is not None and (
        reason := centiloid_refusal(expressed.centiloid, **possible)
    ):
        raise BadDataError(reason)
    # a tau tracer has no Centiloid, and nobody expects one
    missing = () if tau_vois else scale_findings(scale, tracer)
    findings = (*coverage_findings(table, rule), *missing, *_doubts(suvr, expressed, scale))
    return replace(
        centiloid_part(expressed, cutoffs),
        suvr=suvr,
        qc={"suvr_noise_percent": _percent(noise[scale.main])},
        flags=findings,
        voi=table,
        scales=_tau_scales(pet, tracer, tau_vois, rule) if tau_vois else {},
    )


def _doubts(
    suvr: Mapping[str, float | None], expressed: Expressed, scale: Scale
) -> tuple[Flag, ...]:
    """Findings about the Centiloid."""
    limits = read_table("limits")
    found: tuple[Flag, ...] = ()
    if expressed.centiloid is not None:
        found = centiloid_findings(expressed.centiloid, **limits["centiloid"])
    return (
        *found,
        *range_findings(suvr[scale.main], scale.equations.get(scale.main)),
        *disagreement_findings(expressed, limits["reference_disagreement"]["flag"]),
    )


def _noise(pet: Volume) -> dict[str, float | None]:
    """Relative error of the SUVRs by image noise, by reference region."""
    masks, voxel_mm = vois(2), pet.grid.voxel_volume ** (1 / 3)
    found = estimate(pet.data, masks[TARGET] | masks["wcb"], voxel_mm)
    return ratio_noise(found, masks, TARGET, REFERENCES, voxel_mm)


def _tau_scales(
    pet: Volume, code: str, files: Mapping[str, str], rule: CoverageRule
) -> dict[str, dict[str, float | None]]:
    """SUVRs of the tau volumes, and what they are on the scales of the tracer, by region."""
    table = measure(pet.data, tau_masks(files), pet.grid.voxel_volume, least_coverage=rule.refuse)
    found: dict[str, dict[str, float | None]] = {"suvr": {}}
    for region in tau_regions():
        ratio = uptake_ratios(table, target=region, references=[REFERENCE])[REFERENCE]
        found["suvr"][region] = ratio
        for scale, lines in tau_equations(code).items():
            if region in lines:
                value = None if ratio is None else centiloid(ratio, lines[region])
                found.setdefault(scale, {})[region] = value
    return found


def _percent(part: float | None) -> float | None:
    return None if part is None else 100 * part


class RatioImagesInput(InputSpec):
    """Inputs of `RatioImages`."""

    pet = File(exists=True, mandatory=True, desc="PET on the 2 mm MNI grid")
    voi = traits.Dict(mandatory=True, desc="statistics by volume of interest")


class RatioImagesOutput(TraitedSpec):
    """Outputs of `RatioImages`: one ratio image per reference region that was measured."""

    wc = File(exists=True, desc="over the whole cerebellum")
    cg = File(exists=True, desc="over the cerebellar grey matter")
    wcb = File(exists=True, desc="over whole cerebellum and brainstem")
    pons = File(exists=True, desc="over the pons")


class RatioImages(SimpleInterface):
    """Uptake ratio image per reference region."""

    input_spec, output_spec = RatioImagesInput, RatioImagesOutput

    def _run_interface(self, runtime):
        pet = fetch_volume(self.inputs.pet)
        for name in REFERENCES:
            mean = self.inputs.voi[name].mean
            if mean is not None:
                ratio = Volume(ratio_image(pet.data, mean), pet.affine)
                self._results[name] = keep_volume(Path(runtime.cwd) / f"suvr{name}.npz", ratio)
        return runtime

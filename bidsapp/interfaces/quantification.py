"""Nodes that turn the PET in MNI space into numbers and ratio images."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from bidsapp.core.centiloid import centiloid
from bidsapp.core.quality import centiloid_findings, coverage_findings, coverage_refusal
from bidsapp.core.suvr import ratio_image, uptake_ratios
from bidsapp.core.voi import CoverageRule, measure
from bidsapp.data import REFERENCES, TARGET, read_table, vois
from bidsapp.data.tracers import tracers
from bidsapp.errors import BadDataError
from bidsapp.interfaces.store import about, fetch_volume, keep_volume
from bidsapp.volume import Volume


class QuantifyInput(BaseInterfaceInputSpec):
    """Inputs of `Quantify`."""

    pet = File(exists=True, mandatory=True, desc="PET on the 2 mm MNI grid, NaN if not measured")
    source = traits.Str(mandatory=True, desc="name of the raw image, for messages")
    tracer = traits.Str(mandatory=True, desc="code of the tracer table")


class QuantifyOutput(TraitedSpec):
    """Outputs of `Quantify`."""

    voi = traits.Dict(desc="statistics by volume of interest")
    record = traits.Dict(desc="its part of the record: voi, suvr, centiloid, flags")


class Quantify(SimpleInterface):
    """VOI means, uptake ratios and the Centiloid."""

    input_spec, output_spec = QuantifyInput, QuantifyOutput

    def _run_interface(self, runtime):
        pet = fetch_volume(self.inputs.pet)
        limits, equation = read_table("limits"), tracers()[self.inputs.tracer].equation
        rule = CoverageRule(**limits["voi_coverage"])
        table = measure(pet.data, vois(2), pet.grid.voxel_volume, least_coverage=rule.refuse)
        if reason := coverage_refusal(table, (TARGET, equation.reference_region), rule):
            raise BadDataError(f"{self.inputs.source}: {reason}")
        with about(self.inputs.source):
            suvr = uptake_ratios(table, target=TARGET, references=REFERENCES)
        value = centiloid(suvr[equation.reference_region], equation)
        found = (
            *coverage_findings(table, rule),
            *centiloid_findings(value, **limits["centiloid"]),
        )
        self._results["voi"] = {name: asdict(row) for name, row in table.items()}
        self._results["record"] = {
            "suvr": suvr,
            "centiloid": value,
            "flags": [asdict(finding) for finding in found],
            "voi": self._results["voi"],
        }
        return runtime


class RatioImagesInput(BaseInterfaceInputSpec):
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
            mean = self.inputs.voi[name]["mean"]
            if mean is not None:
                ratio = Volume(ratio_image(pet.data, mean), pet.affine)
                self._results[name] = keep_volume(Path(runtime.cwd) / f"suvr{name}.npz", ratio)
        return runtime

"""Nodes that turn the PET in MNI space into numbers and ratio images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nipype.interfaces.base import (
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from bidsapp.core.grid.volume import Volume
from bidsapp.core.quantification.scale import (
    Scale,
)
from bidsapp.core.quantification.suvr import ratio_image
from bidsapp.data import REFERENCES
from bidsapp.interfaces.store import InputSpec, about, fetch_volume, keep_volume
from bidsapp.record import RecordPart
from bidsapp.steps.quantifying import quantified


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

    def _run_interface(self, runtime: Any) -> Any:
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

    def _run_interface(self, runtime: Any) -> Any:
        pet = fetch_volume(self.inputs.pet)
        for name in REFERENCES:
            mean = self.inputs.voi[name].mean
            if mean is not None:
                ratio = Volume(ratio_image(pet.data, mean), pet.affine)
                self._results[name] = keep_volume(Path(runtime.cwd) / f"suvr{name}.npz", ratio)
        return runtime

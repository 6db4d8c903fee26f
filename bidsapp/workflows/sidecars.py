"""JSON content of every derivative: sources, required BIDS fields, and provenance."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bidsapp import __version__
from bidsapp.bids.command import command
from bidsapp.bids.derivatives import (
    OutputPlace,
    derivative_uri,
    output_path,
    outputs,
    raw_uri,
)
from bidsapp.bids.pet_metadata import activity_unit
from bidsapp.bids.plan import ScanPlan, T1wPlan
from bidsapp.data import REFERENCES, resource_hashes
from bidsapp.data.kinetics import map_keys
from bidsapp.data.pipelines import Pipeline
from bidsapp.data.tracers import any_tracer
from bidsapp.interfaces.derivatives import RawFile
from bidsapp.io.hashes import file_hash, remembered_hash
from bidsapp.record.model import (
    Longitudinal,
    Provenance,
    ScanRecord,
)
from bidsapp.record.parts import scale_part
from bidsapp.record.stages import planned_record
from bidsapp.settings import TEMPLATE_REFERENCE, TEMPLATE_SPACE, Processing

TISSUES = ("gm", "wm", "csf")
SUVR_IMAGES = tuple(f"suvr_{region}" for region in REFERENCES)
PET_IMAGE = {TEMPLATE_SPACE: "pet_mni", "T1w": "pet_t1w", "pet": "pet_native"}  # by space
PVC_IMAGES = {method: f"pvc_{method}" for method in ("rbv", "iy", "mg")}

_ON_TEMPLATE = {
    "Resolution": "2 mm isotropic, the grid of the GAAIN volumes of interest",
    "SpatialReference": TEMPLATE_REFERENCE,
}


@dataclass(frozen=True)
class Sidecars:
    """Sidecar content of a run, by image, scan and T1w.

    Attributes
    ----------
    bids_dir, output_dir : roots of the raw and of the derivative dataset
    processing : options that change numbers
    """

    bids_dir: Path
    output_dir: Path
    processing: Processing

    @cached_property
    def provenance(self) -> Provenance:
        """Version, options and resources behind every number."""
        return Provenance(
            version=__version__,
            command=command(self.processing),
            parameters=parameters(self.processing),
            resources=resource_hashes(),
        )

    def pipeline(self, scan: ScanPlan) -> Pipeline:
        """What decides the SUVRs of a scan.

        Parameters
        ----------
        scan : its plan

        Returns
        -------
        Pipeline
        """
        return Pipeline(self.processing, scan.tracer, scan.normalisation)

    def place(self, entities: Mapping[str, str]) -> OutputPlace:
        """Where derivatives of a raw image belong.

        Parameters
        ----------
        entities : BIDS entities of the raw image

        Returns
        -------
        OutputPlace
        """
        return OutputPlace(self.output_dir, dict(entities))

    def anatomical(self, t1w: T1wPlan) -> dict[str, dict[str, Any]]:
        """Sidecars of the derivatives of a T1w.

        Parameters
        ----------
        t1w : plan of a T1w or of a within-subject template

        Returns
        -------
        dict
            JSON content by key of ``data/outputs.toml``.
        """
        raw = self.sources(t1w)
        on_t1w, on_template, warp = self._uris(t1w, "t1w", "t1w_mni", "warp")
        aligned = {"SpatialReference": on_t1w, "Sources": raw}
        content: dict[str, dict[str, Any]] = {
            "t1w": {"Sources": raw},
            "mask": {"Type": "Brain", **aligned},
            "t1w_mni": {"Sources": [on_t1w, warp], **_ON_TEMPLATE},
            "warp": {"SpatialReference": on_template, "Sources": raw},
            "warp_inverse": aligned,
        }
        for key in TISSUES:
            content[key] = aligned
            content[f"{key}_mni"] = {"Sources": self._uris(t1w, key, "warp"), **_ON_TEMPLATE}
        return self._signed(content, t1w)

    def sources(self, t1w: T1wPlan) -> list[str]:
        """BIDS URIs of the raw images of a T1w or a within-subject template.

        Parameters
        ----------
        t1w : its plan

        Returns
        -------
        list of str
        """
        return [raw_uri(path, self.bids_dir) for path in t1w.raw]

    def visits(self, template: T1wPlan) -> list[dict[str, dict[str, Any]]]:
        """Sidecars of the transforms between T1ws and their within-subject template.

        Parameters
        ----------
        template : its plan

        Returns
        -------
        list of dict
            Per visit, JSON content by key.
        """
        [made] = self._uris(template, "t1w")
        contents = []
        for visit in template.visits:
            sources = self.sources(visit)
            fixed = {"visit_xfm": made, "visit_xfm_inverse": sources[0]}
            contents.append(self._signed(_transforms(fixed, [*sources, made]), visit))
        return contents

    def pet(self, scan: ScanPlan) -> dict[str, dict[str, Any]]:
        """Sidecars of the derivatives of a PET scan.

        Parameters
        ----------
        scan : its plan

        Returns
        -------
        dict
            JSON content by key of ``data/outputs.toml``.
        """
        tracer = any_tracer(scan.tracer)
        measured = {
            "TracerName": scan.metadata.tracer_name or tracer.name,
            "TracerRadionuclide": tracer.radionuclide,
            **_static_timing(scan),
        }
        activity = {"SkullStripped": False, "Units": scan.metadata.units, **measured}
        ratio = {"SkullStripped": False, "Units": "unitless", **measured, **_ON_TEMPLATE}
        raw = [raw_uri(pet, self.bids_dir) for pet in scan.files[0]]
        native, on_template = self._uris(scan, "pet_native", "pet_mni")
        content: dict[str, dict[str, Any]] = {
            "pet_native": activity | {"Sources": raw},
            "pet_mni": activity | _ON_TEMPLATE | {"Sources": [native, *self._to_template(scan)]},
            **dict.fromkeys(SUVR_IMAGES, ratio | {"Sources": [on_template]}),
        }
        if scan.t1w is None:
            fixed = {"pet_warp": on_template, "pet_warp_inverse": native}
            content |= _transforms(fixed, [native])
        else:
            position, t1w = self._uris(scan, "xfm", "t1w")
            on_t1w = {"SpatialReference": t1w, "Sources": [native, position, t1w]}
            content["pet_t1w"] = activity | on_t1w
            content |= _transforms({"xfm": native, "xfm_inverse": t1w}, [native, t1w])
        return self._signed(content, scan)

    def dynamic(self, scan: ScanPlan) -> dict[str, dict[str, Any]]:
        """Sidecars of the realigned frames, the curves and the motion of a PET scan.

        Parameters
        ----------
        scan : its plan

        Returns
        -------
        dict
            JSON content by key of ``data/outputs.toml``.
        """
        raw = [raw_uri(pet, self.bids_dir) for pet in scan.pets]
        units = {} if activity_unit(scan.metadata.units) is None else {"Units": "Bq/mL"}
        frames = self.pet(scan)["pet_native"] | units
        tables = {"tacs": {"Sources": raw + self._to_template(scan)}, "motion": {"Sources": raw}}
        return self._signed(tables, scan) | {
            "pet_dynamic": frames | {"ImageDecayCorrectionTime": 0, "Sources": raw}
        }

    def kinetics(self, scan: ScanPlan) -> dict[str, dict[str, Any]]:
        """Sidecars of the kinetic parameters of a dynamic PET scan.

        Parameters
        ----------
        scan : its plan

        Returns
        -------
        dict
            JSON content by key of ``data/outputs.toml``.
        """
        sources = self._uris(scan, "pet_dynamic") + self._to_template(scan)
        mean = self.pet(scan)["pet_mni"]
        image = {key: mean[key] for key in ("TracerName", "TracerRadionuclide", *_ON_TEMPLATE)}
        image |= {"SkullStripped": True, "Units": "unitless", "Sources": sources}
        image["ReferenceRegion"] = self.processing.kinetics_reference
        images = dict.fromkeys(map_keys(self.processing), image)
        return self._signed({"kinpar": {"Sources": sources}, **images}, scan)

    def pvc(self, scan: ScanPlan) -> dict[str, dict[str, Any]]:
        """Sidecars of the partial volume correction of a PET scan.

        Parameters
        ----------
        scan : its plan, with a T1w

        Returns
        -------
        dict
            JSON content by key of ``data/outputs.toml``.
        """
        sources = self._uris(scan, "pet_native", "xfm", *TISSUES, "warp")
        image = self.pet(scan)["pet_native"] | {"Sources": sources}
        images = dict.fromkeys(PVC_IMAGES.values(), image)
        return self._signed({"pvc": {"Sources": sources}}, scan) | images

    def regional(self, scan: ScanPlan, space: str) -> dict[str, Any]:
        """Sidecar of the atlas tables of a PET scan in a space, columns left out.

        Parameters
        ----------
        scan : its plan
        space : ``pet``, ``T1w`` or ``MNI152NLin6Asym``

        Returns
        -------
        dict
        """
        return {"Sources": self._uris(scan, PET_IMAGE[space])} | self._made_by(scan)

    def masks(self, scan: ScanPlan, space: str) -> dict[str, Any]:
        """Sidecar of the region masks; those in T1w space are the same for all scans of the T1w.

        Parameters
        ----------
        scan : its plan
        space : ``pet``, ``T1w`` or ``MNI152NLin6Asym``

        Returns
        -------
        dict
        """
        own = self.mask_owner(scan, space)
        if isinstance(own, ScanPlan):
            [image], transforms = self._uris(own, PET_IMAGE[space]), self._to_template(own)
        else:
            key = "t1w_mni" if space == TEMPLATE_SPACE else "t1w"
            image, *transforms = self._uris(own, key, "warp")
        reference = TEMPLATE_REFERENCE if space == TEMPLATE_SPACE else image
        content = {"SpatialReference": reference, "Sources": [image, *transforms]}
        return content | self._made_by(own)

    def ratio(self, scan: ScanPlan, space: str) -> dict[str, Any]:
        """Sidecar of the ratio and Centiloid images of a PET scan in a space, units left out.

        Parameters
        ----------
        scan : its plan
        space : ``pet``, ``T1w`` or ``MNI152NLin6Asym``

        Returns
        -------
        dict
        """
        image = PET_IMAGE[space]
        return self.pet(scan)[image] | {"Sources": self._uris(scan, image)}

    def record(self, scan: ScanPlan) -> ScanRecord:
        """Record of a scan before it is processed.

        Parameters
        ----------
        scan : its plan

        Returns
        -------
        ScanRecord
        """
        if scan.t1w is None:
            method = "pet-only"
        else:
            method = f"{scan.anatomy}+{self.processing.pet_to_t1w.value}"
        return planned_record(
            scan,
            self.bids_dir,
            **scale_part(self.pipeline(scan)),
            method=method,
            longitudinal=self._longitudinal(scan),
            provenance=self.provenance,
        )

    def raw_files(self, scan: ScanPlan) -> list[RawFile]:
        """Raw images behind a scan, as they are when it is planned.

        Parameters
        ----------
        scan : its plan

        Returns
        -------
        list of RawFile
        """
        named = {"pet": scan.pet}
        if scan.t1w is not None and scan.t1w.t1w is not None:
            named["t1w"] = scan.t1w.t1w
        named |= {path.name: path for path in scan.raw if path not in named.values()}
        return [RawFile(name, path, _content_hash(path)) for name, path in named.items()]

    def mask_owner(self, scan: ScanPlan, space: str) -> ScanPlan | T1wPlan:
        """Whose derivatives masks are: those of a T1w are the same for all of its scans.

        Parameters
        ----------
        scan : its plan
        space : ``pet``, ``T1w`` or ``MNI152NLin6Asym``

        Returns
        -------
        ScanPlan or T1wPlan
        """
        return scan if scan.t1w is None or space == "pet" else scan.t1w

    def _longitudinal(self, scan: ScanPlan) -> Longitudinal | None:
        """Part of the record about the within-subject template; None when none was requested."""
        if not self.processing.longitudinal:
            return None
        if scan.t1w is not None and scan.anatomy == "template":
            return Longitudinal(True, None, tuple(self.sources(scan.t1w)))
        return Longitudinal(
            False,
            "fewer than two sessions of the participant have a usable T1w, so the scan was "
            "processed as without --longitudinal",
        )

    def _to_template(self, scan: ScanPlan) -> list[str]:
        """What carries the PET to the template."""
        return self._uris(scan, *(("pet_warp",) if scan.t1w is None else ("xfm", "warp")))

    def _uris(self, plan: ScanPlan | T1wPlan, *keys: str) -> list[str]:
        """BIDS URIs of derivatives of a T1w, or of a scan and of the T1w that places it."""
        t1w = plan.t1w if isinstance(plan, ScanPlan) else plan
        of_datatype = {"pet": plan.entities, "anat": t1w.entities if t1w else {}}
        entities = {key: of_datatype[outputs()[key].datatype] for key in keys}
        paths = (output_path(self.output_dir, key, own) for key, own in entities.items())
        return [derivative_uri(path, self.output_dir) for path in paths]

    def _signed(
        self, content: Mapping[str, dict[str, Any]], plan: ScanPlan | T1wPlan
    ) -> dict[str, dict[str, Any]]:
        made_by = self._made_by(plan)
        return {key: value | made_by for key, value in content.items()}

    def _made_by(self, plan: ScanPlan | T1wPlan) -> dict[str, Any]:
        """What made a derivative, and the hashes of the raw images behind it."""
        resources = "".join(resource_hashes().values())
        return {
            "CentiPET": {
                "Version": __version__,
                "Command": self.provenance.command,
                "Parameters": self.provenance.parameters,
                "Inputs": {raw_uri(path, self.bids_dir): _content_hash(path) for path in plan.raw},
                "Template": TEMPLATE_SPACE,
                "ResourcesHash": "sha256:" + hashlib.sha256(resources.encode()).hexdigest(),
            }
        }


def _transforms(fixed: Mapping[str, str], sources: list[str]) -> dict[str, dict[str, Any]]:
    """Sidecars of transforms by key, each with the image that it moves others to."""
    return {key: {"SpatialReference": image, "Sources": sources} for key, image in fixed.items()}


def _content_hash(path: Path) -> str:
    """SHA-256 of a raw image; one that cannot be read fails where it is needed, not here."""
    try:
        return remembered_hash(path)
    except OSError:
        return "n/a"


def parameters(processing: Processing) -> dict[str, Any]:
    """Options that change numbers, as JSON.

    Parameters
    ----------
    processing : the options

    Returns
    -------
    dict
        By name of the field; a file as its name and SHA-256.
    """
    return {name: _plain(value) for name, value in asdict(processing).items()}


def _plain(value: Any) -> Any:
    """JSON of an option; a file counts by its content, not its path."""
    if isinstance(value, Path) and value.is_dir():
        files = sorted(path for path in value.rglob("*") if path.is_file())
        return {"name": value.name, "files": {path.name: file_hash(path) for path in files}}
    if isinstance(value, Path):
        return {"name": value.name, "sha256": file_hash(value)}
    if isinstance(value, dict):
        chosen = {name: option for name, option in value.items() if option not in (None, ())}
        return {n: option.name if n == "own" else _plain(option) for n, option in chosen.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _static_timing(scan: ScanPlan) -> dict[str, Any]:
    """Times of the mean, seconds after injection: one frame, corrected to one moment."""
    start, end = (60 * minutes for minutes in scan.window.used_min)
    timing = scan.metadata
    reference = timing.decay_reference_s if timing.decay_corrected else timing.frame_start_s[0]
    if timing.frame_reference_s is not None:
        reference = timing.frame_reference_s[0]
    return {
        "InjectionStart": 0,
        "FrameTimesStart": [start],
        "FrameDuration": [end - start],
        "ImageDecayCorrected": True,
        "ImageDecayCorrectionTime": reference,
    }

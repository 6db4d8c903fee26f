"""Nodes that measure a PET in the regions of atlases, corrected for blur or not, and write it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bidsapp.bids.derivatives import OutputPlace, sidecar_path
from bidsapp.core.grid.volume import Volume
from bidsapp.core.quantification.centiloid import Equation
from bidsapp.core.quantification.suvr import centiloid_image, ratio_image
from bidsapp.core.regions.regions import Regions
from bidsapp.data import read_table
from bidsapp.data.atlases import Atlas, chosen_atlases
from bidsapp.errors import BadDataError
from bidsapp.interfaces.define import interface
from bidsapp.interfaces.derivatives import described, measured_or_zero, named, shown_as
from bidsapp.interfaces.transfer import Arrays, Tables
from bidsapp.io.atomic import write_json, write_lines
from bidsapp.io.nifti import save_volume
from bidsapp.io.tsv import line, write_table
from bidsapp.record import RecordPart
from bidsapp.record.parts import not_corrected
from bidsapp.settings import TEMPLATE_SPACE, AtlasFile, Processing, PvcMethod
from bidsapp.steps.correcting import VOI_ATLAS, corrected, corrected_columns
from bidsapp.steps.head import HeadTissues, PlacedHead
from bidsapp.steps.measuring import measure_atlases, region_dictionary, space_of
from bidsapp.steps.parcellating import accept

Space = Literal["MNI152NLin6Asym", "T1w", "pet"]


@interface("processing", "record")
def AcceptParcellations(
    parcellations: list[AtlasFile],
    tissues: HeadTissues,
    processing: Processing,
) -> tuple[Processing, RecordPart]:
    """Select the parcellations of a participant that match the head of the T1w.

    Parameters
    ----------
    parcellations : of the participant, in the space of the T1w
    tissues : as `Segment` gives them
    processing : options of the run

    Returns
    -------
    processing
        Options of the scan.
    record
    """
    own, flags = accept(parcellations, tissues, processing)
    return own, RecordPart(flags=flags)


@interface("tables", "masks", "references", "record")
def MeasureRegions(
    pet: Volume,
    space: Space,
    processing: Processing,
    equations: dict[str, Equation],
    head: PlacedHead,
) -> tuple[Tables, Arrays | None, dict[str, Any], RecordPart]:
    """Uptake in every region of every atlas of the run, in one space.

    Parameters
    ----------
    pet : in the space, NaN where not measured
    space : the space it is in
    processing : atlases and references
    equations : of the Centiloid, by reference region
    head : where it lies, and its tissues

    Returns
    -------
    tables
        Columns by atlas, uptake by reference region, histograms by atlas.
    masks
        Regions in the space, when they are asked for.
    references
        Mean uptake by reference region, None where not measured.
    record
    """
    atlas_space = space_of(head, space, pet.grid)
    measures = measure_atlases(pet.data, atlas_space, processing=processing, equations=equations)
    uptake = {name: asdict(uptake_of) for name, uptake_of in measures.references.items()}
    masks = None
    if processing.write_masks:
        regions = {
            atlas.name: atlas_space.placed(atlas.drawn, atlas.grid)
            for atlas in chosen_atlases(processing)
        }
        if (threshold := processing.voi_threshold) is not None:
            regions = {name: placed.at_least(threshold) for name, placed in regions.items()}
        masks = {"affine": pet.affine, **_arrays(regions)}
    means = {name: uptake_of.mean for name, uptake_of in measures.references.items()}
    tables = {
        "columns": measures.columns, "references": uptake, "histograms": measures.histograms,
    }  # fmt: skip
    return tables, masks, means, RecordPart(reference_uptake=measures.references)


def _arrays(regions: Mapping[str, Regions]) -> dict[str, NDArray[Any]]:
    """Plain arrays of several sets of regions, for storage."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, region_set in regions.items():
        arrays |= {f"{name}_voxels": region_set.voxels, f"{name}_starts": region_set.starts}
        if region_set.weights is not None:
            arrays[f"{name}_weights"] = region_set.weights
    return arrays | {"shape": np.array(next(iter(regions.values())).shape)}


def _stored(arrays: Mapping[str, NDArray[Any]], name: str) -> Regions:
    x, y, z = arrays["shape"].tolist()
    weights = arrays.get(f"{name}_weights")
    return Regions((x, y, z), arrays[f"{name}_voxels"], arrays[f"{name}_starts"], weights)


@interface("written", always_run=True)
def SaveRegions(
    place: OutputPlace,
    tables: Tables,
    space: Space,
    processing: Processing,
    units: str,
    sidecar: dict[str, Any],
) -> list[str]:
    """Write a table per atlas with its dictionary: the same rows for every scan.

    Parameters
    ----------
    place : where it belongs
    tables, space : as `MeasureRegions` gives and takes them
    processing : atlases and references
    units : of the PET
    sidecar : JSON content besides the columns

    Returns
    -------
    list of str
        As `SaveImages`.
    """
    columns = region_dictionary(processing, units)
    placed = {} if space == TEMPLATE_SPACE else {"space": space}
    files = []
    for atlas in chosen_atlases(processing):
        about: dict[str, Any] = {"Atlas": atlas.name}
        about |= {"Parcellation": atlas.source} if atlas.source else {}
        about |= {"Space": space} | ({"Notes": list(atlas.notes)} if atlas.notes else {}) | sidecar
        for kind, content, dictionary, measure in (
            ("vois", tables["columns"], columns, "Uptake"),
            ("histograms", tables["histograms"], read_table("histogram_columns"), "SUVR histogram"),
        ):
            if atlas.name in content:
                path = place.path(kind, atlas=atlas.name, **placed)
                description = {"Description": f"{measure} in the regions of {atlas.title}"}
                files.append(
                    write_table(path, content[atlas.name], dictionary, description | about)
                )
    return named(place, *files)


@interface("written", always_run=True)
def SaveMasks(
    place: OutputPlace,
    masks: Arrays,
    kind: Literal["pet", "t1w"],
    space: Space,
    processing: Processing,
    sidecar: dict[str, Any],
) -> list[str]:
    """Write the regions of every atlas as images.

    Parameters
    ----------
    place : where they belong
    masks, space : as `MeasureRegions` gives and takes them
    kind : of the image whose derivatives they are
    processing : atlases
    sidecar : JSON content

    Returns
    -------
    list of str
        As `SaveImages`.
    """
    placed = {"space": TEMPLATE_SPACE, "res": "2"} if space == TEMPLATE_SPACE else {}
    files = []
    for atlas in chosen_atlases(processing):
        suffix = "probseg" if atlas.drawn.overlapping else "dseg"
        image = place.path(f"{kind}_{suffix}", atlas=atlas.name, **placed)
        files += _write_masks(image, masks, atlas, space, sidecar)
    return named(place, *files)


def _write_masks(
    image: Path,
    masks: Mapping[str, NDArray[Any]],
    atlas: Atlas,
    space: str,
    sidecar: dict[str, Any],
) -> list[Path]:
    """Write the regions of an atlas: labels, or a map each where they overlap."""
    regions, names = _stored(masks, atlas.name), [row.name for row in atlas.rows]
    content = {"Description": f"Regions of {atlas.title}", "Atlas": atlas.name}
    if space == TEMPLATE_SPACE:
        content["Resolution"] = "2 mm isotropic, the grid of the GAAIN volumes of interest"
    if atlas.drawn.overlapping:
        save_volume(image, Volume(regions.maps(), masks["affine"]))
        write_json(sidecar_path(image), content | sidecar | {"LabelMap": names})
        return [image]
    index = [row.index for row in atlas.rows]
    save_volume(image, Volume(regions.labelled(index), masks["affine"]))
    write_json(sidecar_path(image), content | sidecar)
    rows = [("index", "name"), *zip(index, names, strict=True)]
    return [image, write_lines(sidecar_path(image).with_suffix(".tsv"), map(line, rows))]


@interface("written", always_run=True)
def SaveRatios(
    place: OutputPlace,
    pet: Volume,
    references: dict[str, Any],
    equations: dict[str, Equation],
    space: Space,
    sidecar: dict[str, Any],
    skip: Sequence[str] = (),
) -> list[str]:
    """Write ratio images and, where there is an equation, Centiloid images, one per reference.

    Parameters
    ----------
    place : where it belongs
    pet : in the space, NaN where not measured
    references : mean uptake by reference region
    equations : of the Centiloid, by reference region
    space : of the PET
    sidecar : JSON content but units
    skip : reference regions whose ratio image another node writes

    Returns
    -------
    list of str
        As `SaveImages`.
    """
    placed = {"pet": {}, "T1w": {"space": "T1w"}}.get(space, {"space": TEMPLATE_SPACE, "res": "2"})
    files = []
    for name, mean in references.items():
        if mean is None or mean <= 0:
            continue
        ratio = ratio_image(pet.data, mean)
        images = {} if name in skip else {"suvr": ratio}
        if (line := equations.get(name)) is not None:
            images["cl"] = centiloid_image(ratio, line.slope, line.intercept)
        for kind, data in images.items():
            key = f"{kind}_image"
            path = place.path(key, desc=f"{kind}{name}", **placed)
            shown = shown_as(kind, sidecar.get("TracerName"))
            save_volume(path, measured_or_zero(Volume(data, pet.affine)), shown=shown)
            content = {"ReferenceRegion": name, "Units": "CL" if kind == "cl" else "unitless"}
            write_json(sidecar_path(path), described(key, content | sidecar))
            files.append(path)
    return named(place, *files)


_METHODS = (PvcMethod.RBV, PvcMethod.IY, PvcMethod.MG)


@interface("tables", "record", *(f"pvc_{method.value}" for method in _METHODS))
def Correct(
    pet: Volume, head: PlacedHead, regions: Arrays, processing: Processing
) -> tuple[Tables, RecordPart, *tuple[Volume | None, ...]]:
    """Partial volume correction in the regions of every atlas, on the grid of the PET.

    Parameters
    ----------
    pet : mean PET on its native grid
    head : where it lies, and its tissues
    regions : as `NativeRegions` gives them
    processing : methods, resolution, atlases

    Returns
    -------
    tables
        Columns by atlas.
    record
    pvc_rbv, pvc_iy, pvc_mg
        Images by region-based voxel-wise correction, by iterative Yang correction, of grey matter
        by the method of Mueller-Gaertner.
    """
    try:
        by_atlas, record = corrected(pet, head, regions, processing)
    except BadDataError as error:
        return {}, not_corrected(str(error)), None, None, None
    images = {
        method: Volume(data, pet.affine) for method, data in by_atlas[VOI_ATLAS].images.items()
    }
    chosen = chosen_atlases(processing)
    tables = {atlas.name: corrected_columns(by_atlas[atlas.name], atlas) for atlas in chosen}
    return tables, record, *map(images.get, _METHODS)

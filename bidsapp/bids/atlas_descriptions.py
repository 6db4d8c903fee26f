"""Descriptions and regions of the atlases of a run, in the top folder of its output.

``atlas-<label>_description.json``, and for those of the package ``tpl-MNI152NLin6Asym/anat`` with
the regions as they were used. An atlas of a user is not copied, its licence may forbid it; it is
described where masks are written, since BIDS wants no description without a file it describes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bidsapp import __version__
from bidsapp.bids.seals import is_intact, sealed
from bidsapp.core.grid.volume import Volume
from bidsapp.data import mni_grid, read_table
from bidsapp.data.atlases import Atlas, atlas
from bidsapp.io.atomic import write_text
from bidsapp.io.hashes import file_hash
from bidsapp.io.nifti import save_volume
from bidsapp.io.tsv import line
from bidsapp.settings import (
    TEMPLATE_REFERENCE,
    TEMPLATE_SPACE,
    AtlasChoice,
    AtlasFile,
    ParcellationChoice,
)


def write_atlases(output_dir: Path, choices: Iterable[AtlasChoice], *, masks: bool) -> None:
    """Describe the atlases of a run and write those of the package.

    Parameters
    ----------
    output_dir : root of the derivatives
    choices : of the run
    masks : whether the run writes the regions of every scan
    """
    for choice in choices:
        if not isinstance(choice, AtlasFile | ParcellationChoice):
            _write_regions(output_dir, atlas(choice))
        elif not masks:
            continue
        path = output_dir / f"atlas-{choice.name}_description.json"
        write_text(path, sealed(_description(choice)))


def _write_regions(output_dir: Path, parcellation: Atlas) -> None:
    """Label image with its table; maps where regions overlap. Nothing if it is there already."""
    overlap = parcellation.regions.overlapping
    stem = (
        f"tpl-{TEMPLATE_SPACE}_atlas-{parcellation.name}_res-2_{'probseg' if overlap else 'dseg'}"
    )
    image = output_dir / f"tpl-{TEMPLATE_SPACE}" / "anat" / f"{stem}.nii.gz"
    data = parcellation.regions.maps() if overlap else parcellation.labels
    content: dict[str, Any] = {
        "Description": f"Regions of {parcellation.title}",
        "Resolution": "2 mm isotropic, the grid of the GAAIN volumes of interest",
        "SpatialReference": TEMPLATE_REFERENCE,
        "CentiPET": {"Version": __version__, "Voxels": hashlib.sha256(data.tobytes()).hexdigest()},
    }
    if overlap:
        content["LabelMap"] = [row.name for row in parcellation.rows]
    files = [image]
    if not overlap:
        rows = [("index", "name"), *((row.index, row.name) for row in parcellation.rows)]
        files.append(image.with_name(f"{stem}.tsv"))
        write_text(files[-1], "".join(map(line, rows)))
    sidecar = image.with_name(f"{stem}.json")
    if not image.is_file() or not _tells(sidecar, content):
        save_volume(image, Volume(data, mni_grid(2).affine))
        content["Files"] = {path.name: file_hash(path) for path in files}
        write_text(sidecar, sealed(content))


def _tells(path: Path, content: dict[str, Any]) -> bool:
    """Whether a sidecar is whole and holds this content."""
    try:
        text = path.read_bytes()
        return is_intact(text) and content.items() <= json.loads(text).items()
    except (OSError, ValueError):
        return False


def _description(choice: AtlasChoice) -> dict[str, Any]:
    """Of an atlas; its regions only where everybody has the same."""
    if isinstance(choice, ParcellationChoice):
        made = "given by the user" if choice.program is None else f"made by {choice.program}"
        return {
            "Name": choice.name,
            "License": f"unknown: {made}",
            "DerivedFrom": f"a parcellation of every participant, {made}",
        }
    parcellation, about = atlas(choice), dict[str, Any]()
    if isinstance(choice, AtlasFile):
        about = {
            "Name": choice.name,
            "License": "unknown: given by the user",
            "DerivedFrom": f"{choice.image.name}, {file_hash(choice.image)}",
        }
    else:
        entry = read_table("atlases")[choice.name]
        reference = read_table("references")[entry["reference"]]
        about = {
            "Name": entry["title"],
            "License": entry["license"],
            "ReferencesAndLinks": [f"{reference['full']} doi:{reference['doi']}"],
            "DerivedFrom": f"{entry['package']}, drawn in {entry['space']}",
        }
    return about | {
        "SampledOn": "MNI152NLin6Asym, 2 mm, the grid of the GAAIN volumes of interest",
        "Regions": {str(row.index): row.name for row in parcellation.rows},
        "Composites": {
            name: [parcellation.rows[place].name for place in places]
            for name, places in parcellation.composites.items()
        },
        "Notes": list(parcellation.notes),
    }

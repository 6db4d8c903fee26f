"""What each atlas of a run is: ``atlas-<label>_description.json`` at the root of the output."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bidsapp.data import read_table
from bidsapp.data.atlases import Atlas, atlas
from bidsapp.nifti import file_hash, write_text
from bidsapp.settings import AtlasChoice


def write_atlas_descriptions(output_dir: Path, choices: Iterable[AtlasChoice]) -> None:
    """Describe the atlases of a run at the root of its output.

    Parameters
    ----------
    output_dir : root of the derivatives
    choices : atlases by name or file
    """
    for choice in choices:
        path = output_dir / f"atlas-{choice.name}_description.json"
        text = json.dumps(_description(choice, atlas(choice)), indent=2, ensure_ascii=False) + "\n"
        if not path.is_file() or path.read_bytes() != text.encode():
            write_text(path, text)


def _description(choice: AtlasChoice, one: Atlas) -> dict[str, Any]:
    if choice.image is None:
        entry = read_table("atlases")[choice.name]
        reference = read_table("references")[entry["reference"]]
        about = {
            "Name": entry["title"],
            "License": entry["license"],
            "ReferencesAndLinks": [f"{reference['full']} doi:{reference['doi']}"],
            "DerivedFrom": f"{entry['package']}, drawn in {entry['space']}",
        }
    else:
        about = {
            "Name": choice.name,
            "License": "unknown: given by the user",
            "DerivedFrom": f"{choice.image.name}, {file_hash(choice.image)}",
        }
    return about | {
        "SampledOn": "MNI152NLin6Asym, 2 mm, the grid of the GAAIN volumes of interest",
        "Regions": {str(row.index): row.name for row in one.rows},
        "Composites": {
            name: [one.rows[place].name for place in places]
            for name, places in one.composites.items()
        },
        "Notes": list(one.notes),
    }

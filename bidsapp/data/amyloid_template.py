"""The template for an amyloid PET without a T1w, from resources of the package."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from bidsapp.core.pet_only.pet_template import PetTemplate, pet_template
from bidsapp.data import TARGET, priors, template_mask, vois
from bidsapp.data.atlases import atlas

# Lobes of the Desikan-Killiany table whose grey matter takes up tracer alike; white matter and
# ventricles are left to the nearest of them.
TERRITORIES = {
    "cerebellum": ("cerebellum", "brainstem"),
    "deep": ("subcortical",),
    "cerebrum": ("frontal", "parietal", "temporal", "occipital", "cingulate", "insula"),
}


@lru_cache
def amyloid_template() -> PetTemplate:
    """Patterns on ``mni_grid(2)``.

    Returns
    -------
    PetTemplate
    """
    regions = atlas("DesikanKilliany")
    lobes = {row.index: row.lobe for row in regions.rows}
    labels = regions.labels
    masks = {
        name: np.isin(labels, [index for index, lobe in lobes.items() if lobe in wanted])
        for name, wanted in TERRITORIES.items()
    }
    return pet_template(priors(), masks, template_mask(2).data, vois(2)[TARGET])

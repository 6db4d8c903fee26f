"""Segmentation of a T1w with the resources of the package: the whole of it in one call.

from bidsapp.steps.anatomy import segment_head
from bidsapp.io.nifti import load_volume
found = segment_head(load_volume("sub-01_T1w.nii.gz", ndim=3))
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bidsapp.core.anatomy.confidence import Template
from bidsapp.core.anatomy.normalise import Normalised, normalise
from bidsapp.core.frames.damage import without_spikes
from bidsapp.core.grid.volume import Volume
from bidsapp.core.quality import missing_findings
from bidsapp.data import priors, read_table, template_mask, vois


def segment_head(t1w: Volume) -> Normalised:
    """Segment a T1w and check the result (`bidsapp.core.anatomy.normalise`).

    Parameters
    ----------
    t1w : Volume, 3D
        Any orientation and voxel size, with or without skull. Voxels that are not finite, or
        brighter than anything in a head, are missing.

    Returns
    -------
    Normalised
        ``segmentation`` (maps, bias-corrected T1w, brain mask, warp, field), ``quality`` and
        ``findings``.

    Raises
    ------
    BadDataError
        The image holds no head.
    """
    template = Template(priors(), template_mask(2).data, vois(2))
    t1w = without_spikes(t1w)
    found = normalise(t1w, template, read_table("limits"))
    missing = int((found.segmentation.brain_mask & ~np.isfinite(t1w.data)).sum())
    return replace(found, findings=(*found.findings, *missing_findings(missing)))

"""Segmentation of a T1w with the resources of the package: the whole of it in one call.

from bidsapp.data.segmentation import segment_head
from bidsapp.nifti import load_volume
found = segment_head(load_volume("sub-01_T1w.nii.gz", ndim=3))
"""

from __future__ import annotations

from bidsapp.core.confidence import Template
from bidsapp.core.normalise import Normalised, normalise
from bidsapp.data import priors, read_table, template_mask, vois
from bidsapp.volume import Volume


def segment_head(t1w: Volume) -> Normalised:
    """Segment a T1w and check the result (`bidsapp.core.normalise`).

    Parameters
    ----------
    t1w : Volume, 3D
        Any orientation and voxel size, with or without skull.

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
    return normalise(t1w, template, read_table("limits"))

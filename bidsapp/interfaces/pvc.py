"""Node that corrects a PET for the partial volume effect."""

from __future__ import annotations

from bidsapp.core.grid.volume import Volume
from bidsapp.data.atlases import chosen_atlases
from bidsapp.errors import BadDataError
from bidsapp.interfaces.define import interface
from bidsapp.interfaces.transfer import Arrays, Image, Rigid, Tables, WarpArrays
from bidsapp.record import RecordPart
from bidsapp.record.parts import not_corrected
from bidsapp.settings import Processing, PvcMethod
from bidsapp.steps.correcting import VOI_ATLAS, RegisteredAnatomy, corrected, corrected_columns

_METHODS = (PvcMethod.RBV, PvcMethod.IY, PvcMethod.MG)


@interface("tables", "record", *(f"pvc_{method.value}" for method in _METHODS))
def Correct(
    pet: Image,
    gm: Image,
    wm: Image,
    csf: Image,
    mask: Image,
    regions: Arrays,
    warp: WarpArrays,
    t1w_to_pet: Rigid,
    processing: Processing,
) -> tuple[Tables, RecordPart, *tuple[Image | None, ...]]:
    """Partial volume correction in the regions of every atlas, on the grid of the PET.

    Parameters
    ----------
    pet : mean PET on its native grid
    gm, wm, csf, mask, regions, warp : as `Segment` and `NativeRegions` give them
    t1w_to_pet : as `Register` gives it
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
    anatomy = RegisteredAnatomy(
        grey=gm,
        white=wm,
        fluid=csf,
        brain=mask.data,
        regions=regions,
        warp=warp,
        to_pet=t1w_to_pet,
    )
    try:
        by_atlas, record = corrected(pet, anatomy, processing)
    except BadDataError as error:
        return {}, not_corrected(str(error)), None, None, None
    images = {
        method: Volume(data, pet.affine) for method, data in by_atlas[VOI_ATLAS].images.items()
    }
    chosen = chosen_atlases(processing)
    tables = {atlas.name: corrected_columns(by_atlas[atlas.name], atlas) for atlas in chosen}
    return tables, record, *map(images.get, _METHODS)

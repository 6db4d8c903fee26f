"""Partial volume correction in the regions of every atlas, on the grid of the PET."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.grid.alignment import Matrix, inverse
from bidsapp.core.grid.resample import resample
from bidsapp.core.grid.sampling import FWHM_PER_SIGMA, blur
from bidsapp.core.grid.volume import Grid, Volume
from bidsapp.core.quantification.resolution import INTERPOLATION, Widths
from bidsapp.core.regions.compartments import Tissues, compartments
from bidsapp.core.regions.corrected import Corrected, correct
from bidsapp.core.regions.pvc import in_voxels
from bidsapp.core.regions.regions import Regions
from bidsapp.data import VOI_NAMES, read_table
from bidsapp.data.atlases import Atlas, atlas, chosen_atlases
from bidsapp.io.tsv import finite_number
from bidsapp.record import RecordPart
from bidsapp.record.parts import corrected_part
from bidsapp.settings import Processing
from bidsapp.steps.head import Masks, PlacedHead, pet_resolution
from bidsapp.steps.measuring import pet_space

VOI_ATLAS = "Centiloid"  # its regions make the images and the ratios


class AnatomyOnPet:
    """Atlas regions and tissues on the grid of a PET."""

    def __init__(self, grid: Grid, head: PlacedHead) -> None:
        self.grid, self.head = grid, head
        self.to_t1w = inverse(head.t1w_to_pet)
        self._space = pet_space(grid, replace(head, tissues=None))

    def on(self, regions: Regions, own: Grid | None = None) -> Regions:
        """Resample regions to the grid of the PET.

        Parameters
        ----------
        regions : on the 2 mm MNI grid, or on ``own``
        own : grid in T1w space

        Returns
        -------
        Regions
            On the native grid of the PET.
        """
        return self._space.placed(regions, own)

    def tissues(self) -> Tissues:
        """Resample the tissues to the grid of the PET.

        Returns
        -------
        Tissues
            Tissue fractions, 0 to 1, and masks of cerebellum and brainstem.
        """
        head = self.head.tissues
        assert head is not None
        grey, white, fluid = (
            fractions(tissue, self.grid, self.to_t1w) for tissue in (head.gm, head.wm, head.csf)
        )
        gaain = self.on(atlas(VOI_ATLAS).regions)
        cerebellum = self._mask(gaain, "wc")
        stem = (self._mask(gaain, "wcb") | self._mask(gaain, "pons")) & ~cerebellum
        return Tissues(grey, white, fluid, cerebellum, stem)

    def _mask(self, regions: Regions, name: str) -> NDArray[np.bool_]:
        mask = np.zeros(self.grid.shape, bool)
        mask.reshape(-1)[regions.of(VOI_NAMES.index(name))] = True
        return mask


def fractions(tissue: Volume, grid: Grid, to_tissue: Matrix) -> np.ndarray:
    """Fraction of every voxel of ``grid`` that a tissue fills.

    Before interpolation the map is smoothed by a Gaussian with the variance that the larger voxel
    has over the smaller one, which approximates the mean over the larger voxel.

    Parameters
    ----------
    tissue : probability on its own grid
    grid : of the result
    to_tissue : ndarray, shape (4, 4)
        World of ``grid`` -> world of ``tissue``, RAS mm.

    Returns
    -------
    ndarray, shape of ``grid``
        0 to 1; 0 outside the map.
    """
    width = float(np.sqrt(_of_voxels(tissue.grid, grid)))
    fraction = resample(blur(tissue, width) if width else tissue, grid, to_tissue)
    return np.clip(np.nan_to_num(fraction.data), 0, 1)


def _of_voxels(tissue: Grid, grid: Grid) -> float:
    """Square of the FWHM, mm^2, by which voxels of ``grid`` blur more than those of the tissue."""
    larger = (grid.voxel_size**2).mean() - (tissue.voxel_size**2).mean()
    return float(FWHM_PER_SIGMA**2 * max(larger, 0.0) / 12)


def beyond_fractions(measured_mm: Widths, tissue: Grid, grid: Grid) -> Widths:
    """Point spread that blurs `fractions` to the resolution measured in an image.

    The fractions of the voxels have a part of it already.

    Parameters
    ----------
    measured_mm : FWHM along the axes of ``grid``, mm
    tissue, grid : of the tissue maps, of the image

    Returns
    -------
    tuple of float
        FWHM, mm.
    """
    contained = _of_voxels(tissue, grid) + INTERPOLATION * float((tissue.voxel_size**2).mean())
    x, y, z = (float(np.sqrt(max(width**2 - contained, 0.0))) for width in measured_mm)
    return x, y, z


def corrected(
    pet: Volume, head: PlacedHead, regions: Masks, processing: Processing
) -> tuple[dict[str, Corrected], RecordPart]:
    """Correct a PET in every atlas of a run.

    Parameters
    ----------
    pet : mean over the window, native grid
    head : the head it is of, with its tissues
    regions : masks ``ctx`` and ``cbl`` on the T1w grid
    processing : methods, resolution, atlases

    Returns
    -------
    dict
        Result by atlas.
    RecordPart

    Raises
    ------
    BadDataError
        It cannot be corrected.
    """
    placed = AnatomyOnPet(pet.grid, head)
    tissues = placed.tissues()
    psf_mm, source = pet_resolution(pet, head, regions, processing.psf_mm)
    if processing.psf_mm is None and head.tissues is not None:
        psf_mm = beyond_fractions(psf_mm, head.tissues.gm.grid, pet.grid)
    fwhm_vox = in_voxels(psf_mm, pet.grid.voxel_size)
    by_atlas = {}
    for parcellation in chosen_atlases(processing):
        parts, measured = (
            placed.on(part, parcellation.grid)
            for part in (parcellation.regions, parcellation.measured)
        )
        model = compartments(parts, measured, tissues)
        by_atlas[parcellation.name] = correct(pet.data, model, fwhm_vox, processing.pvc)
    names = atlas(VOI_ATLAS).names
    return by_atlas, corrected_part(by_atlas[VOI_ATLAS], names, psf_mm, source)


def corrected_columns(result: Corrected, parcellation: Atlas) -> dict[str, Any]:
    """Columns of the table of an atlas after partial volume correction.

    Parameters
    ----------
    result : of the correction in this atlas
    parcellation : the atlas

    Returns
    -------
    dict
        Column -> value per region, None where it is not finite; columns of
        ``data/pvc_columns.toml``.
    """
    numbers = {
        key: [finite_number(value) for value in column] for key, column in result.columns.items()
    }
    return {"index": list(parcellation.indices), "name": list(parcellation.names)} | numbers


def pvc_columns(units: str) -> dict[str, dict[str, str]]:
    """Column descriptions of the table that `corrected_columns` fills.

    Parameters
    ----------
    units : of the PET

    Returns
    -------
    dict
        Column -> ``Description`` and, where there is one, ``Units``.
    """
    return {
        name: {"Description": row["Description"]} | ({"Units": units} if row.get("unit") else {})
        for name, row in read_table("pvc_columns").items()
    }

"""Partial volume correction in the regions of every atlas, on the grid of the PET."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.anatomy.warp import Warp
from bidsapp.core.grid.alignment import Matrix, inverse
from bidsapp.core.grid.resample import resample
from bidsapp.core.grid.sampling import FWHM_PER_SIGMA, blur
from bidsapp.core.grid.volume import Grid, Volume
from bidsapp.core.quantification.resolution import measure_resolution
from bidsapp.core.regions.compartments import Tissues, compartments
from bidsapp.core.regions.corrected import Corrected, correct
from bidsapp.core.regions.pvc import Fwhm, in_voxels
from bidsapp.core.regions.regions import Regions
from bidsapp.data import VOI_NAMES, read_table
from bidsapp.data.atlases import Atlas, atlas, chosen_atlases
from bidsapp.io.tsv import finite_number
from bidsapp.record import RecordPart
from bidsapp.record.parts import corrected_part
from bidsapp.settings import Processing
from bidsapp.steps.measuring import pet_space

VOI_ATLAS = "Centiloid"  # its regions make the images and the ratios


@dataclass(frozen=True, eq=False)
class RegisteredAnatomy:
    """Anatomy by the T1w, and its registration to the PET.

    Attributes
    ----------
    grey, white, fluid : probability on the T1w grid
    brain : ndarray of bool, on the T1w grid
    regions : masks ``ctx`` and ``cbl`` on the T1w grid
    warp : T1w world -> template world
    to_pet : ndarray, shape (4, 4)
        T1w world -> PET world, RAS mm.
    """

    grey: Volume
    white: Volume
    fluid: Volume
    brain: NDArray[np.bool_]
    regions: Mapping[str, NDArray[np.bool_]]
    warp: Warp
    to_pet: Matrix


class AnatomyOnPet:
    """Atlas regions and tissues on the grid of a PET."""

    def __init__(self, grid: Grid, anatomy: RegisteredAnatomy) -> None:
        self.grid, self.anatomy = grid, anatomy
        self.to_t1w = inverse(anatomy.to_pet)
        self._space = pet_space(grid, {}, anatomy.warp, anatomy.to_pet)

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
        anatomy = self.anatomy
        grey, white, fluid = (
            fractions(tissue, self.grid, self.to_t1w)
            for tissue in (anatomy.grey, anatomy.white, anatomy.fluid)
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
    larger = (grid.voxel_size**2).mean() - (tissue.grid.voxel_size**2).mean()
    width = float(np.sqrt(max(larger, 0.0) / 12)) * FWHM_PER_SIGMA
    fraction = resample(blur(tissue, width) if width else tissue, grid, to_tissue)
    return np.clip(np.nan_to_num(fraction.data), 0, 1)


def corrected(
    pet: Volume, anatomy: RegisteredAnatomy, processing: Processing
) -> tuple[dict[str, Corrected], RecordPart]:
    """Correct a PET in every atlas of a run.

    Parameters
    ----------
    pet : mean over the window, native grid
    anatomy : the head it is of
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
    placed = AnatomyOnPet(pet.grid, anatomy)
    tissues = placed.tissues()
    psf_mm, source = _resolution(pet, anatomy, processing)
    fwhm_vox = in_voxels(psf_mm, pet.grid.voxel_size)
    by_atlas = {}
    for parcellation in chosen_atlases(processing):
        regions, measured = (
            placed.on(part, parcellation.grid)
            for part in (parcellation.regions, parcellation.measured)
        )
        head = compartments(regions, measured, tissues)
        by_atlas[parcellation.name] = correct(pet.data, head, fwhm_vox, processing.pvc)
    names = atlas(VOI_ATLAS).names
    return by_atlas, corrected_part(by_atlas[VOI_ATLAS], names, psf_mm, source)


def _resolution(
    pet: Volume, anatomy: RegisteredAnatomy, processing: Processing
) -> tuple[Fwhm, str]:
    """FWHMs along the voxel axes, mm: those of the user, else measured in the image."""
    if processing.psf_mm is not None:
        return processing.psf_mm, "given"
    tissue = (anatomy.grey, anatomy.white, anatomy.fluid)
    widths = measure_resolution(
        pet,
        np.stack([tissue.data for tissue in tissue]),
        anatomy.brain,
        anatomy.regions,
        tissue[0].affine,
        anatomy.to_pet,
    )
    return widths, "measured"


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

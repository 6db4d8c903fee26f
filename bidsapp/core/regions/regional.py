"""The table of an atlas: uptake, ratios to reference regions, Centiloid and z-score per region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.grid.volume import Grid
from bidsapp.core.regions.regions import (
    Regions,
    region_histograms,
    region_statistics,
    region_sums,
)

Column = list[float | int | None]
_QUANTILES = ("minimum", "p05", "median", "p95", "maximum")


@dataclass(frozen=True)
class Uptake:
    """Uptake of a reference region.

    Attributes
    ----------
    mean : over its voxels; missing where too few were measured
    sd : standard deviation over these voxels
    """

    mean: float | None
    sd: float | None


@dataclass(frozen=True)
class Norm:
    """SUVR of a region in healthy people.

    Attributes
    ----------
    reference : reference region of the SUVR
    mean, sd : over these people
    """

    reference: str
    mean: float
    sd: float


@dataclass(frozen=True)
class RegionalScale:
    """Conversion of mean uptake to SUVRs and Centiloids.

    Attributes
    ----------
    references : uptake of every reference region, by name
    lines : (slope, intercept) of Centiloid = slope SUVR + intercept, by reference region; a
        region without one has no Centiloid
    noise : reference region whose mean and SD stand for background in SNR and CNR
    """

    references: Mapping[str, Uptake]
    lines: Mapping[str, tuple[float, float]]
    noise: str


def uptake(
    image: NDArray[np.floating], regions: Regions, grid: Grid, *, least_coverage: float
) -> list[Uptake]:
    """Mean and SD of each region, as `measure_regions` counts them.

    Parameters
    ----------
    image : ndarray, shape (X, Y, Z)
        NaN where nothing was measured.
    regions : Regions
    grid : of both
    least_coverage : part of a region that must be measured, 0 to 1

    Returns
    -------
    list of Uptake
        In the order of the regions.
    """
    statistics = region_statistics(image, regions, grid)
    known = statistics.coverage >= least_coverage
    pairs = zip(_column(statistics.mean, known), _column(statistics.sd, known), strict=True)
    return [Uptake(mean, sd) for mean, sd in pairs]


def measure_regions(
    image: NDArray[np.floating],
    regions: Regions,
    grid: Grid,
    *,
    grey: NDArray[np.floating] | None,
    scale: RegionalScale,
    norms: Sequence[Norm | None],
    least_coverage: float,
) -> dict[str, Column]:
    """Measure an image in the regions of an atlas.

    Parameters
    ----------
    image : ndarray, shape (X, Y, Z)
        NaN where nothing was measured.
    regions, grid : regions and the place of their voxels
    grey : ndarray, shape (X, Y, Z), or None
        Probability of grey matter: the weight of the columns ``gm_*``.
    scale : reference regions and equations
    norms : one per region; None where there is none
    least_coverage : part of a region that must be measured for its uptake to be given

    Returns
    -------
    dict of list
        Columns of ``data/region_columns.toml`` by name, a value or None per region. SNR is the
        mean over the SD of the noise region, CNR the difference of the means over that SD.
    """
    statistics = region_statistics(image, regions, grid)
    known = statistics.coverage >= least_coverage
    table: dict[str, Column] = {
        "mean": _column(statistics.mean, known),
        "sd": _column(statistics.sd, known),
        **{
            name: _column(values, known)
            for name, values in zip(_QUANTILES, statistics.quantiles.T, strict=True)
        },
        "n_voxels": statistics.n_voxels.tolist(),
        "volume_ml": statistics.volume_ml.tolist(),
        "coverage": _column(statistics.coverage),
    }
    for axis, name in enumerate("xyz"):
        table[f"centre_{name}_mm"] = _column(statistics.centre_mm[:, axis], known)
    table |= _weighted(image, regions, grey, known)
    noise = scale.references.get(scale.noise, Uptake(None, None))
    table["snr"] = [_quotient(mean, noise.sd) for mean in table["mean"]]
    table["cnr"] = [_quotient(_minus(mean, noise.mean), noise.sd) for mean in table["mean"]]
    for name, reference in scale.references.items():
        ratios = [_quotient(mean, reference.mean) for mean in table["mean"]]
        table[f"suvr_{name}"] = ratios
        table[f"centiloid_{name}"] = [_on_line(ratio, scale.lines.get(name)) for ratio in ratios]
    table["z"] = [_z_score(table, row, norm) for row, norm in enumerate(norms)]
    return table


def histogram_table(
    image: NDArray[np.floating],
    regions: Regions,
    rows: Sequence[tuple[int | None, str]],
    reference: Uptake,
    width: float,
) -> dict[str, list[float | int | str | None]]:
    """Histogram of the SUVR in every region: a row per region and non-empty bin.

    Parameters
    ----------
    image : ndarray, shape (X, Y, Z)
        NaN where nothing was measured.
    regions : Regions
    rows : index and name of each
    reference : of the ratio; no row without its mean
    width : of a bin, in SUVR

    Returns
    -------
    dict of list
        Columns of ``data/histogram_columns.toml`` by name.
    """
    table: dict[str, list[float | int | str | None]] = {
        name: [] for name in ("index", "name", "suvr_from", "suvr_to", "voxels")
    }
    if not reference.mean or reference.mean < 0:
        return table
    histograms = region_histograms(image / reference.mean, regions, width)
    for row, (bins, voxels) in zip(rows, histograms, strict=True):
        for place, held in zip(bins.tolist(), voxels.tolist(), strict=True):
            ends = (round(place * width, 9), round((place + 1) * width, 9))
            for column, value in zip(table, (*row, *ends, held), strict=True):
                table[column].append(value)
    return table


def asymmetry(means: Column, others: Sequence[tuple[int, int] | None]) -> Column:
    """Difference of the left and the right side over their mean, in percent.

    Parameters
    ----------
    means : uptake of every region
    others : places of the left and the right region of each; None where there is no such pair

    Returns
    -------
    list of float or None
    """
    shares: Column = []
    for pair in others:
        left, right = (None, None) if pair is None else (means[pair[0]], means[pair[1]])
        if left is None or right is None or left + right <= 0:
            shares.append(None)
        else:
            shares.append(200 * (left - right) / (left + right))
    return shares


def _weighted(
    image: NDArray[np.floating],
    regions: Regions,
    grey: NDArray[np.floating] | None,
    known: NDArray[np.bool_],
) -> dict[str, Column]:
    """Columns of the grey matter: weighted mean, weighted sum, fractional voxels."""
    if grey is None:
        return {name: [None] * len(regions) for name in ("gm_mean", "gm_sum", "gm_voxels")}
    total, voxels = region_sums(image, regions.weighted(grey))
    filled = known & (voxels > 0)
    return {
        "gm_mean": _column(total / np.where(filled, voxels, 1.0), filled),
        "gm_sum": _column(total, known),
        "gm_voxels": voxels.tolist(),
    }


def _z_score(table: Mapping[str, Column], row: int, norm: Norm | None) -> float | None:
    if norm is None:
        return None
    ratio = table[f"suvr_{norm.reference}"][row]
    return None if ratio is None else (ratio - norm.mean) / norm.sd


def _column(values: NDArray[np.float64], known: NDArray[np.bool_] | None = None) -> Column:
    """Plain numbers; None where a value is not finite or not known."""
    given = np.isfinite(values) if known is None else np.isfinite(values) & known
    pairs = zip(values.tolist(), given.tolist(), strict=True)
    return [value if is_given else None for value, is_given in pairs]


def _minus(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def _quotient(value: float | None, divisor: float | None) -> float | None:
    return None if value is None or divisor is None or divisor <= 0 else value / divisor


def _on_line(ratio: float | None, line: tuple[float, float] | None) -> float | None:
    return None if ratio is None or line is None else line[0] * ratio + line[1]

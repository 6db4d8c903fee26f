"""Reference-tissue kinetics as data: which scans, which models, what tables and records say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.kinetics.dynamic import DynamicRule
from bidsapp.core.kinetics.models import Fits
from bidsapp.core.kinetics.study import PARAMETERS, Study
from bidsapp.core.quality import Finding
from bidsapp.data import TARGET, read_table
from bidsapp.data.regional import chosen_atlases
from bidsapp.io.tsv import finite_number
from bidsapp.settings import KineticModel, Processing

# The models that have images, and what of.
VOXELWISE = (KineticModel.SRTM, KineticModel.SRTM2)
MAPS = ("R1", "BPND", "DVR")


@dataclass(frozen=True)
class Row:
    """A region of an atlas; composites have no index."""

    atlas: str
    index: int | None
    name: str


def dynamic_rule() -> DynamicRule:
    """What a scan must have seen to be fitted."""
    return DynamicRule(**read_table("kinetics")["dynamic"])


def model_name(model: KineticModel) -> str:
    """Name of a model as people write it."""
    return str(read_table("kinetics")["models"][model.value]["name"])


def t_star_min(processing: Processing) -> dict[KineticModel, float]:
    """Minutes after injection from which frames count, for the models that have such a time."""
    table = read_table("kinetics")["models"]
    found = {}
    for model in processing.kinetics:
        own = table[model.value].get("t_star_min")
        if own is not None:
            asked = processing.t_star_min
            found[model] = own if asked is None else asked
    return found


def map_keys(processing: Processing) -> tuple[str, ...]:
    """Keys of the parametric images of a run in the table of outputs."""
    models = [model for model in VOXELWISE if model in processing.kinetics]
    return tuple(f"{model.value}_{name.lower()}" for model in models for name in MAPS)


def kinpar_columns() -> dict[str, dict[str, Any]]:
    """Columns of the table of kinetic parameters with their descriptions, in order."""
    described: dict[str, dict[str, Any]] = {}
    for column, entry in read_table("kinpar_columns").items():
        described[column] = dict(entry)
        if column in PARAMETERS:
            text = f"Standard error of {column}"
            described[f"{column}_se"] = {"Description": text, "Units": entry["Units"]}
    return described


def study_rows(processing: Processing) -> list[Row]:
    """Regions of all atlases of a run, one after the other: the rows of a study."""
    rows = []
    for one in chosen_atlases(processing):
        index = [row.index for row in one.rows] + [None] * len(one.composites)
        rows += [Row(one.name, i, name) for i, name in zip(index, one.names, strict=True)]
    return rows


def kinpar_tables(fits: Fits, study: Study, rows: Sequence[Row]) -> dict[str, dict[str, list[Any]]]:
    """Columns of `kinpar_columns` by atlas: the regions of the first model, of the second ..."""
    tables: dict[str, dict[str, list[Any]]] = {
        row.atlas: {column: [] for column in kinpar_columns()} for row in rows
    }
    for model, found in fits.estimates.items():
        residual = _residual_percent(study, found.fitted)
        for position, row in enumerate(rows):
            line: dict[str, Any] = {"model": model_name(model), "index": row.index}
            line |= {"name": row.name, "residual_percent": finite_number(residual[position])}
            line |= _parameters(fits, model, position)
            for column, values in tables[row.atlas].items():
                values.append(line[column])
    return tables


def not_fitted(reason: str) -> dict[str, Any]:
    """Part of the record of a scan that is not dynamic enough for models, and why."""
    return {"kinetics": {"done": False, "reason": reason}}


def failed_fit(reason: str) -> dict[str, Any]:
    """Part of the record of a dynamic scan that models failed on; its Centiloid stands."""
    flag = {"code": "kinetics-model", "message": f"no kinetic model could be fitted: {reason}"}
    return {**not_fitted(reason), "flags": [flag]}


def fitted(fits: Fits, study: Study, rows: Sequence[Row], processing: Processing) -> dict[str, Any]:
    """Part of the record: what was fitted how, the cortical target, what to look at."""
    target = [row.name for row in rows].index(TARGET)
    gaps, starts = study.timeline.gaps_min, t_star_min(processing)
    flags = [Finding("kinetics-gap", _bridged(*gap)) for gap in gaps]
    flags += [
        Finding("kinetics-model", f"{model_name(model)} gives nothing: {why}")
        for model, why in fits.problems.items()
    ]
    kinetics = {
        "done": True,
        "reason": None,
        "reference_region": processing.kinetics_reference,
        "k2_prime_per_min": finite_number(fits.k2_prime),
        "k2_prime_source": "SRTM" if processing.k2_prime_per_min is None else "given",
        "n_frames": len(study.weights),
        "t_end_min": float(study.timeline.edges_min[-1]),
        "gaps_min": [list(gap) for gap in gaps],
        "region": TARGET,
        "models": {
            model_name(model): {"t_star_min": starts.get(model)} | _parameters(fits, model, target)
            for model in fits.estimates
        },
    }
    told = [{"code": flag.code, "message": flag.message} for flag in flags]
    return {"kinetics": kinetics, "flags": told}


def _parameters(fits: Fits, model: KineticModel, position: int) -> dict[str, float | None]:
    """Every parameter of one region, each with its standard error."""
    found, told = fits.estimates[model], {}
    for name in PARAMETERS:
        told[name] = finite_number(found.values[name][position])
        told[f"{name}_se"] = finite_number(found.errors[name][position])
    return told


def _residual_percent(study: Study, model: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted root mean square of the residuals by region, over its mean activity."""
    used = np.isfinite(model).any(axis=0)
    weights = study.weights[used] / study.weights[used].sum()
    apart = np.sqrt((study.target - model)[:, used] ** 2 @ weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(100 * apart / (study.target[:, used] @ weights))


def _bridged(begin_min: float, end_min: float) -> str:
    return (
        f"no PET was measured from {begin_min:.0f} to {end_min:.0f} min after injection: kinetics "
        "bridges it by a tissue compartment; compare DVR only with scans of the same schedule"
    )

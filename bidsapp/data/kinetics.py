"""Reference-tissue kinetics as data: scans, models, and texts of tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bidsapp.core.kinetics.dynamic import DynamicRule
from bidsapp.core.kinetics.models import Fits
from bidsapp.core.kinetics.study import PARAMETERS
from bidsapp.data import read_table
from bidsapp.io.tsv import finite_number
from bidsapp.settings import KineticModel, Processing

# The models that have images, and what of.
VOXELWISE = (KineticModel.SRTM, KineticModel.SRTM2)
MAPS = ("R1", "BPND", "DVR")


@dataclass(frozen=True)
class KineticRow:
    """A region of an atlas; composites have no index."""

    atlas: str
    index: int | None
    name: str


def dynamic_rule() -> DynamicRule:
    """What a scan must have seen to be fitted.

    Returns
    -------
    DynamicRule
    """
    return DynamicRule(**read_table("kinetics")["dynamic"])


def model_name(model: KineticModel) -> str:
    """Name of a model as people write it.

    Parameters
    ----------
    model : of the kinetics

    Returns
    -------
    str
    """
    return str(read_table("kinetics")["models"][model.value]["name"])


def t_star_min(processing: Processing) -> dict[KineticModel, float]:
    """Minutes after injection from which frames count, for the models that have such a time.

    Parameters
    ----------
    processing : ``kinetics``, ``t_star_min``

    Returns
    -------
    dict of float
        By model; min after injection.
    """
    table = read_table("kinetics")["models"]
    starts = {}
    for model in processing.kinetics:
        own = table[model.value].get("t_star_min")
        if own is not None:
            asked = processing.t_star_min
            starts[model] = own if asked is None else asked
    return starts


def map_keys(processing: Processing) -> tuple[str, ...]:
    """Keys of the parametric images of a run in the table of outputs.

    Parameters
    ----------
    processing : ``kinetics``

    Returns
    -------
    tuple of str
    """
    models = [model for model in VOXELWISE if model in processing.kinetics]
    return tuple(f"{model.value}_{name.lower()}" for model in models for name in MAPS)


def kinpar_columns() -> dict[str, dict[str, Any]]:
    """Columns of the table of kinetic parameters with their descriptions, in order.

    Returns
    -------
    dict of dict
        Column -> entry of the dictionary of the table.
    """
    described: dict[str, dict[str, Any]] = {}
    for column, entry in read_table("kinpar_columns").items():
        described[column] = dict(entry)
        if column in PARAMETERS:
            text = f"Standard error of {column}"
            described[f"{column}_se"] = {"Description": text, "Units": entry["Units"]}
    return described


def parameters_of(fits: Fits, model: KineticModel, position: int) -> dict[str, float | None]:
    """Every parameter of one region, each with its standard error.

    Parameters
    ----------
    fits : of all models and regions
    model : one of them
    position : of the region

    Returns
    -------
    dict of float or None
        None where a model has no such parameter, or none that is finite.
    """
    estimates, parameters = fits.estimates[model], {}
    for name in PARAMETERS:
        parameters[name] = finite_number(estimates.values[name][position])
        parameters[f"{name}_se"] = finite_number(estimates.errors[name][position])
    return parameters

"""Names of derivatives, from the table ``data/outputs.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any

from bidsapp.bids.entities import RAW_ENTITIES, bids_stem, join_entities


@dataclass(frozen=True)
class Output:
    """One row of the table of outputs."""

    datatype: str
    suffix: str
    extension: str
    entities: Mapping[str, str]
    description: str
    standard: bool = True


@cache
def outputs() -> Mapping[str, Output]:
    """Return the table of every file written per scan or T1w.

    Returns
    -------
    dict of Output
        By key.
    """
    table = tomllib.loads(files("bidsapp.data").joinpath("outputs.toml").read_text("utf-8"))
    return {key: Output(**row) for key, row in table.items()}


def output_path(
    output_dir: str | Path, key: str, entities: Mapping[str, str], **extra: str
) -> Path:
    """Where the derivative ``key`` of a raw image belongs.

    Parameters
    ----------
    output_dir : root of the derivative dataset
    key : row of ``data/outputs.toml``
    entities : entities of the raw image, short keys; those that do not apply are dropped
    **extra : further entities, or other values for those of the table

    Returns
    -------
    Path
        Not created, nor its folder.

    Examples
    --------
    >>> output_path("out", "suvr_wc", {"sub": "01", "trc": "FBB"}).as_posix()
    'out/sub-01/pet/sub-01_trc-FBB_space-MNI152NLin6Asym_res-2_desc-suvrwc_pet.nii.gz'
    """
    row = outputs()[key]
    inherited = {k: v for k, v in entities.items() if k in RAW_ENTITIES[row.datatype]}
    stem = join_entities({**inherited, **row.entities, **extra})
    folder = Path(output_dir) / f"sub-{entities['sub']}"
    if entities.get("ses"):
        folder /= f"ses-{entities['ses']}"
    return folder / row.datatype / f"{stem}_{row.suffix}{row.extension}"


@dataclass(frozen=True)
class OutputPlace:
    """Where the derivatives of a raw image belong.

    Attributes
    ----------
    output_dir : root of the derivative dataset
    entities : of the raw image, short keys
    """

    output_dir: Path
    entities: Mapping[str, str] = field(hash=False)

    def path(self, key: str, **extra: str) -> Path:
        """Path of a derivative (`output_path`).

        Parameters
        ----------
        key : row of ``data/outputs.toml``
        **extra : further entities, or other values for those of the table

        Returns
        -------
        Path
        """
        return output_path(self.output_dir, key, self.entities, **extra)


def sidecar_path(path: str | Path) -> Path:
    """JSON file beside an image or a table.

    Parameters
    ----------
    path : of the image or table

    Returns
    -------
    Path
    """
    return Path(path).with_name(f"{bids_stem(path)}.json")


def raw_uri(path: str | Path, bids_dir: str | Path) -> str:
    """BIDS URI of an input; ``raw`` is named by DatasetLinks of the derivatives.

    Parameters
    ----------
    path : of the input
    bids_dir : root of the raw dataset

    Returns
    -------
    str
    """
    return f"bids:raw:{Path(path).relative_to(bids_dir).as_posix()}"


def raw_path(uri: str, bids_dir: str | Path) -> Path:
    """Where an input of `raw_uri` lies in a raw dataset.

    Parameters
    ----------
    uri : as `raw_uri` gives it
    bids_dir : root of the raw dataset

    Returns
    -------
    Path
    """
    return Path(bids_dir) / uri.removeprefix("bids:raw:")


def derivative_uri(path: str | Path, output_dir: str | Path) -> str:
    """BIDS URI of one of our own outputs.

    Parameters
    ----------
    path : of the output
    output_dir : root of the derivatives

    Returns
    -------
    str
    """
    return f"bids::{Path(path).relative_to(output_dir).as_posix()}"


def is_inside(name: Any) -> bool:
    """Whether a name stays in the dataset: relative, without ``..``.

    Parameters
    ----------
    name : of a file, as a record or a sidecar has it

    Returns
    -------
    bool
    """
    if not isinstance(name, str) or "\0" in name:
        return False
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts

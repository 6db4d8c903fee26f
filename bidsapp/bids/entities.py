"""BIDS entities: the ``key-value`` pairs of a file name, in their prescribed order."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from bidsapp.settings import Filters

# Order of the BIDS 1.11 schema; from, to and mode come from the transform draft (BEP014).
ENTITY_ORDER = (
    "sub", "tpl", "ses", "sample", "task", "tracksys", "acq", "ce", "trc", "stain", "rec", "dir",
    "run", "mod", "echo", "flip", "inv", "mt", "part", "proc", "hemi", "space", "split",
    "recording", "chunk", "atlas", "seg", "scale", "res", "den", "label", "from", "to", "mode",
    "desc",
)  # fmt: skip

# Entities that the name of a raw image may have; its derivatives inherit them.
RAW_ENTITIES = {
    "pet": ("sub", "ses", "task", "trc", "rec", "run"),
    "anat": ("sub", "ses", "task", "acq", "ce", "rec", "run", "echo", "part", "chunk"),
}

# Names of the same that pybids has, for filters; the last three are of any file.
LONG_NAMES = {
    "sub": "subject", "ses": "session", "sample": "sample", "task": "task", "acq": "acquisition",
    "ce": "ceagent", "trc": "tracer", "stain": "staining", "rec": "reconstruction",
    "dir": "direction", "run": "run", "mod": "modality", "echo": "echo", "flip": "flip",
    "inv": "inv", "mt": "mt", "part": "part", "proc": "proc", "space": "space", "chunk": "chunk",
    "suffix": "suffix", "datatype": "datatype", "extension": "extension",
}  # fmt: skip


def has_label(key: str, label: str | None, wanted: Collection[str]) -> bool:
    """Whether a label is among some; a run is a number, every other label is a text.

    Parameters
    ----------
    key : of the entity
    label : of an image, None where it has none
    wanted : labels

    Returns
    -------
    bool

    Examples
    --------
    >>> has_label("run", "01", ["1"]), has_label("ses", "01", ["1"]), has_label("ses", None, [])
    (True, False, False)
    """
    if key == "run":
        return label is not None and label.lstrip("0") in {other.lstrip("0") for other in wanted}
    return label in wanted


def has_labels(entities: Mapping[str, str], filters: Filters) -> bool:
    """Whether participant, session, reconstruction and run of a scan are selected.

    Parameters
    ----------
    entities : of the scan, short keys
    filters : which scans

    Returns
    -------
    bool
    """
    asked = {"sub": "participant", "ses": "session", "rec": "rec", "run": "run"}
    labels = {key: getattr(filters, name) for key, name in asked.items()}
    return all(not some or has_label(k, entities.get(k), some) for k, some in labels.items())


def parse_entities(path: str | Path) -> dict[str, str]:
    """Entities in the name of ``path``, short keys, in file order; parts without ``-`` are left.

    Parameters
    ----------
    path : or name of a file

    Returns
    -------
    dict of str

    Examples
    --------
    >>> parse_entities("sub-01/pet/sub-01_trc-FBB_run-2_pet.nii.gz")
    {'sub': '01', 'trc': 'FBB', 'run': '2'}
    """
    return dict(part.split("-", 1) for part in bids_stem(path).split("_") if "-" in part)


def bids_stem(path: str | Path) -> str:
    """Name of a file without its extension, which begins at the first point.

    Parameters
    ----------
    path : or name of a file

    Returns
    -------
    str

    Examples
    --------
    >>> bids_stem("sub-01/pet/sub-01_pet.nii.gz")
    'sub-01_pet'
    """
    return Path(path).name.split(".", 1)[0]


def join_entities(entities: Mapping[str, str]) -> str:
    """``key-value`` pairs in BIDS order, joined by underscores; absent values are left out.

    Parameters
    ----------
    entities : short keys -> labels

    Returns
    -------
    str

    Examples
    --------
    >>> join_entities({"trc": "FBB", "sub": "01", "ses": "a"})
    'sub-01_ses-a_trc-FBB'
    """
    unknown = set(entities) - set(ENTITY_ORDER)
    if unknown:
        raise ValueError(f"no such BIDS entity: {', '.join(sorted(unknown))}")
    return "_".join(f"{key}-{entities[key]}" for key in ENTITY_ORDER if entities.get(key))

"""Names of NIfTI files, in capitals or not."""

from __future__ import annotations

from pathlib import Path

NIFTI = (".nii.gz", ".nii")
"""Endings of a NIfTI file of one part."""


def nifti_ending(path: Path) -> str | None:
    """Ending of a NIfTI file in small letters, None for other files.

    Parameters
    ----------
    path : of any file

    Returns
    -------
    str or None
        ``.nii.gz`` or ``.nii``.
    """
    return next((ending for ending in NIFTI if path.name.lower().endswith(ending)), None)


def nifti_stem(path: Path) -> str:
    """Name of a NIfTI file without its ending; other names unchanged.

    Parameters
    ----------
    path : of any file

    Returns
    -------
    str

    Examples
    --------
    >>> nifti_stem(Path("in/PET.v2.NII.gz"))
    'PET.v2'
    """
    return path.name[: -len(nifti_ending(path) or "") or None]


def json_beside(image: Path) -> Path:
    """JSON file with the name of a NIfTI image, in its folder.

    Parameters
    ----------
    image : path ending in ``.nii`` or ``.nii.gz``

    Returns
    -------
    Path
        It need not exist.
    """
    return image.with_name(f"{nifti_stem(image)}.json")

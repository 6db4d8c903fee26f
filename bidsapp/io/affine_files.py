"""Affine transforms of other programs: the files of ITK (ANTs, ITK-SNAP, 3D Slicer, SimpleITK)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bidsapp.core.grid.resample import RAS_LPS
from bidsapp.errors import BadDataError, NoInputError
from bidsapp.io.reading import read_text

_KIND = re.compile(r"(Affine|MatrixOffset)Transform(Base)?_(double|float)_3_3")
_REMEDY = (
    "give one affine transform as ITK writes it (.txt, .tfm or .mat of ANTs, ITK-SNAP, 3D Slicer); "
    "convert others, such as those of FSL or FreeSurfer, with c3d_affine_tool or lta_convert; of a "
    "composite (.h5 of fMRIPrep) give the affine alone (CompositeTransformUtil --disassemble)"
)


def load_itk_affine(path: Path) -> NDArray[np.float64]:
    """Read an affine transform of ITK, as text or as its binary ``.mat``.

    Parameters
    ----------
    path : of the file

    Returns
    -------
    ndarray, shape (4, 4)
        From points of the fixed to points of the moving image, RAS mm.

    Raises
    ------
    NoInputError
        The file cannot be read.
    BadDataError
        It does not hold a single affine transform of ITK.
    """
    try:
        kind, numbers, centre = (_binary if path.suffix == ".mat" else _text)(path)
    except OSError as error:
        raise NoInputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, TypeError, LookupError, UnicodeDecodeError) as error:
        raise BadDataError(f"{path}: contains no ITK transform; {_REMEDY}") from error
    if not _KIND.fullmatch(kind) or numbers.shape != (12,) or centre.shape != (3,):
        raise BadDataError(f"{path}: contains {kind:.60}, not one affine transform; {_REMEDY}")
    matrix = np.eye(4)
    matrix[:3, :3] = numbers[:9].reshape(3, 3)
    matrix[:3, 3] = numbers[9:] + centre - matrix[:3, :3] @ centre
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-6:
        raise BadDataError(f"{path}: its matrix cannot be inverted; {_REMEDY}")
    return RAS_LPS @ matrix @ RAS_LPS


def _text(path: Path) -> tuple[str, NDArray[np.float64], NDArray[np.float64]]:
    entries: dict[str, str] = {}
    for line in read_text(path).splitlines():
        name, colon, value = line.partition(":")
        if colon and name.strip() in entries:
            raise ValueError("several transforms")
        entries[name.strip()] = value.strip()
    numbers, centre = (
        np.array(entries[name].split(), np.float64) for name in ("Parameters", "FixedParameters")
    )
    return entries["Transform"], numbers, centre


def _binary(path: Path) -> tuple[str, NDArray[np.float64], NDArray[np.float64]]:
    from scipy.io import loadmat

    if not path.is_file():
        raise FileNotFoundError(2, "No such file or directory")
    content = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
    centre = content.pop("fixed")
    [(kind, numbers)] = content.items()
    return kind, *(np.asarray(values, np.float64).ravel() for values in (numbers, centre))

"""ECAT 7 images: their headers in the tags of DICOM, their voxels calibrated and turned to RAS."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.ecat import EcatImage

from bidsapp.core.quality import Flag
from bidsapp.data.sentences import refused, worded_flag
from bidsapp.dicom.habits import tables
from bidsapp.dicom.header import Values
from bidsapp.dicom.sidecar_tags import moment_tag

_HEAD_FIRST_SUPINE, _UNKNOWN_ORIENTATION = 3, 8
_DECAY_CORRECTED = 512  # bit of corrections_applied


def ecat_voxels(ecat: EcatImage) -> nib.Nifti1Image:
    """Frames of an ECAT image in time, in its units, as NIfTI in RAS.

    Parameters
    ----------
    ecat : as nibabel reads it

    Returns
    -------
    Nifti1Image
        (X, Y, Z, T), float32, affine in RAS mm.
    """
    _check_calibration(ecat, Path(ecat.get_filename() or "").name)
    reader = ecat.get_subheaders()
    # ECAT stores from the left, the front and the head; "neurological" turns all three axes.
    frames = [reader.data_from_fileobj(i, "neurological") for i in _frames_in_time(ecat)]
    image = nib.Nifti1Image(np.stack(frames, axis=-1).astype(np.float32), ecat.affine)
    image.header.set_xyzt_units("mm", "sec")
    return image


def _check_calibration(ecat: EcatImage, name: str) -> None:
    """Refuse voxels that a factor of 0 or -1, for one that is not known, would make nonsense of."""
    factors = [("ecat_calibration_factor", float(ecat.header["ecat_calibration_factor"]))]
    factors += [
        ("scale_factor", float(sub["scale_factor"])) for sub in ecat.get_subheaders().subheaders
    ]
    for field, factor in factors:
        if not (math.isfinite(factor) and factor > 0):
            raise refused("ecat", "not-calibrated", name=name, field=field, factor=factor)


def ecat_tags(ecat: EcatImage, path: Path) -> tuple[Values, list[Values], tuple[Flag, ...]]:
    """Tags of an ECAT image and of its frames, and remarks; the clock of ECAT counts in UTC.

    Parameters
    ----------
    ecat : the image
    path : its file, for messages

    Returns
    -------
    (Values, list of Values, tuple of Flag)
    """
    _check_calibration(ecat, path.name)
    header = ecat.header
    if int(header["patient_orientation"]) not in (_HEAD_FIRST_SUPINE, _UNKNOWN_ORIENTATION):
        raise refused("ecat", "orientation", path=path, said=ecat.header.get_patient_orient())
    fields = tables()["nifti_ecat"]["ecat"]
    texts = {k: bytes(header[field].item()) for field, k in fields.items()}
    tags: Values = {
        "Modality": ("PT",),
        "Manufacturer": ("CTI/Siemens ECAT",),
        **{k: (v.decode("latin-1").strip(" \0"),) for k, v in texts.items() if v.strip(b" \0")},
    }
    for keyword, field in (("RadionuclideHalfLife", "isotope_halflife"),
                           ("RadionuclideTotalDose", "dosage")):  # fmt: skip
        if (value := float(header[field])) > 0:
            tags[keyword] = (f"{value:.9g}",)
    scan, dose = (int(header[f"{name}_start_time"]) for name in ("scan", "dose"))
    if dose:
        tags |= moment_tag("RadiopharmaceuticalStart", _utc(dose))
    is_assumed = int(header["patient_orientation"]) == _UNKNOWN_ORIENTATION
    remarks = (worded_flag("note", "orientation-assumed"),) if is_assumed else ()
    subheaders = [ecat.get_subheaders().subheaders[i] for i in _frames_in_time(ecat)]
    corrected = {bool(int(sub["corrections_applied"]) & _DECAY_CORRECTED) for sub in subheaders}
    if len(corrected) > 1:
        raise refused("ecat", "decay", path=path)
    if corrected == {True}:
        tags |= moment_tag("DecayCorrection", _utc(scan))  # to the start of the scan
    else:
        tags["DecayCorrection"] = ("NONE",)
    return tags, [_frame(sub, scan) for sub in subheaders], remarks


def _frame(sub: Any, scan: int) -> Values:
    """Tags of one frame; its times count in ms from the start of the scan."""
    start = timedelta(milliseconds=int(sub["frame_start_time"]))
    frame = {
        "ActualFrameDuration": (str(int(sub["frame_duration"])),),
        **(moment_tag("Acquisition", _utc(scan) + start) if scan else {}),
    }
    if float(sub["decay_corr_fctr"]) > 0:
        frame["DecayFactor"] = (f"{float(sub['decay_corr_fctr']):.7g}",)
    return frame


def _frames_in_time(ecat: EcatImage) -> list[int]:
    """Places of the frames in an ECAT file, in the order of their starts."""
    starts = [int(sub["frame_start_time"]) for sub in ecat.get_subheaders().subheaders]
    return sorted(range(len(starts)), key=starts.__getitem__)


def _utc(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)

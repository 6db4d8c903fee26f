"""Series of real scanners: converted exactly, skipped by what they show, or refused with a reason.

The public repositories ``neurolabusc/dcm_qa*`` (BSD-2 and CC-BY) are not part of this one.  Name a
folder that holds clones of them in ``CENTIPET_DCM_QA``, or link it as ``dcm_qa`` into the folder of
the test data.  Every voxel of every series below is compared with its DICOM, wanted or not.

==============================================  =================  ===============  ============
series                                          scanner            what it shows    the image is
==============================================  =================  ===============  ============
xa30   5, 6 anat-T1w_acq-tfl                    Siemens XA30       T1w, wanted      dcm2niix's
xa30   9 gre_field_mapping (phase)              Siemens XA30       other MR         dcm2niix's
xa30   25 asl_2d_tra (7 parts)                  Siemens XA30       perfusion        dcm2niix's
xa30   99 Phoenix report                        Siemens XA30       no image         none
xa30i  6001 anat-T1w_acq-tfl                    Siemens XA30       T1w, wanted      dcm2niix's
xa30i  10001 gre_field_mapping (phase)          Siemens XA30       other MR         dcm2niix's
xa30i  18001 asl_2d_tra                         Siemens XA30       perfusion        dcm2niix's
xa30i  4001 AAHead_Scout                        Siemens XA30       localizer        see [1]_
xa60   XA60, XA61 ep2d_bold                     Siemens XA60, 61   functional       dcm2niix's
enh    REST1                                    Siemens XA10       functional       dcm2niix's
enh    B0 NS (enhanced, two sets)               Philips            T1w, too coarse  stacked
enh/.. ADNI_Sag3D MPRAGE raw, exam card         Philips            no image         none
..enh  3DpCASL (enhanced)                       Philips            other MR         stacked
philips Magdeburg EPI_asc                       Philips            other MR         dcm2niix's
ge     3D Ax T1 MP-RAGE R22                     GE                 T1w, wanted      dcm2niix's
ge     Ax DWI TENSOR R2                         GE                 diffusion        dcm2niix's
deident Accelerated SAG IR-SPGR                 GE                 T1w, wanted      dcm2niix's
nih    20180918GE EPI                           GE                 functional       dcm2niix's
canon  9000 DTI                                 Canon              diffusion        dcm2niix's
canon_61 enh (enhanced)                         Canon              diffusion        dcm2niix's
toshiba 7006 DTI                                Toshiba            diffusion        dcm2niix's
uih    t1_gre_fsp_3d_sag                        UIH                T1w, wanted      dcm2niix's
uih    dti SaveBySlc (mosaics without place)    UIH                diffusion        refused
decubitus t1_fl2d_sag HFDL, HFP                 Siemens            other MR         dcm2niix's
decubitus ep2d_diff (mosaics)                   Siemens            diffusion        refused
dcm_qa Orientation ax, sag (mosaics)            Siemens            other MR         refused
nih    20180918Si EPI (mosaics)                 Siemens            other MR         refused
12bit  FMRI_AX_ASC (mosaics)                    Siemens            functional       refused
sag    gre_field_mapping                        Siemens            field map        refused [2]_
==============================================  =================  ===============  ============

.. [1] Single images; dcm2niix's, taken as they are.
.. [2] Some pixels are 65535, beyond the 12 bits of BitsStored: marks of the author.

Classic Philips T1w and the Philips MPRAGE of ``dcm_qa_philips_enh`` and ``dcm_qa_mprage`` are files
that the copies at hand lacked.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from bidsapp.dicom.classify import classify
from bidsapp.dicom.image import convert_series
from bidsapp.dicom.inventory import take_inventory
from bidsapp.dicom.pet_frames import frames_of
from bidsapp.dicom.series import Series
from bidsapp.errors import BadDataError

SHARED = Path(__file__).parents[3] / "shared" / "data" / "dcm_qa"
FOLDER = Path(os.environ.get("CENTIPET_DCM_QA", SHARED))
TAKEN, STACKED = "dcm2niix", "stacked"
MOSAIC = "is the same in all images|does not match|beside the grid"
# folder, number of series to look at, kind, wanted, image or why there is none
SERIES = (
    ("dcm_qa_xa30/In/5_anat-T1w_acq-tfl", 1, "T1w", True, TAKEN),
    ("dcm_qa_xa30/In/6_anat-T1w_acq-tfl", 1, "T1w", True, TAKEN),
    ("dcm_qa_xa30/In/9_gre_field_mapping", 1, "other MR", False, TAKEN),
    ("dcm_qa_xa30/In/25_asl_2d_tra", 2, "perfusion", False, TAKEN),
    ("dcm_qa_xa30/In/99_Phoenix_Document", 1, "other", False, "ImageOrientationPatient is missing"),
    ("dcm_qa_xa30i/In/6001_anat-T1w_acq-tfl", 1, "T1w", True, TAKEN),
    ("dcm_qa_xa30i/In/10001_gre_field_mapping", 1, "other MR", False, TAKEN),
    ("dcm_qa_xa30i/In/18001_asl_2d_tra", 1, "perfusion", False, TAKEN),
    ("dcm_qa_xa30i/In/4001_AAHead_Scout", 1, "localizer", False, TAKEN),
    ("dcm_qa_enh/In/Siemens/XA10", 1, "functional", False, TAKEN),
    ("dcm_qa_enh/In/Philips", 2, "T1w", False, STACKED),
    ("dcm_qa_philips/In/Magdeburg_2014", 1, "other MR", False, TAKEN),
    ("dcm_qa_ge/In/01_Ax_DWI_TENSOR_R2", 1, "diffusion", False, TAKEN),
    ("dcm_qa_ge/In/05_3D_Ax_T1_MP_RAGE_R22", 1, "T1w", True, TAKEN),
    ("dcm_qa_deident/In", 1, "T1w", True, TAKEN),
    ("dcm_qa_nih/In/20180918GE/mr_0004", 1, "functional", False, TAKEN),
    ("dcm_qa_nih/In/20180918Si/mr_0004", 1, "other MR", False, MOSAIC),
    ("dcm_qa_canon/In/9000_DTI_PA-ortho", 1, "diffusion", False, TAKEN),
    ("dcm_qa_canon_61/In/enh", 1, "diffusion", False, TAKEN),
    ("dcm_qa_toshiba/In/Galan/7006_DTI_ortho", 1, "diffusion", False, TAKEN),
    ("dcm_qa_uih/In/DTI_132225/t1_gre_fsp_3d_sag__132750", 1, "T1w", True, TAKEN),
    ("dcm_qa_uih/In/DTI_132225/dti_tra_dir16_PA_rot_SaveBySlc__134057", 1, "diffusion", False,
     "ImagePositionPatient is missing"),
    ("dcm_qa_decubitus/In/HFDL/2_t1_fl2d_sag", 1, "other MR", False, TAKEN),
    ("dcm_qa_decubitus/In/HFP/2_t1_fl2d_sag", 1, "other MR", False, TAKEN),
    ("dcm_qa_decubitus/In/HFDR/3_ep2d_diff_mddw_20_p2", 1, "diffusion", False, MOSAIC),
    ("dcm_qa/In/Orientation/ax/axasc36", 1, "other MR", False, MOSAIC),
    ("dcm_qa/In/Orientation/sag/sagdesc36", 1, "other MR", False, MOSAIC),
    ("dcm_qa_12bit/In", 1, "functional", False, MOSAIC),
    ("dcm_qa_sag/In/2_gre_field_mapping", 1, "field map", False, "BitsStored is 12"),
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "n", "kind", "wanted", "image"), SERIES)
def test_real_series(
    tmp_path: Path, folder: str, n: int, kind: str, wanted: bool, image: str
) -> None:
    source = FOLDER / folder
    if not source.is_dir():
        pytest.skip(f"{source}: no such folder; name that of the clones in CENTIPET_DCM_QA")
    for number, series in enumerate(take_inventory(source, tmp_path / "unpacked").series[:n]):
        verdict = classify(series)
        assert (verdict.kind, verdict.wanted) == (kind, wanted), verdict.reason
        found = _image_of(series, tmp_path / f"{number}")
        assert found == image or re.search(image, found), found


@pytest.mark.slow
@pytest.mark.parametrize("scanner", ["XA60", "XA61"])
def test_real_examinations(tmp_path: Path, scanner: str) -> None:
    """One folder of everything, as it comes from the archive: no fault of ours, nothing woven."""
    source = FOLDER / "dcm_qa_xa60" / "In" / scanner
    if not source.is_dir():
        pytest.skip(f"{source}: no such folder; name that of the clones in CENTIPET_DCM_QA")
    series = take_inventory(source, tmp_path / "unpacked").series
    assert len(series) > 40
    kinds = [classify(each).kind for each in series]
    images = [_image_of(each, tmp_path / f"{n}") for n, each in enumerate(series)]
    outcomes = {(kind, image.partition(":")[0]) for kind, image in zip(kinds, images, strict=True)}
    assert ("functional", TAKEN) in outcomes
    assert not {kind for kind in kinds if kind in ("T1w", "PET")}


def _image_of(series: Series, folder: Path) -> str:
    """Where the image of a series is from, or why there is none."""
    try:
        series.check_grid()
        converted = convert_series(series, frames_of(series), folder)
    except BadDataError as error:
        return f"refused: {error}"
    return STACKED if any("stacked" in remark.message for remark in converted.remarks) else TAKEN

"""What is told of one T1w of a within-subject template reaches the record of every scan on it."""

from __future__ import annotations

from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

from bidsapp.core.anatomy.within_subject import WithinSubject
from bidsapp.core.quality import Flag
from bidsapp.data.sentences import worded_flag
from bidsapp.interfaces import within_subject
from bidsapp.steps import templating

SHAPE = (8, 8, 8)
OF_A_NORMALISATION = Flag("normalisation-warp", "look")


@pytest.fixture
def segmented(tmp_path, monkeypatch):
    """Segment visits by a stand-in that finds something of the second; gives node outputs."""
    of_image = worded_flag("t1w-missing", n=7), worded_flag("t1w-negative", level=-20.0)
    findings = {1.0: (), 2.0: (*of_image, OF_A_NORMALISATION)}

    def segment_head(t1w):
        head = SimpleNamespace(
            corrected=t1w.data, brain_mask=t1w.data > 0, field=np.zeros((91, 109, 91, 3), "f4"),
            probabilities=np.zeros((3, *SHAPE), "f4"), quality={"gm_ml": 700.0, "wm_ml": 500.0},
        )  # fmt: skip
        return SimpleNamespace(segmentation=head, findings=findings[float(t1w.data.max())])

    monkeypatch.setattr(templating, "segment_head", segment_head)
    monkeypatch.setattr(
        templating,
        "within_subject_template",
        lambda visits: WithinSubject(visits[0].image, (np.eye(4),) * 2, (0.99, 0.99)),
    )
    monkeypatch.chdir(tmp_path)

    def segment(number: int, *, places_apart_mm: float = 0.0):
        image = nib.Nifti1Image(np.full(SHAPE, number, np.float32), np.eye(4))
        qform = np.eye(4)
        qform[0, 3] = places_apart_mm
        image.set_qform(qform, 1)
        path = tmp_path / f"sub-1_ses-{number}_T1w.nii.gz"
        image.to_filename(path)
        (folder := tmp_path / f"{number}_{places_apart_mm}").mkdir()
        return within_subject.SegmentVisit(t1w=str(path)).run(cwd=folder).outputs

    return segment


def flags_of(*visits):
    made = within_subject.MakeTemplate(
        visits=[visit.visit for visit in visits],
        reports=[visit.report for visit in visits],
        sources=[f"bids:raw:sub-1/anat/sub-1_ses-{number}_T1w.nii.gz" for number in (1, 2)],
    ).run()
    return made.outputs.record.flags


def test_what_is_wrong_with_an_image_is_told_with_its_name(segmented):
    flags = flags_of(segmented(1, places_apart_mm=3.0), segmented(2))
    messages = {flag.code: flag.message for flag in flags}
    assert list(messages) == ["header-places-differ", "t1w-missing", "t1w-negative"]
    assert messages["header-places-differ"].startswith(
        "sub-1_ses-1_T1w.nii.gz: sform and qform of the"
    )
    assert messages["t1w-missing"].startswith("sub-1_ses-2_T1w.nii.gz: 7 voxels of the T1w")
    assert messages["t1w-negative"].startswith("sub-1_ses-2_T1w.nii.gz: the T1w has intensities")


def test_images_without_fault_are_told_nothing_of(segmented):
    first = segmented(1)
    assert first.report["flags"] == [] and flags_of(first, first) == ()

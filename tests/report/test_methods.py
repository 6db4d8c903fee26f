"""The methods text names what was done, and cites it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from synthetic_records import finished_record, tau_record, write

from bidsapp.data.tracers import tracers
from bidsapp.record import find_records
from bidsapp.report.methods import boilerplate, describe_records
from bidsapp.settings import (
    AtlasFile,
    Interval,
    KineticModel,
    PetToT1w,
    Processing,
    PvcMethod,
    ReferenceChoice,
)

SCAN = {"sub": "01", "trc": "FBB"}
OWN = ReferenceChoice("own", "AAL3", ("1",))


@pytest.mark.parametrize("code", list(tracers()))
def test_equation_and_window_of_each_tracer_are_told(code):
    tracer = tracers()[code]
    text = boilerplate().as_markdown()
    sign = "+" if tracer.equation.intercept > 0 else "\N{MINUS SIGN}"
    assert f"{tracer.equation.slope:g} × SUVR {sign} {abs(tracer.equation.intercept):g}" in text
    assert f"{tracer.window_min[0]:g}\N{EN DASH}{tracer.window_min[1]:g} min" in text
    assert f"doi:{tracer.equation.doi}" in text


def test_everything_cited_is_listed_once_and_nothing_else_but_sources():
    methods = boilerplate()
    text = " ".join(methods.paragraphs)
    assert "{" not in text
    assert len(set(methods.references)) == len(methods.references)
    for reference in methods.references:
        assert reference.short in text
    cited = re.findall(r"\(([^()]+ \d{4})\)", text)
    assert set(cited) <= {reference.short for reference in methods.references}


def test_the_alignment_is_the_one_used():
    assert "linear combination" in boilerplate().paragraphs[2]
    nmi = boilerplate(Processing(pet_to_t1w=PetToT1w.NMI))
    assert "linear combination" not in nmi.paragraphs[2]


@pytest.mark.parametrize(
    ("options", "words", "cited"),
    [
        ({"smooth_fwhm_mm": 4.5}, "a Gaussian of 4.5 mm", None),
        ({"target_resolution_mm": 8.0}, "effective resolution of 8 mm", None),
        ({}, "no smoothing was applied", None),
        ({"pet_only": True}, "The PET itself was normalised", None),
        ({"pvc": (PvcMethod.GTM, PvcMethod.MG)}, "matrix (Thomas et al. 2011) and the", "Müller"),
        ({"kinetics": (KineticModel.LOGAN,)}, "with the Logan plot", "Logan J"),
        ({}, "atlas DesikanKilliany (Desikan et al. 2006)", "Desikan RS"),
        ({}, "with the interval for the same tracer scanned again", "Smith AM"),
        ({"interval": Interval.PIB}, "with the interval for what PiB would have shown", None),
        (
            {
                "reference_regions": (
                    ReferenceChoice("composite"),
                    OWN,
                )
            },
            "to: white matter, brainstem and whole cerebellum, the means of the three with the "
            "same weight; own (of the user).",
            None,
        ),
        ({"atlases": (AtlasFile("Mine", Path("mine.nii.gz")),)}, "atlas Mine (of the user)", None),
        (
            {"atlases": (AtlasFile("Mine", Path("mine.nii.gz"), erode_mm=2.0),)},
            "atlas Mine (of the user, 2 mm inside the border of every region)",
            None,
        ),
    ],
)
def test_options_are_told_and_cited(options, words, cited):
    methods = boilerplate(Processing(**options))
    assert words in " ".join(methods.paragraphs)
    assert cited is None or any(item.full.startswith(cited) for item in methods.references)


def test_frames_are_aligned_unless_a_run_leaves_it():
    runs = (Processing(), Processing(motion_correction=False))
    told = ["aligned rigidly with each other" in boilerplate(run).as_markdown() for run in runs]
    assert told == [True, False]


def test_a_part_without_t1w_is_told_apart(tmp_path):
    write(tmp_path, finished_record(SCAN), SCAN)
    other = {"sub": "01", "trc": "PIB"}
    write(tmp_path, finished_record(other, method="pet-only", t1w_source=None), other)
    text = describe_records(find_records(tmp_path)).as_markdown()
    assert "unified segmentation" in text and "If there was no usable T1-weighted image" in text


@pytest.mark.parametrize("parameters", [None, "x", {"atlases": "AAL3", "pvc": 3, "kinetics": [4]}])
def test_parameters_of_another_shape_are_survived(tmp_path, parameters):
    content = finished_record(SCAN, provenance={"version": "1", "parameters": parameters})
    write(tmp_path, content, SCAN)
    text = describe_records(find_records(tmp_path)).as_markdown()
    assert "no smoothing was applied" in text


def test_records_speak_for_themselves(tmp_path):
    equation = {"slope": 150.0, "intercept": 3.0, "source": "Nobody 1999, J", "doi": "10.1/x"}
    content = finished_record(SCAN, equation=equation, method="t1w+nmi")
    content["provenance"]["version"] = "0.0.7"
    write(tmp_path, content, SCAN)
    failed = {"sub": "02", "trc": "PIB"}
    write(tmp_path, finished_record(failed) | {"status": "failed"}, failed)
    text = describe_records(find_records(tmp_path)).as_markdown()
    assert "CentiPET 0.0.7" in text
    assert "by published equations, [18F]florbetaben: CL = 150 × SUVR + 3 (Nobody 1999)" in text
    assert "* Nobody 1999, J doi:10.1/x" in text
    assert "PiB" not in text
    assert "linear combination" not in text
    write(tmp_path, content | {"equation": equation | {"doi": ""}}, SCAN)
    assert "by the equations, " in describe_records(find_records(tmp_path)).as_markdown()


def test_tau_is_told_with_windows_and_scales_and_makes_no_centiloid(tmp_path):
    tau = {"sub": "01", "trc": "MK6240"}
    write(tmp_path, tau_record(tau), tau)
    text = describe_records(find_records(tmp_path)).as_markdown()
    assert text.startswith("Tau PET was quantified") and "CL =" not in text
    assert "90–110 min for [18F]MK-6240" in text and "Villemagne et al. 2023" in text
    assert "doi:10.1002/alz.13908" in text
    write(tmp_path, finished_record(SCAN), SCAN)
    both = describe_records(find_records(tmp_path)).as_markdown()
    assert both.startswith("Amyloid and tau PET was quantified") and "CL =" in both


def test_hostile_names_are_not_taken_for_citations(tmp_path):
    content = finished_record(SCAN, tracer="XXX", tracer_name="{klunk2015} {nothing}")
    write(tmp_path, content, SCAN)
    assert "{nothing}" in describe_records(find_records(tmp_path)).as_markdown()


def test_a_within_subject_template_is_told_where_there_was_one(tmp_path):
    write(tmp_path, finished_record(SCAN, method="template+model"), SCAN)
    text = describe_records(find_records(tmp_path)).as_markdown()
    assert "unbiased within-subject template (Reuter et al. 2012)" in text
    assert "blurred tissue maps" in text and "10.1016/j.neuroimage.2012.02.084" in text
    assert "within-subject" not in boilerplate().as_markdown()
    assert "within-subject" in boilerplate(Processing(longitudinal=True)).as_markdown()

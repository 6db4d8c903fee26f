"""The methods text names what was done, and cites it."""

from __future__ import annotations

import re

import pytest
from synthetic_records import finished_record, write

from bidsapp.data.tracers import tracers
from bidsapp.report.methods import boilerplate, describe_records
from bidsapp.report.records import find_records
from bidsapp.settings import PetToT1w

SCAN = {"sub": "01", "trc": "FBB"}


@pytest.mark.parametrize("code", list(tracers()))
def test_equation_and_window_of_each_tracer_are_told(code):
    tracer = tracers()[code]
    text = boilerplate([code]).as_markdown()
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
    assert "linear combination" in boilerplate(["PIB"], PetToT1w.MODEL).paragraphs[2]
    assert "linear combination" not in boilerplate(["PIB"], PetToT1w.NMI).paragraphs[2]


def test_records_speak_for_themselves(tmp_path):
    equation = {"slope": 150.0, "intercept": 3.0, "source": "Nobody 1999, J", "doi": "10.1/x"}
    content = finished_record(SCAN, equation=equation, method="t1w+nmi")
    content["provenance"]["version"] = "0.0.7"
    write(tmp_path, content, SCAN)
    failed = {"sub": "02", "trc": "PIB"}
    write(tmp_path, finished_record(failed) | {"status": "failed"}, failed)
    text = describe_records(find_records(tmp_path)).as_markdown()
    assert "CentiPET 0.0.7" in text
    assert "CL = 150 × SUVR + 3 (Nobody 1999)" in text and "* Nobody 1999, J doi:10.1/x" in text
    assert "PiB" not in text
    assert "linear combination" not in text


def test_hostile_names_are_not_taken_for_citations(tmp_path):
    content = finished_record(SCAN, tracer="XXX", tracer_name="{klunk2015} {nothing}")
    write(tmp_path, content, SCAN)
    assert "{nothing}" in describe_records(find_records(tmp_path)).as_markdown()

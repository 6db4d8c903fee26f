"""Visits of one person that were not placed by one template are told."""

from __future__ import annotations

import pytest
from synthetic_records import finished_record

from bidsapp.group.tables import cohort_flags
from bidsapp.group.template_flags import template_flags
from bidsapp.record.files import record_from_json

T1WS = [f"bids:raw:sub-1/ses-{session}/anat/sub-1_ses-{session}_T1w.nii.gz" for session in "123"]


def record_of(session: str, t1ws: list[str] | None, sub: str = "1", changed: str = ""):
    longitudinal = {"template": bool(t1ws)} | (
        {"t1w_sources": t1ws} if t1ws else {"reason": "one T1w"}
    )
    content = finished_record({"sub": sub, "ses": session, "trc": "FBB"}, longitudinal=longitudinal)
    inputs = {uri.rsplit("/", 1)[1]: f"sha256:{changed}{uri[-14]}" for uri in t1ws or ()}
    content["provenance"] |= {"inputs": inputs, "parameters": {"longitudinal": True}}
    path = f"sub-{sub}/ses-{session}/pet/sub-{sub}_ses-{session}_trc-FBB_centiloid.json"
    return record_from_json(content, path)


def test_one_template_for_all_visits_is_as_it_should_be():
    records = [record_of("1", T1WS[:2]), record_of("2", T1WS[:2]), record_of("1", None, sub="2")]
    assert template_flags(records) == {} and cohort_flags(records) == {}


@pytest.mark.parametrize(
    "other",
    [record_of("3", T1WS), record_of("3", None), record_of("3", T1WS[:2], changed="x")],
    ids=["made with a third T1w", "without template", "made with another image"],
)
def test_visits_of_several_templates_are_mixed_pipelines(other):
    records = [
        record_of("1", T1WS[:2]),
        record_of("2", T1WS[:2]),
        other,
        record_of("1", None, sub="2"),
    ]
    flags = cohort_flags(records)
    assert list(flags) == [record.path for record in records[:3]]
    assert {flag.code for own in flags.values() for flag in own} == {"mixed-pipelines"}
    assert "all sessions" in flags[other.path][0].message


def test_with_and_without_the_mode_are_other_parameters():
    content = finished_record({"sub": "2", "trc": "FBB"})
    content["provenance"]["parameters"] = {"longitudinal": False}
    one = record_from_json(content, "sub-2/pet/sub-2_trc-FBB_centiloid.json")
    records = [record_of("1", T1WS[:2]), record_of("2", T1WS[:2]), one]
    assert [flag.code for flag in cohort_flags(records)[one.path]] == ["mixed-pipelines"]

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bidsapp.bids.entities import ENTITY_ORDER, join_entities, parse_entities

LABEL = st.text("abcXYZ019", min_size=1, max_size=6)


@given(st.dictionaries(st.sampled_from(ENTITY_ORDER), LABEL, min_size=1, max_size=8))
def test_what_is_joined_is_parsed_again(entities):
    assert parse_entities(f"folder/{join_entities(entities)}_pet.nii.gz") == entities


def test_order_is_that_of_bids_and_empty_values_are_left_out():
    entities = {"desc": "x", "trc": "FBB", "run": "02", "ses": "", "sub": "01"}
    assert join_entities(entities) == "sub-01_trc-FBB_run-02_desc-x"


def test_an_unknown_entity_is_refused():
    with pytest.raises(ValueError, match="tracer"):
        join_entities({"tracer": "FBB"})

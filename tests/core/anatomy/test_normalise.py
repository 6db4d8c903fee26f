"""The ways to normalise a T1w when the usual one fails: which is taken, and why."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from bidsapp import data
from bidsapp.core.anatomy import normalise as module
from bidsapp.core.anatomy.normalise import STANDARD, normalise
from bidsapp.core.anatomy.start import AS_STORED, Start
from bidsapp.core.grid.volume import Volume
from bidsapp.errors import BadDataError
from bidsapp.steps.anatomy import head_template

LIMITS = data.read_table("limits")
T1W = Volume(np.ones((4, 4, 4), np.float32), np.eye(4))
QUARTER = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])


@pytest.fixture
def template():
    return head_template()


def stand_ins(monkeypatch, shifts, *, turned_score=0.1, contrast=2.0):
    """Each attempt gives the next of ``shifts``, an error for None; returns what was tried.

    Without a ``turned_score`` there is no head at another rotation.
    """
    tried, left = [], iter(shifts)

    def find_head(t1w, priors, sampler, orientations=AS_STORED, given=None):
        if given is not None:
            return Start(given, 0.0, 0.2, 0.2)
        if orientations is AS_STORED:
            return Start(np.eye(4), 0.0, 0.2, 0.2)
        if turned_score is None:
            raise BadDataError("contains no head that could be found")
        return Start(QUARTER, 0.0, 0.2, turned_score)

    def segment(t1w, priors, options, start):
        tried.append((options.warp_penalty, options.warp_steps > 0, start.affine is QUARTER))
        shift = next(left)
        if shift is None:
            raise BadDataError("only 3 ml could be brain")
        return SimpleNamespace(
            corrected=t1w.data, probabilities=None, brain_mask=None, field=None,
            quality={"shift": shift},
        )  # fmt: skip

    def quality(t1w, tissue, mask, field, template):
        return {"template_shift_mm": shifts[len(tried) - 1], "voi_contrast": contrast}

    monkeypatch.setattr(module, "find_head", find_head)
    monkeypatch.setattr(module, "segment", segment)
    monkeypatch.setattr(module, "normalisation_quality", quality)
    return tried


def test_a_good_one_is_left_alone(monkeypatch, template):
    tried = stand_ins(monkeypatch, [1.0])
    found = normalise(T1W, template, LIMITS)
    assert (found.strategy, found.reason, found.failed) == (STANDARD, "", ())
    assert found.rotation_deg == pytest.approx(0.0) and len(tried) == 1


@pytest.mark.parametrize("missing", [0.1, 0.9])
def test_a_t1w_without_skull_has_priors_of_its_own(monkeypatch, template, missing):
    stand_ins(monkeypatch, [1.0])
    used, segment = [], module.segment
    monkeypatch.setattr(module, "skull_missing", lambda t1w, priors, affine: missing)
    monkeypatch.setattr(
        module,
        "segment",
        lambda t1w, priors, options, start: (
            used.append(priors) or segment(t1w, priors, options, start)
        ),
    )
    found = normalise(T1W, template, LIMITS)
    assert used == [data.stripped_priors() if missing > 0.5 else data.priors()]
    assert found.quality["skull_missing"] == missing


def test_a_turned_header_is_repaired_and_told(monkeypatch, template):
    tried = stand_ins(monkeypatch, [9.0, 1.0], turned_score=0.3)
    found = normalise(T1W, template, LIMITS)
    assert (found.strategy, found.reason) == ("another start", "normalisation-shift")
    assert found.rotation_deg == pytest.approx(90.0) and not found.failed
    assert [turned for _, _, turned in tried] == [False, True]


def test_a_stiffer_warp_comes_next(monkeypatch, template):
    tried = stand_ins(monkeypatch, [9.0, 1.0])
    found = normalise(T1W, template, LIMITS)
    assert (found.strategy, found.reason) == ("a stiffer warp", "normalisation-shift")
    assert tried[1][0] > 10 * tried[0][0] and not tried[1][2]


def test_when_all_fail_the_least_bad_is_given_with_its_failure(monkeypatch, template):
    tried = stand_ins(monkeypatch, [9.0, 5.0, 7.0])
    found = normalise(T1W, template, LIMITS)
    assert found.quality["template_shift_mm"] == 5.0
    assert found.strategy == "a stiffer warp" and found.failed == ("normalisation-shift",)
    assert [warped for _, warped, _ in tried] == [True, True, False]


def test_a_doubtful_result_stays_when_no_rotation_shows_a_head(monkeypatch, template):
    tried = stand_ins(monkeypatch, [9.0, 5.0, 7.0], turned_score=None)
    found = normalise(T1W, template, LIMITS)
    assert found.strategy == "a stiffer warp" and found.failed == ("normalisation-shift",)
    assert len(tried) == 3 and not any(quarter for _, _, quarter in tried)


def test_what_no_other_way_can_repair_costs_no_time(monkeypatch, template):
    tried = stand_ins(monkeypatch, [1.0], contrast=0.2)
    found = normalise(T1W, template, LIMITS)
    assert (found.strategy, found.failed) == (STANDARD, ()) and len(tried) == 1


def test_another_way_after_an_error_is_told(monkeypatch, template):
    stand_ins(monkeypatch, [None, 1.0])
    found = normalise(T1W, template, LIMITS)
    assert (found.strategy, found.reason) == ("a stiffer warp", "no head found")


def test_no_head_in_any_way_is_an_error(monkeypatch, template):
    stand_ins(monkeypatch, [None, None, None])
    with pytest.raises(BadDataError, match="3 ml"):
        normalise(T1W, template, LIMITS)


def test_a_start_that_a_person_gave_is_the_only_one(monkeypatch, template):
    tried = stand_ins(monkeypatch, [9.0, 1.0])
    found = normalise(T1W, template, LIMITS, given=QUARTER)
    assert [turned for _, _, turned in tried] == [True, True]
    assert found.strategy == "a stiffer warp" and found.rotation_deg == pytest.approx(90.0)


@pytest.mark.slow
def test_a_head_on_its_side(template):
    """The template's head at 4 mm under a header that is wrong by 90 degrees."""
    affine = np.diag([-4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = [90, -126, -72]
    image = np.ascontiguousarray(data.template(1).data[::4, ::4, ::4])
    found = normalise(Volume(image, QUARTER @ affine), template, data.read_table("limits"))
    assert found.rotation_deg == pytest.approx(90.0, abs=5) and not found.failed
    goal = data.mni_grid(2).world() @ QUARTER[:3, :3].T
    off = np.linalg.norm(found.segmentation.field - goal, axis=-1)
    assert off[data.vois(2)["ctx"]].mean() < 5

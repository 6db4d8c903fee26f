"""The within-subject template: known places found, nobody favoured, whatever the order."""

from __future__ import annotations

import numpy as np
import pytest
from rigid_phantom import T1W_GRID, make_head
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from bidsapp.core.anatomy.within_subject import (
    Visit,
    halfway,
    template_quality,
    ventricles_ml,
    within_subject_template,
)
from bidsapp.core.grid.alignment import inverse, rigid_matrix, transform
from bidsapp.core.grid.sampling import trilinear
from bidsapp.core.grid.volume import Volume
from bidsapp.errors import BadDataError
from bidsapp.steps.templating import template_findings

LESION = np.array([25.0, 20.0, 20.0])
CENTRE = np.array([0.0, 0.0, 5.0])
PLACES = (
    rigid_matrix([0, 0, 0, 0, 0, 0], CENTRE),
    rigid_matrix([7, -5, 4, 0.10, -0.06, 0.08], CENTRE),
    rigid_matrix([-4, 6, 3, -0.07, 0.05, -0.12], CENTRE),
)


@pytest.fixture(scope="module")
def head():
    return make_head()


def visit_of(head, place, *, seed: int, gain: float = 1.0, data=None) -> Visit:
    """A T1w of the head at ``place`` (its world -> world of the visit), with noise of its own."""
    data = np.asarray(head.t1w.data if data is None else data, np.float32)
    index = transform(inverse(place @ head.t1w.affine), T1W_GRID.world().reshape(-1, 3))
    values, _, _ = trilinear(data, index, gradient=False)
    brain, _, _ = trilinear(head.mask.astype(np.float32), index, gradient=False)
    rng = np.random.default_rng(seed)
    image = gain * (values.reshape(T1W_GRID.shape) + 8 * rng.normal(size=T1W_GRID.shape))
    landmarks = transform(place, head.brain_points)  # as exact as segmentations are
    landmarks = landmarks + gaussian_filter(rng.normal(size=landmarks.shape), (5, 0)) * 4
    return Visit(
        Volume(np.maximum(image, 1).astype(np.float32), T1W_GRID.affine),
        brain.reshape(T1W_GRID.shape) > 0.5,
        landmarks,
    )


def errors(head, template, places) -> list[float]:
    """Mean distance (mm) between where the template and the truth put the brain, every pair."""
    found = [m @ inverse(template.to_visits[0]) for m in template.to_visits]
    known = [place @ inverse(places[0]) for place in places]
    points = transform(places[0], head.brain_points)
    return [
        float(np.linalg.norm(transform(a, points) - transform(b, points), axis=1).mean())
        for a, b in zip(found, known, strict=True)
    ]


@pytest.fixture(scope="module")
def two(head):
    """Two visits, the landmarks of one of them 5 mm off, and their template."""
    visits = [visit_of(head, place, seed=k) for k, place in enumerate(PLACES[:2])]
    off = transform(rigid_matrix([2, -2, 2, 0.03, 0, -0.03], CENTRE), visits[0].landmarks)
    visits[0] = Visit(visits[0].image, visits[0].brain, off)
    return visits, within_subject_template(visits)


@pytest.fixture(scope="module")
def three(head):
    """Three visits of other brightness, one with a lesion, and their template."""
    lesion = ((head.t1w.grid.world() - LESION) ** 2).sum(axis=-1) < 18**2
    visits = [
        visit_of(head, PLACES[0], seed=0),
        visit_of(head, PLACES[1], seed=1, gain=3.0),
        visit_of(head, PLACES[2], seed=2, gain=0.5, data=np.where(lesion, 900, head.t1w.data)),
    ]
    return visits, within_subject_template(visits)


def read(template, place, points) -> np.ndarray:
    """The template at points of the first visit's head."""
    to_template = inverse(template.to_visits[0]) @ place
    index = transform(inverse(template.image.affine) @ to_template, points)
    return trilinear(np.asarray(template.image.data), index, gradient=False)[0]


def test_known_displacements_of_two_visits_are_found(head, two):
    assert max(errors(head, two[1], PLACES[:2])) < 0.1
    assert min(two[1].agreement) > 0.95


def test_what_changed_pulls_neither_the_places_nor_the_median(head, three):
    template = three[1]
    assert max(errors(head, template, PLACES)) < 0.1
    assert read(template, PLACES[0], LESION[None])[0] < np.percentile(template.image.data, 99.9)


def test_the_order_of_the_visits_makes_no_difference_to_the_last_bit(three):
    visits, one = three
    other = within_subject_template([visits[k] for k in (2, 0, 1)])
    assert np.array_equal(one.image.data, other.image.data)
    assert np.array_equal(one.image.affine, other.image.affine)
    for k, place in enumerate((2, 0, 1)):
        assert np.array_equal(other.to_visits[k], one.to_visits[place])
        assert other.agreement[k] == one.agreement[place]


def test_the_template_lies_halfway(two):
    to_visits = two[1].to_visits
    turns = [Rotation.from_matrix(m[:3, :3]).as_rotvec() for m in to_visits]
    assert turns[0] == pytest.approx(-turns[1], abs=1e-9)
    assert np.linalg.norm(turns[0]) > 0.05
    # as far to the one as to the other, everywhere on the axis they turn about
    middle = np.mean([transform(m, CENTRE) for m in to_visits], axis=0)
    there = [np.linalg.norm(transform(m, middle) - middle) for m in to_visits]
    assert there[0] == pytest.approx(there[1], rel=0.1)


def test_halfway_of_any_common_world_is_the_same_place():
    elsewhere = rigid_matrix([30, -20, 10, 0.5, -0.4, 0.3])
    one = halfway(PLACES, CENTRE)
    other = halfway([m @ elsewhere for m in PLACES], transform(inverse(elsewhere), CENTRE))
    assert np.array(one) == pytest.approx(np.array(other), abs=1e-9)
    mean = Rotation.from_matrix([m[:3, :3] for m in one]).mean()
    assert mean.magnitude() == pytest.approx(0, abs=1e-9)
    there = np.mean([transform(m, CENTRE) for m in PLACES], axis=0)
    assert np.mean([transform(m, there) for m in one], axis=0) == pytest.approx(there)


def test_another_person_and_other_ventricles_are_told(head, two):
    visits = [two[0][0], visit_of(make_head(11), PLACES[1], seed=1)]
    agreement = within_subject_template(visits).agreement
    content = {
        name: {"agreement": value, "tissue_ml": 1000.0, "ventricles_ml": 30.0}
        for name, value in zip("ab", agreement, strict=True)
    }
    assert [f.code for f in template_findings(content)] == ["visits-disagreement"]
    good = {name: {**row, "agreement": 0.97} for name, row in content.items()}
    assert template_findings(good) == ()
    good["b"]["ventricles_ml"] = 60.0
    assert [f.code for f in template_findings(good)] == ["visits-change"]
    assert template_quality(list(good.values()))["visits_ventricles_ml"] == 30.0
    lost = good | {"c": {"reason": "contains no head"}}
    codes = [f.code for f in template_findings(lost)]
    assert codes == ["visit-left-out", "visits-change"]


def test_brains_that_do_not_meet_are_refused(head):
    one = visit_of(head, PLACES[0], seed=0)
    empty = Visit(one.image, np.zeros_like(one.brain), one.landmarks)
    with pytest.raises(BadDataError, match="mask"):
        within_subject_template([one, empty])
    other = Visit(one.image, np.roll(one.brain, 30, axis=0), one.landmarks + 150)
    with pytest.raises(BadDataError, match="do not overlap"):
        within_subject_template([one, other])


def test_ventricles_are_csf_deep_in_the_brain():
    z = np.stack(np.meshgrid(*[np.arange(100)] * 3, indexing="ij")) - 50
    radius = np.sqrt((z**2).sum(axis=0))
    brain = radius < 45
    csf = ((radius < 12) | (radius > 42)) & brain
    expected = 4 / 3 * np.pi * 12**3 / 1000
    assert ventricles_ml(csf.astype(np.float32), brain, np.ones(3)) == pytest.approx(
        expected, rel=0.02
    )

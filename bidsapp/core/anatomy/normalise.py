"""Segmentation with a check of the result, and fallback strategies when the check fails.

A failed fit usually had a wrong start (a header that rotates the head by 90 degrees, a pose far
from any start) or a warp without support in the data (a cut, a lesion, an artefact). So it is
repeated from every right-angle rotation of the header, then with a stiffer warp, then without a
warp. The first that passes is taken, else the one with the smallest error in its worst part.

A T1w without skull has priors of its own: without tissue outside, those of whole heads leave the
surface of its brain undetermined and bias the result by about a Centiloid upwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from threadpoolctl import threadpool_limits

from bidsapp.core.anatomy.confidence import Template, normalisation_quality
from bidsapp.core.anatomy.segment import Options, Segmentation, segment
from bidsapp.core.anatomy.start import RIGHT_ANGLE_ROTATIONS, Start, find_head, skull_missing
from bidsapp.core.grid.alignment import Matrix, rotation_deg
from bidsapp.core.grid.volume import Volume
from bidsapp.core.quality import Limits, codes_beyond
from bidsapp.errors import BadDataError

USUAL = Options()
STIFFER = 30.0  # times the usual bending energy
STRIPPED = 0.5  # of the surroundings of the brain hold nothing
WORST = "template_shift_mm"
# Codes of what another start or a stiffer warp may repair.
REPAIRABLE = {
    "normalisation-shift", "normalisation-overlap", "normalisation-tissue", "normalisation-warp",
}  # fmt: skip
STANDARD = "the standard strategy"


@dataclass(frozen=True)
class Normalised:
    """A segmentation, its quality numbers, and how it was reached.

    Attributes
    ----------
    segmentation : Segmentation
    quality : dict of float
        Numbers of the fit and of `bidsapp.core.anatomy.confidence.normalisation_quality`.
    failed : tuple of str
        Codes of the limits that it is beyond and that a fallback might keep.
    rotation_deg : float
        Of the head against the axes that the header of the T1w says.
    strategy : str
        In words.
    reason : str
        Why the standard strategy was not used; empty where it was.
    """

    segmentation: Segmentation
    quality: dict[str, float]
    failed: tuple[str, ...]
    rotation_deg: float
    strategy: str = STANDARD
    reason: str = ""


def normalise(
    t1w: Volume,
    template: Template,
    limits: Limits,
    given: Matrix | None = None,
) -> Normalised:
    """Segment a T1w, check the result, and try fallbacks when the check fails.

    Parameters
    ----------
    t1w : Volume, 3D
    template : Template
    limits : mapping
        Of the numbers of quality (see `bidsapp.core.quality.flagged`).
    given : ndarray, shape (4, 4), optional
        T1w world -> template world, RAS mm, from the user: the only start.

    Returns
    -------
    Normalised

    Raises
    ------
    BadDataError
        There is no head in the image, at any rotation.
    """
    with threadpool_limits(limits=1):  # the same bits whatever the number of threads
        return _first_that_passes(t1w, template, limits, given)


def _first_that_passes(
    t1w: Volume, template: Template, limits: Limits, given: Matrix | None
) -> Normalised:
    best: Normalised | None = None
    reason = BadDataError("contains no head")
    failed = ""  # why the standard strategy failed
    for strategy, start, choice in _strategies(t1w, template, given):
        try:
            attempt = _attempt(t1w, template, limits, choice, start)
        except BadDataError as error:
            reason, failed = error, failed or "no head found"
            continue
        if strategy != STANDARD:
            failed = failed or "no convincing start"
        # one at a time: the maps of a head are 300 MB
        if best is None or not attempt.failed or attempt.quality[WORST] < best.quality[WORST]:
            best = replace(attempt, strategy=strategy, reason=failed)
        failed = failed or ", ".join(attempt.failed)
        if not attempt.failed:
            break
    if best is None:
        raise reason
    return best


def _strategies(
    t1w: Volume, template: Template, given: Matrix | None
) -> Iterator[tuple[str, Start, Options]]:
    """Strategies to normalise a T1w, the standard one first: description, start, options."""
    sampler = template.priors.sampler
    best: Start | None = None
    if given is not None:
        best = find_head(t1w, template.priors, sampler, given=given)
        yield STANDARD, best, USUAL
    else:
        with suppress(BadDataError):  # the rotated ones raise if they do not help
            best = find_head(t1w, template.priors, sampler)
        if best is not None and best.convincing:
            yield STANDARD, best, USUAL
        try:
            rotated = find_head(t1w, template.priors, sampler, RIGHT_ANGLE_ROTATIONS)
        except BadDataError:  # the search among many rotations may miss what one start found
            if best is None:
                raise
            rotated = best
        if best is None or rotated.tissue_information > best.tissue_information:
            best = rotated
            yield "another start", rotated, USUAL
        elif not best.convincing:
            yield STANDARD, best, USUAL
    if not best.convincing:
        return  # another warp would not help
    yield "a stiffer warp", best, Options(warp_penalty=STIFFER * USUAL.warp_penalty)
    yield "an affine alone", best, Options(warp_steps=0)


def suited(template: Template, t1w: Volume, start: Start) -> tuple[Template, float]:
    """Template with the priors of whole heads, or those of heads without skull.

    Parameters
    ----------
    template : Template
        Of whole heads.
    t1w : Volume, 3D
    start : Start
        Where the head lies.

    Returns
    -------
    template : Template
    missing : float
        Share of the surroundings of the brain that is empty (`skull_missing`).
    """
    missing = skull_missing(t1w, template.priors, start.affine)
    return template.stripped if lacks_skull(missing) else template, missing


def lacks_skull(missing: float | None) -> bool:
    """Whether the skull was taken away from a T1w.

    Parameters
    ----------
    missing : share of the surroundings of the brain that is empty, None if unknown

    Returns
    -------
    bool
    """
    return missing is not None and missing > STRIPPED


def _attempt(
    t1w: Volume, template: Template, limits: Limits, options: Options, start: Start
) -> Normalised:
    template, missing = suited(template, t1w, start)
    fit = segment(t1w, template.priors, options, start)
    corrected = Volume(fit.corrected, t1w.affine)
    quality = fit.quality | normalisation_quality(
        corrected, fit.probabilities, fit.brain_mask, fit.field, template
    )
    quality["skull_missing"] = missing
    failed = tuple(code for code in codes_beyond(quality, limits) if code in REPAIRABLE)
    return Normalised(fit, quality, failed, rotation_deg(start.affine))

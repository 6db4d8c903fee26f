"""Segmentation that is checked, and tried another way when the check fails.

A fit that went astray has usually begun in the wrong place (a header that turns the head by 90
degrees, a pose far from any start) or bent where it had nothing to hold on to (a cut, a lesion, an
artefact). So a failed one begins again from every turn of the header, then with a stiffer warp,
then without any; the first that passes is taken, else the one whose worst part lies best. Whatever
is not the usual way is told.

A T1w without skull has priors of its own: nothing holds the surface of its brain from outside, and
with those of whole heads the volumes of interest lie where it reads about a Centiloid high.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from threadpoolctl import threadpool_limits

from bidsapp.core.anatomy.confidence import Template, normalisation_quality
from bidsapp.core.anatomy.segment import Options, Segmentation, segment
from bidsapp.core.anatomy.start import EVERY_WAY, Start, find_head, skull_missing
from bidsapp.core.grid.alignment import Matrix, rotation_deg
from bidsapp.core.grid.volume import Volume
from bidsapp.core.quality import REPAIRABLE, Flag, Limits, flagged
from bidsapp.errors import BadDataError

USUAL = Options()
LOOK = "look at the picture of the T1w on the template"
STIFFER = 30.0  # times the usual bending energy
TURNED_DEG = 45.0  # more is no pose in a scanner but an error of the header
STRIPPED = 0.5  # of the surroundings of the brain hold nothing
WORST = "template_shift_mm"
USUAL_WAY = "the usual way"


@dataclass(frozen=True)
class Normalised:
    """A segmentation and what is to be thought of it.

    Attributes
    ----------
    segmentation : Segmentation
    quality : dict of float
        Numbers of the fit and of `bidsapp.core.anatomy.confidence.normalisation_quality`.
    findings : tuple of Flag
    """

    segmentation: Segmentation
    quality: dict[str, float]
    findings: tuple[Flag, ...]

    @property
    def failed(self) -> bool:
        """Whether another way might do better."""
        return any(finding.code in REPAIRABLE for finding in self.findings)


def normalise(
    t1w: Volume,
    template: Template,
    limits: Limits,
    given: Matrix | None = None,
) -> Normalised:
    """Segment a T1w, check the result, and try another way when it fails.

    Parameters
    ----------
    t1w : Volume, 3D
    template : Template
    limits : mapping
        Of the numbers of quality (see `bidsapp.core.quality.flagged`).
    given : ndarray, shape (4, 4), optional
        Where a person says that the head lies, T1w world -> template world, mm: the only start.

    Returns
    -------
    Normalised

    Raises
    ------
    BadDataError
        The image holds no head, whatever way it is turned.
    """
    with threadpool_limits(limits=1):  # the same bits whatever the number of threads
        return _first_that_passes(t1w, template, limits, given)


def _first_that_passes(
    t1w: Volume, template: Template, limits: Limits, given: Matrix | None
) -> Normalised:
    best: Normalised | None = None
    reason = BadDataError("contains no head")
    failed = ""  # what the usual way failed by
    for way, start, choice in _ways(t1w, template, given):
        try:
            found = _attempt(t1w, template, limits, choice, start)
        except BadDataError as error:
            reason, failed = error, failed or "no head found"
            continue
        if way != USUAL_WAY:
            failed = failed or "no convincing start"
        told = (*_told(way, failed), *_turned(start), *found.findings)
        failed = failed or ", ".join(f.code for f in found.findings if f.code in REPAIRABLE)
        # one at a time: the maps of a head are 300 MB
        if best is None or not found.failed or found.quality[WORST] < best.quality[WORST]:
            best = replace(found, findings=told)
        if not found.failed:
            break
    if best is None:
        raise reason
    return best


def _ways(
    t1w: Volume, template: Template, given: Matrix | None
) -> Iterator[tuple[str, Start, Options]]:
    """Ways to normalise a T1w, the usual one first: what it is, start, options."""
    sampler = template.priors.sampler
    best: Start | None = None
    if given is not None:
        best = find_head(t1w, template.priors, sampler, given=given)
        yield USUAL_WAY, best, USUAL
    else:
        with suppress(BadDataError):  # the turned ones tell what is wrong, if they do not help
            best = find_head(t1w, template.priors, sampler)
        if best is not None and best.convincing:
            yield USUAL_WAY, best, USUAL
        turned = find_head(t1w, template.priors, sampler, EVERY_WAY)
        if best is None or turned.tissue_information > best.tissue_information:
            best = turned
            yield "another start", turned, USUAL
        elif not best.convincing:
            yield USUAL_WAY, best, USUAL
    if not best.convincing:
        return  # no other warp makes a head of it
    yield "a stiffer warp", best, Options(warp_penalty=STIFFER * USUAL.warp_penalty)
    yield "an affine alone", best, Options(warp_steps=0)


def _attempt(
    t1w: Volume, template: Template, limits: Limits, options: Options, start: Start
) -> Normalised:
    missing = skull_missing(t1w, template.priors, start.affine)
    template = template.stripped if missing > STRIPPED else template
    found = segment(t1w, template.priors, options, start)
    corrected = Volume(found.corrected, t1w.affine)
    quality = found.quality | normalisation_quality(
        corrected, found.probabilities, found.brain_mask, found.field, template
    )
    quality["skull_missing"] = missing
    return Normalised(found, quality, flagged(quality, limits, look=LOOK))


def _told(way: str, failed: str) -> tuple[Flag, ...]:
    """Say that this is not the usual way, and why not."""
    if not failed:
        return ()
    return (
        Flag(
            "normalisation-fallback",
            f"the usual normalisation failed its check ({failed}) and {way} was used instead: look "
            "at the picture of the T1w on the template",
        ),
    )


def _turned(start: Start) -> tuple[Flag, ...]:
    """Say that the head lies as no head lies in a scanner."""
    degrees = rotation_deg(start.affine)
    if degrees <= TURNED_DEG:
        return ()
    return (
        Flag(
            "t1w-orientation",
            f"the head is rotated by {degrees:.0f} degrees against what the header of the T1w "
            "says: correct its orientation; left and right cannot be distinguished here",
        ),
    )

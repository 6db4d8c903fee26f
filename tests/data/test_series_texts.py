"""Texts about attenuation and contrast agent are read as a person would read them."""

import re

import pytest

from bidsapp.data.series_texts import (
    is_denied,
    is_unknown,
    labels_no_attenuation,
    names_contrast,
    names_no_attenuation,
    states_agent,
)

GIVEN = """
T1 MPRAGE +C|post gad|T1_MPRAGE_POST|3D T1 postcontrast|MPRAGE KM|ax t1 c+|t1_ce|ProHance|Gd-DOTA
GADAVIST|T1 w/contrast|t1 post contrast|MPRAGE post|T1 C+|T1 +C|t1_mprage_CE|t1ce|T1 mit KM
T1 nach KM|T1 Gadovist|T1 inj Dotarem 3D T1|T1 +Gd|MPRAGE with contrast|T1 injecté
T1 con contraste|t1c sag|T1 造影|T1增强|T1 gadolinium|t1_gd|BRAVO Post Gad|T1 met contrast
"""
NOT_GIVEN = """
n/a|MPRAGE|T1 W/O CONTRAST|NONCONTRAST|precontrast|SAG T1 PRE|t1 se c-|sans contrast|nativ|SPACE
MPR post processing|posterior|t1 pre contrast|T1 ohne KM|MPRAGE pre|t1 without contrast
T1 w/o contrast|T1 non-contrast|T1 sans injection|T1 sin contraste|T1 nativ|T1 C-|t1_mprage
T1 造影前|MPRAGE post-op|T1 no Gd|T1 voor contrast|MPRAGE prescan norm|T1 o. KM|t1 cervical
T1 平扫|T1 unenhanced|postprocessed T1|T1 senza mdc|MPRAGE cor
"""


@pytest.mark.parametrize("text", re.split(r"[|\n]", GIVEN.strip()))
def test_contrast_that_was_given(text):
    assert names_contrast(text)


@pytest.mark.parametrize("text", ["", *re.split(r"[|\n]", NOT_GIVEN.strip())])
def test_contrast_that_was_not(text):
    assert names_contrast(text) is not True


@pytest.mark.parametrize(
    ("text", "given"),
    [("Gadobutrol", True), ("none", False), ("n/a", False), ("0 ml", False), ("", None)],
)
def test_the_field_of_the_agent(text, given):
    assert states_agent(text) is given


@pytest.mark.parametrize(
    ("text", "unknown", "denied"),
    [
        ("", True, False), (" ", True, False), ("n/a", True, False), ("Not available", True, False),
        ("none", False, True), ("No AC", False, True), ("not corrected", False, True),
        ("NAC", False, True), ("[not applied]", False, True), ("False", False, True),
        ("CT", False, False), ("measured,CT", False, False), ("0.095 1/cm", False, False),
        ("CT-based, not TOF", False, False), ("calculated", False, False),
        ("measured, not applied", False, True), ("CT (not used)", False, True),
        ("CT, scatter not corrected", False, False), ("done but not for scatter", False, False),
    ],
)  # fmt: skip
def test_a_value_denies_or_does_not_tell(text, unknown, denied):
    assert (is_unknown(text), is_denied(text)) == (unknown, denied)


@pytest.mark.parametrize(
    ("text", "without"),
    [("PET NAC", True), ("BRAIN_NAC_DYN", True), ("AV45_noAC", True), ("uncorrected", True),
     ("not attenuation-corrected", True), ("PET Brain AC", False), ("panac", False),
     ("FBB ohne Schwächungskorrektur", True), ("TEP sans CA", True), ("PET unkorrigiert", True),
     ("TEP non corrigé", True), ("FBB mit Schwaechungskorrektur", False), ("TEP cerveau", False),
     ("AC_off", True), ("attenuation correction: none", True), ("PET AC NO PSF", False)],
)  # fmt: skip
def test_descriptions_without_attenuation_correction(text, without):
    assert names_no_attenuation(text) is without


@pytest.mark.parametrize(
    ("label", "without"),
    [("nacdyn", True), ("nacstat", True), ("OSEMNAC", True), ("osemnac2", True), ("noAC", True),
     ("acdyn", False), ("acstat", False), ("osem", False)],
)  # fmt: skip
def test_labels_without_attenuation_correction(label, without):
    assert labels_no_attenuation(label) is without

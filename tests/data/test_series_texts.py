"""Texts about attenuation and contrast agent are read as a person would read them."""

import pytest

from bidsapp.data.series_texts import (
    is_denied,
    is_unknown,
    labels_no_attenuation,
    names_contrast,
    names_no_attenuation,
    states_agent,
)


@pytest.mark.parametrize(
    "text",
    ["T1 MPRAGE +C", "post gad", "T1_MPRAGE_POST", "3D T1 postcontrast", "MPRAGE KM", "ax t1 c+",
     "t1_ce", "ProHance", "Gd-DOTA", "GADAVIST", "T1 w/contrast"],
)  # fmt: skip
def test_contrast_that_was_given(text):
    assert names_contrast(text)


@pytest.mark.parametrize(
    "text",
    ["", "n/a", "MPRAGE", "T1 W/O CONTRAST", "NONCONTRAST", "precontrast", "SAG T1 PRE",
     "t1 se c-", "sans contrast", "nativ", "MPR post processing",
     "posterior", "SPACE"],
)  # fmt: skip
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

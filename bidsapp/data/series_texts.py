"""What sidecars, headers and names of series say about attenuation and contrast agent.

One home for both ways in: DICOM headers and BIDS sidecars say these things in the same free texts.
"""

from __future__ import annotations

import re

from bidsapp.data import read_table

# What stands where a value is not known.
_UNKNOWN = re.compile(
    r"(n\.?/?\s?a\.?|nan|null|tbd|unknown|unspecified|"
    r"not? (available|known|reported|specified|applicable|stated|given|recorded|provided)|\W*)",
)
_NEGATION = r"(no|not|non|none|without|w/?o|sans|ohne|pre|un|never)"
# A value that begins so says that something was not done.
_NEGATIVE = re.compile(
    rf"\W*({_NEGATION}|false|off(?![ _-]?line)"
    r"|nacs?|uncorrected|uncorr|disabled|failed|omitted|skipped"
    r"|keine?|nein|aucune?|n|0$)(?![a-z])"
    r"|\W*non[\W_]*(ac|att|corr)"
)
# A clause that denies what the whole value is about: "measured, not applied".
_NOT_DONE = re.compile(
    r"\s*(not|never)\s+(yet\s+|been\s+)?(applied|corrected|done|performed|used)\s*"
)
_ATTENUATION = r"(ac|atten(uation)?([\W_]*corr(ection|ected)?)?)"
_NO_ATTENUATION = re.compile(
    rf"(?<![a-z])(nac(?![a-z])|{_NEGATION}[\W_]*(ac(?![a-z])|atten)|un-?corr(ected)?(?![a-z])"
    r"|(?<![a-z])(ohne|sans|senza|sin|sem|zonder)[\W_]*(schw(ä|ae?)ch|atten|corr|ca(?![a-z]))"
    r"|(?<![a-z])(un|nicht|non)[\W_]*(schw(ä|ae?)ch|korrigiert|corrig)"
    rf"|{_ATTENUATION}[\s:=_-]*(is |was )?(off|not|none|false|disabled)(?![a-z]))"
)
_NO_ATTENUATION_LABEL = re.compile(r"^(?i:nac|no-?nac|noac|nonac|uncorr)|NAC|(?i:nac)\d*$")


def is_unknown(value: object) -> bool:
    """Whether a value has no information: absent, empty, ``n/a``, ``unknown``, NaN.

    Parameters
    ----------
    value : of a key or a cell; None for one that is not there

    Returns
    -------
    bool

    Examples
    --------
    >>> is_unknown("n/a"), is_unknown(" "), is_unknown(None), is_unknown("none"), is_unknown(0)
    (True, True, True, False, False)
    """
    return value is None or _UNKNOWN.fullmatch(str(value).strip().lower()) is not None


def is_denied(text: str) -> bool:
    """Whether a value of something that can be done says that it was not.

    Parameters
    ----------
    text : the value

    Returns
    -------
    bool

    Examples
    --------
    >>> is_denied("Not corrected"), is_denied("NONE"), is_denied("CT, no scatter"), is_denied("n/a")
    (True, True, False, False)
    """
    if is_unknown(text):
        return False
    clauses = re.split(r"[,;.:()/|]|\bbut\b", text.strip().lower())
    return _NEGATIVE.match(text.strip().lower()) is not None or any(
        _NOT_DONE.fullmatch(clause) for clause in clauses
    )


def denies_attenuation(text: str) -> bool:
    """Whether the value of a field about attenuation correction says that there was none.

    Parameters
    ----------
    text : the value

    Returns
    -------
    bool

    Examples
    --------
    >>> denies_attenuation("AC off"), denies_attenuation("CT-based, not TOF")
    (True, False)
    """
    return is_denied(text) or names_no_attenuation(text)


def names_no_attenuation(text: str) -> bool:
    """Whether a description is that of a PET without attenuation correction.

    Parameters
    ----------
    text : of a series or a reconstruction

    Returns
    -------
    bool

    Examples
    --------
    >>> names_no_attenuation("PET_NAC_dyn"), names_no_attenuation("Brain AC")
    (True, False)
    """
    return _NO_ATTENUATION.search(text.lower()) is not None


def labels_no_attenuation(label: str) -> bool:
    """Whether a label without separators, such as BIDS' own ``nacdyn``, says so.

    Parameters
    ----------
    label : of the entity ``rec``

    Returns
    -------
    bool

    Examples
    --------
    >>> labels_no_attenuation("nacstat"), labels_no_attenuation("acstat")
    (True, False)
    """
    return _NO_ATTENUATION_LABEL.search(label) is not None


def names_contrast(text: str) -> bool | None:
    """Whether a description says that contrast agent was given; None when it says neither.

    Parameters
    ----------
    text : name of a series

    Returns
    -------
    bool or None

    Examples
    --------
    >>> names_contrast("T1 MPRAGE +C"), names_contrast("T1 pre contrast"), names_contrast("MPRAGE")
    (True, False, None)
    """
    if _matches("without_contrast", text):  # a denial holds the word that it denies
        return False
    return True if _matches("with_contrast", text) else None


def names_stripped(label: str) -> bool:
    """Whether a label without separators says that the skull was taken away.

    Parameters
    ----------
    label : of an entity

    Returns
    -------
    bool

    Examples
    --------
    >>> names_stripped("skullstripped"), names_stripped("noSkull"), names_stripped("withskull")
    (True, True, False)
    """
    return _matches("stripped", label)


def states_agent(text: str) -> bool | None:
    """Whether the field of the contrast agent names one; None when it is empty.

    Parameters
    ----------
    text : the value

    Returns
    -------
    bool or None

    Examples
    --------
    >>> states_agent("Gadobutrol"), states_agent("none"), states_agent("")
    (True, False, None)
    """
    if not text.strip():
        return None
    return not (is_unknown(text) or _matches("no_agent", text))


def _matches(name: str, text: str) -> bool:
    return re.search(read_table("series_texts")[name], text.lower()) is not None


def image_words(value: object) -> list[str]:
    r"""Words of ``ImageType`` or ``CorrectedImage``: a list, or a text with ``\`` or ``,`` between.

    Parameters
    ----------
    value : of the key; texts in it, whatever else there is

    Returns
    -------
    list of str
        In capitals, without those that say nothing.

    Examples
    --------
    >>> image_words("DERIVED\\PRIMARY"), image_words(["attn ", "DECY"]), image_words(None)
    (['DERIVED', 'PRIMARY'], ['ATTN', 'DECY'], [])
    """
    parts = value if isinstance(value, list) else [value]
    texts = (text for part in parts if isinstance(part, str) for text in re.split(r"[\\,;]", part))
    return [text.strip().upper() for text in texts if not is_unknown(text)]


def projection_word(words: list[str]) -> str | None:
    """Word of ``ImageType`` by which an image is a projection or a picture, no volume.

    Parameters
    ----------
    words : as `image_words` gives them

    Returns
    -------
    str or None
    """
    pattern = r"\b(mn?ip|projection|fused|screen)"
    return next((word for word in words if re.search(pattern, word.lower())), None)

"""Whether a PET image is an attenuation-corrected reconstruction, according to its texts.

Without it the cortex reads too low against the cerebellum's depth, and nothing in the voxels shows
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bidsapp.core.quality import Flag
from bidsapp.data.sentences import worded_flag
from bidsapp.data.series_texts import (
    denies_attenuation,
    image_words,
    is_denied,
    is_unknown,
    labels_no_attenuation,
    names_no_attenuation,
    projection_word,
)

_ATTENUATION = "ATTN"  # of CorrectedImage
_OTHER_CORRECTIONS = ("ScatterCorrectionMethod", "RandomsCorrectionMethod")
_MODALITIES = {"PT": "PT", "PET": "PT", "MR": "MR", "MRI": "MR", "CT": "CT"}
_OWN_KEYS = {"MR": ("EchoTime", "RepetitionTime"), "PT": ("FrameTimesStart", "FrameDuration")}
_DESCRIPTIONS = ("SeriesDescription", "ReconMethodName")


def other_modality(sidecar: Mapping[str, Any], expected: str) -> str | None:
    """What a sidecar says of the modality of its image when that is another one.

    Parameters
    ----------
    sidecar : merged metadata
    expected : ``PT`` or ``MR``, that it should be

    Returns
    -------
    str or None
        Keys; None where it is the expected one, or nothing is said.

    Examples
    --------
    >>> other_modality({"Modality": "CT"}, "PT"), other_modality({"Modality": "PET"}, "PT")
    ('Modality CT', None)
    >>> other_modality({"EchoTime": 0.003, "RepetitionTime": 2.3}, "PT")
    'EchoTime and RepetitionTime'
    """
    modality = str(sidecar.get("Modality")).strip().upper()
    if modality in _MODALITIES:
        return None if _MODALITIES[modality] == expected else f"Modality {modality}"
    keys = next(keys for kind, keys in _OWN_KEYS.items() if kind != expected)
    return None if any(is_unknown(sidecar.get(key)) for key in keys) else " and ".join(keys)


def unquantifiable(sidecar: Mapping[str, Any], entities: Mapping[str, str]) -> str | None:
    """Why a PET image cannot be quantified; None when nothing speaks against it.

    Parameters
    ----------
    sidecar : merged metadata
    entities : of the image, short keys

    Returns
    -------
    str or None
    """
    if word := projection_word(image_words(sidecar.get("ImageType"))):
        return f"ImageType says {word}: a projection or a picture is not a volume of activity"
    if reason := _uncorrected(sidecar, entities):
        return f"{reason}: an image without attenuation correction cannot be quantified"
    return None


def _uncorrected(sidecar: Mapping[str, Any], entities: Mapping[str, str]) -> str | None:
    """What says that attenuation was not corrected."""
    if labels_no_attenuation(rec := entities.get("rec", "")):
        return f"rec-{rec}"
    for key, value in sidecar.items():
        if key.lower().startswith("attenuationcorrect") and _denies(value):
            return f"{key} is {value!r}"
    corrections = image_words(sidecar.get("CorrectedImage"))
    if corrections and not any(_ATTENUATION in word for word in corrections):
        return f"CorrectedImage lacks {_ATTENUATION}"
    for key in () if corrections else _DESCRIPTIONS:
        description = sidecar.get(key)
        if isinstance(description, str) and names_no_attenuation(description):
            return f"{key} is {description!r}"
    return None


def _denies(value: object) -> bool:
    if isinstance(value, list):
        return any(map(_denies, value))
    return (isinstance(value, str) and denies_attenuation(value)) or value == 0


def kind_findings(sidecar: Mapping[str, Any], entities: Mapping[str, str]) -> list[Flag]:
    """What is not stated about a PET that may be processed.

    Parameters
    ----------
    sidecar : merged metadata
    entities : of the image, short keys

    Returns
    -------
    list of Flag
    """
    flags = []
    value = sidecar.get("AttenuationCorrection")
    stated = value is True or (isinstance(value, str) and not is_unknown(value))
    stated |= _ATTENUATION in image_words(sidecar.get("CorrectedImage"))
    stated |= entities.get("rec", "").lower().startswith("ac")
    if not stated:
        shown = "is missing" if value is None else f"is {value!r}"
        flags.append(worded_flag("attenuation-unknown", shown=shown))
    for key in _OTHER_CORRECTIONS:
        value = sidecar.get(key)
        if isinstance(value, str) and is_denied(value):
            flags.append(worded_flag("correction-missing", key=key, value=value))
    if "DERIVED" in image_words(sidecar.get("ImageType")):
        flags.append(worded_flag("image-derived"))
    return flags

"""What the stored numbers of a PET are in Bq/mL."""

from __future__ import annotations

from bidsapp.bids.pet_metadata import activity_unit
from bidsapp.core.frames.decay import decay_between
from bidsapp.data.sentences import refused
from bidsapp.dicom.habits import tables
from bidsapp.dicom.header import Header, shared_number
from bidsapp.dicom.scan_times import TimeModel
from bidsapp.dicom.series import Series
from bidsapp.dicom.sidecar import dose_bq

_SUV = "body-weight SUV times dose over weight"


def to_bq_per_ml(series: Series, times: TimeModel, half_life_s: float) -> tuple[float, str]:
    """Factor that takes rescaled voxels to Bq/mL, and where it comes from.

    Counts of Philips scanners carry their calibration in private tags (Philips PET conformance
    statements; QIBA's vendor-neutral SUV pseudo-code).  Body-weight SUV is activity at the decay
    reference over dose at that time per gram.

    Parameters
    ----------
    series : a PET
    times : its time model
    half_life_s : of the radionuclide, s

    Returns
    -------
    (float, str)

    Raises
    ------
    BadDataError
        The units are not units of activity and cannot be turned into it; the message says why.
    """
    header = series.header
    units = header.text("Units").upper()
    if (factor := activity_unit(units)) is not None:
        return factor, f"(0054,1001) Units {units}"
    if units == "CNTS":
        if factor := _scale_factor(series, "PhilipsActivityScaleFactor"):
            return factor, "(0054,1001) Units CNTS times Philips' private (7053,1009)"
        if factor := _scale_factor(series, "PhilipsSUVScaleFactor"):
            source = f"(0054,1001) Units CNTS times Philips' private (7053,1000): {_SUV}"
            return factor * _bq_per_suv(header, times, half_life_s), source
    if units in tables()["suv_units"]["names"] and header.text("SUVType").upper() in ("", "BW"):
        return _bq_per_suv(header, times, half_life_s), f"(0054,1001) Units {units}: {_SUV}"
    reason = tables()["units_refused"].get(units, "expected BQML; reconstruct with units BQML")
    raise header.error("Units", f"is '{header.shown('Units')}': {reason}")


def _scale_factor(series: Series, keyword: str) -> float | None:
    """Return the factor that all images of a series share, None unless it is positive."""
    factor = shared_number(series.images, keyword, "images; reconstruct with units BQML")
    return factor if factor and factor > 0 else None


def _bq_per_suv(header: Header, times: TimeModel, half_life_s: float) -> float:
    """Activity concentration in Bq/mL of a body-weight SUV of 1 g/mL."""
    weight_kg = header.number("PatientWeight")
    if not weight_kg or not 1 <= weight_kg <= 500:
        raise refused("units", "no-weight", header=header, units=header.shown("Units"))
    if times.decay_reference_s is None:
        raise header.error("Units", "says SUV of an image without decay correction; correct it")
    decay = decay_between(0.0, times.decay_reference_s, half_life_s)
    return float(dose_bq(header)[0] * decay / (weight_kg * 1000))

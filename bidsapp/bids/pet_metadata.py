"""PET sidecars: the times, units and names that quantification rests on, checked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PetTiming:
    """When the frames were measured, and in what.

    Attributes
    ----------
    frame_start_s, frame_duration_s : tuple of float, one per frame
        Seconds; starts count from the injection.
    units : str
        ``Bq/mL`` (or what the sidecar says, when a ratio does not care).
    decay_corrected : bool
    decay_reference_s : float or None
        Time to which activity is decay-corrected, seconds after injection.
    radionuclide : str or None
        As the sidecar names it, for example ``F18``.
    tracer_name : str or None
        ``TracerName`` of the sidecar.
    """

    frame_start_s: tuple[float, ...]
    frame_duration_s: tuple[float, ...]
    units: str
    decay_corrected: bool
    decay_reference_s: float | None
    radionuclide: str | None
    tracer_name: str | None

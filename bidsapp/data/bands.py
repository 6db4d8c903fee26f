"""The bands of the Centiloid scale (``bands.toml``), and when a value cannot be put into one."""

from __future__ import annotations

from typing import Any

from bidsapp.data import read_table


def band_statement(
    value: float | None, interval: tuple[float, float] | None
) -> dict[str, Any] | None:
    """What a record says of the band of a Centiloid.

    Parameters
    ----------
    value : Centiloid, None when there is none
    interval : its 95 % interval, None when it is not known

    Returns
    -------
    dict or None
        ``name``, ``label``, ``source``, ``doi``; ``crossed``, the thresholds inside the interval;
        ``indeterminate``, whether there is one (None without an interval); ``statement``, a
        sentence. A shared edge belongs to the inner band.
    """
    if value is None:
        return None
    table = read_table("bands")["scale"]
    band = next(row for row in table["bands"] if _holds(row, value))
    source = read_table("references")[table["source"]]
    crossed = []
    if interval is not None:
        edges = [row["upper"] for row in table["bands"] if "upper" in row]
        crossed = [edge for edge in edges if interval[0] < edge < interval[1]]
    return {
        "name": band["name"],
        "label": band["label"],
        "source": source["short"],
        "doi": source["doi"],
        "crossed": crossed,
        "indeterminate": None if interval is None else bool(crossed),
        "statement": _statement(band, crossed, source["short"]),
    }


def _holds(band: dict[str, Any], value: float) -> bool:
    low, high = band.get("lower"), band.get("upper")
    if low is None:
        return bool(value < high)
    return bool(value > low) if high is None else bool(low <= value <= high)


def _statement(band: dict[str, Any], crossed: list[float], source: str) -> str:
    if not crossed:
        return f"{band['label']} CL: {band['meaning']} ({source})"
    edges = " and ".join(f"{edge:g}" for edge in crossed)
    return (
        f"indeterminate near the threshold: the 95 % interval crosses {edges} CL; the value itself "
        f"lies {band['label']} CL ({source})"
    )

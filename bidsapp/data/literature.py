"""Literature cited on pages: references and the bands of the Centiloid scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from bidsapp.data import read_table


@dataclass(frozen=True)
class Citation:
    """A publication: ``Rowe et al. 2017``, the full entry, and the DOI."""

    short: str
    full: str
    doi: str


@dataclass(frozen=True)
class Band:
    """A stretch of the Centiloid scale; an open end is None.

    Attributes
    ----------
    name : stable code of the band, also its colour in the style sheet
    label : the stretch in words
    meaning : what the source says of values in it
    lower, upper : CL
    """

    name: str
    label: str
    meaning: str
    lower: float | None = None
    upper: float | None = None

    def holds(self, centiloid: float) -> bool:
        """Whether a value lies in the band; a shared edge belongs to the inner band.

        Parameters
        ----------
        centiloid : CL

        Returns
        -------
        bool
        """
        if self.lower is None:
            return self.upper is None or centiloid < self.upper
        if self.upper is None:
            return centiloid > self.lower
        return self.lower <= centiloid <= self.upper


@dataclass(frozen=True)
class Mark:
    """A cut-off or an anchor: a value (CL) and its meaning.

    Attributes
    ----------
    at : CL
    meaning : of values beside it
    over_time : whether charts of change show it
    """

    at: float
    meaning: str
    over_time: bool = False


@dataclass(frozen=True)
class PublishedScale:
    """The Centiloid scale as it is drawn.

    Attributes
    ----------
    low, high : ends of the axis, CL
    source, bands : a reading of the whole scale
    anchors : what 0 and 100 were defined by
    cutoffs : (source, marks) of further studies
    """

    low: float
    high: float
    source: Citation
    bands: tuple[Band, ...]
    anchors: tuple[Mark, ...]
    cutoffs: tuple[tuple[Citation, tuple[Mark, ...]], ...]

    def band_of(self, centiloid: float) -> Band:
        """Return the band a value lies in.

        Parameters
        ----------
        centiloid : CL

        Returns
        -------
        Band
        """
        return next(band for band in self.bands if band.holds(centiloid))

    def crossed(self, interval: tuple[float, float]) -> tuple[float, ...]:
        """Edges of bands inside an interval, CL.

        Parameters
        ----------
        interval : its ends, CL

        Returns
        -------
        tuple of float
        """
        edges = [band.upper for band in self.bands if band.upper is not None]
        return tuple(edge for edge in edges if interval[0] < edge < interval[1])


@cache
def references() -> Mapping[str, Citation]:
    """Every reference by its key.

    Returns
    -------
    dict of Citation
    """
    return {key: Citation(**row) for key, row in read_table("references").items()}


@cache
def scale() -> PublishedScale:
    """Return the Centiloid scale with its published bands and cut-offs.

    Returns
    -------
    PublishedScale
    """
    table = read_table("bands")
    main = table["scale"]
    return PublishedScale(
        low=main["range"][0],
        high=main["range"][1],
        source=references()[main["source"]],
        bands=tuple(Band(**row) for row in main["bands"]),
        anchors=tuple(Mark(**row) for row in table["anchors"]),
        cutoffs=tuple(
            (references()[row["source"]], tuple(Mark(**mark) for mark in row["marks"]))
            for row in table["cutoffs"]
        ),
    )


@cache
def accumulation() -> tuple[float, Citation]:
    """Change per year (CL) above which amyloid accumulates reliably, and who found it.

    Returns
    -------
    (float, Citation)
    """
    row = read_table("bands")["accumulation"]
    return row["above"], references()[row["source"]]


def reference_of_doi(doi: str, source: str) -> Citation:
    """Find a reference by its DOI; an unknown one is quoted as ``source`` gives it.

    Parameters
    ----------
    doi : in any case of letters
    source : what is quoted when it is unknown

    Returns
    -------
    Citation
    """
    for reference in references().values():
        if reference.doi.lower() == doi.lower():
            return reference
    return Citation(short=source.split(",")[0], full=source, doi=doi)

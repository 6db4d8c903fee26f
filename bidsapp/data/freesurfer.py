"""FreeSurfer's numbers of structures: names, sides and lobes of the labels of an image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache

from bidsapp.data import RESOURCES, read_table
from bidsapp.data.label_table import Region, read_label_table, side_of
from bidsapp.settings import TEMPLATE_SPACE

_TABLE = "freesurfer_labels"


def freesurfer_rows(present: Iterable[int]) -> tuple[Region, ...]:
    """Rows for an image with these labels.

    Images of one kind have the same rows: a structure that one head lacks is a row without voxels.
    Labels without a name are called by their number.

    Parameters
    ----------
    present : labels of the image

    Returns
    -------
    tuple of Region
        In the order of their numbers.
    """
    labels = set(present) - {0}
    families, sometimes = _rows()
    rows = dict[int, Region]()
    for family in families:
        if labels & family.keys():
            rows |= family
    rows |= {index: row for index, row in sometimes.items() if index in labels}
    rows |= {index: Region(index, f"label-{index}") for index in labels - rows.keys()}
    return tuple(rows[index] for index in sorted(rows))


def freesurfer_names() -> tuple[str, ...]:
    """Every name that a label may have.

    Returns
    -------
    tuple of str
    """
    families, sometimes = _rows()
    return tuple(row.name for family in (*families, sometimes) for row in family.values())


@cache
def _rows() -> tuple[Sequence[dict[int, Region]], dict[int, Region]]:
    """Rows by number: families that stand together, and those that stand alone."""
    table, families = read_table(_TABLE), list[dict[int, Region]]()
    for atlas, spans in table["tables"].items():
        rows = read_label_table(RESOURCES / f"tpl-{TEMPLATE_SPACE}_atlas-{atlas}_dseg.tsv").rows
        apart = table["apart"].get(atlas, ())
        for first, last in spans:
            within = [row for row in rows if first <= row.index <= last and row.index not in apart]
            families.append({row.index: row for row in within})
        families.append({row.index: row for row in rows if row.index in apart})
    under = table["white_under_cortex"]
    old, new = under["replace"]
    white = [
        replace(row, index=row.index + under["add"], name=row.name.replace(old, new, 1),
                lobe="white", description="n/a")
        for family in families for row in family.values() if 1000 <= row.index < 3000
    ]  # fmt: skip
    families.append({row.index: row for row in white})
    alone = {
        int(index): Region(
            int(index), name, side if (side := side_of(name)) != "n/a" else "B", lobe
        )
        for index, (name, lobe) in table["sometimes"].items()
    }
    return families, alone

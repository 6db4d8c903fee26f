"""``centipet-segment T1W OUT_DIR``: unified segmentation of one T1w, without BIDS or PET."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bidsapp import __version__
from bidsapp.cli.command import made_folder, parse_and_run
from bidsapp.errors import CentipetError, ExitCode, UsageError

if TYPE_CHECKING:
    from bidsapp.core.grid.volume import Volume
    from bidsapp.core.quality import Flag
    from bidsapp.steps.anatomy import SegmentedT1w


def main(argv: Sequence[str] | None = None) -> int:
    """Segment one image; return 0 when all files are written.

    Parameters
    ----------
    argv : arguments after the command; None takes those of the process

    Returns
    -------
    int
    """
    return parse_and_run("segment", _run, argv)


def _run(options: argparse.Namespace) -> int:
    from bidsapp.io.atomic import write_json
    from bidsapp.io.nifti import load_volume
    from bidsapp.steps.anatomy import segment_head
    from bidsapp.steps.headers import header_findings

    t1w, initial = options.t1w.expanduser(), options.initial_transform
    name = _prefix(t1w) if options.prefix is None else options.prefix
    if not name or Path(name).name != name:
        raise UsageError(f"--prefix {options.prefix!r} must be the beginning of a file name")
    image = load_volume(t1w, ndim=3)
    out_dir = made_folder(options.out_dir.expanduser(), "OUT_DIR")
    try:
        head = segment_head(image, initial)
    except CentipetError as error:
        raise type(error)(f"{t1w}: {error}") from error
    findings = [*head.findings, *header_findings(t1w, "T1w")]
    written = _write(head, image, out_dir / name)
    content = _content(t1w, initial, head.quality, findings)
    written.append(write_json(out_dir / f"{name}_desc-segmentation_qc.json", content))
    for finding in findings:
        print(f"! {finding.message}", file=sys.stderr)
    for path in written:
        print(path)
    return ExitCode.OK


def _prefix(t1w: Path) -> str:
    """``sub-01`` of ``sub-01_T1w.nii.gz``."""
    name = t1w.name
    for ending in (".gz", ".nii", ".hdr", ".img"):
        name = name.removesuffix(ending)
    return name.removesuffix("_T1w")


def _write(head: SegmentedT1w, t1w: Volume, stem: Path) -> list[Path]:
    """Write the images under the names they have as derivatives of a BIDS dataset."""
    from bidsapp.bids.derivatives import outputs
    from bidsapp.bids.entities import join_entities
    from bidsapp.core.grid.resample import sample
    from bidsapp.core.grid.volume import Volume, known_or_zero
    from bidsapp.data import mni_grid
    from bidsapp.io.nifti import save_displacements, save_volume

    def path(key: str) -> Path:
        row = outputs()[key]
        name = f"{stem.name}_{join_entities(row.entities)}_{row.suffix}{row.extension}"
        return stem.with_name(name)

    result, grid = head.segmentation, mni_grid(2)
    grey, white, fluid = result.probabilities
    native = {
        "t1w": result.corrected, "mask": result.brain_mask, "gm": grey, "wm": white, "csf": fluid,
    }  # fmt: skip
    written = [save_volume(path(key), Volume(data, t1w.affine)) for key, data in native.items()]
    for key in ("t1w", "gm", "wm", "csf"):
        moved = sample(Volume(native[key], t1w.affine), result.field)
        written.append(save_volume(path(f"{key}_mni"), Volume(known_or_zero(moved), grid.affine)))
    fields = result.warp.itk_fields(Volume(result.field, grid.affine), t1w.grid)
    for key, field in zip(("warp", "warp_inverse"), fields, strict=True):
        written.append(save_displacements(path(key), field.data, field.affine))
    return written


def _content(
    t1w: Path, initial: Path | None, quality: dict[str, float], findings: list[Flag]
) -> dict[str, Any]:
    """Quality, findings, and what made them; no paths, times or hosts."""
    from dataclasses import asdict

    from bidsapp.data import resource_hashes
    from bidsapp.io.hashes import file_hash
    from bidsapp.settings import TEMPLATE_SPACE

    files = {"T1w": t1w} | ({} if initial is None else {"InitialTransform": initial})
    return {
        **{key: {"name": path.name, "sha256": file_hash(path)} for key, path in files.items()},
        "Quality": quality,
        "Findings": [asdict(finding) for finding in findings],
        "Template": TEMPLATE_SPACE,
        "Software": {"name": "CentiPET", "version": __version__},
        "Resources": resource_hashes(),
    }

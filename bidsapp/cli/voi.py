"""``centipet voi IMAGE``: measure an image that already is in MNI space in the regions of atlases.

No T1w, no registration, no BIDS dataset: one table per image and atlas. An image that does not lie
where the template lies is refused.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bidsapp.bids.derivatives import sidecar_path
from bidsapp.cli.command import complain, parse_and_run, shared_options
from bidsapp.errors import BadDataError, CentipetError, ExitCode, UsageError
from bidsapp.io.reading import known_object
from bidsapp.settings import ParcellationChoice, Processing

_PROG = "centipet voi"
_CENTILOID_UNITS = ("cl", "centiloid", "centiloids")  # of a sidecar


def main(argv: Sequence[str]) -> int:
    """Measure images; return the exit code of the worst of them.

    Parameters
    ----------
    argv : arguments after ``centipet voi``

    Returns
    -------
    int
        Exit code.
    """
    return parse_and_run("voi", _run, argv)


def _run(options: argparse.Namespace) -> int:
    processing = _processing(options)
    from bidsapp.data.tracer_file import using_tracer_file
    from bidsapp.steps.measuring import check_options

    for note in check_options(processing):
        print(f"{_PROG}: {note}", file=sys.stderr)
    codes = []
    with using_tracer_file(processing.tracer_file):
        for image in options.images:
            try:
                for path in _measure(image, options, processing):
                    print(path)
            except CentipetError as error:
                codes.append(complain(_PROG, error))
    return max(codes, default=ExitCode.OK)


def _processing(options: argparse.Namespace) -> Processing:
    processing = Processing(
        **{
            option.field: option.check(option.flag, getattr(options, option.dest))
            for option in shared_options("voi")
        }
    )
    if own := [a.name for a in processing.atlases if isinstance(a, ParcellationChoice)]:
        raise UsageError(
            f"--atlas {own[0]}=: is in T1w space, but images here are in MNI space; measure it "
            "with centipet BIDS_DIR OUTPUT_DIR participant"
        )
    return processing


def _measure(path: Path, options: argparse.Namespace, processing: Processing) -> list[Path]:
    """Write the tables of one image and return their paths."""
    from bidsapp.data import read_table
    from bidsapp.data.atlases import chosen_atlases
    from bidsapp.data.mni_images import load_in_mni
    from bidsapp.io.tsv import write_table
    from bidsapp.steps.measuring import (
        measure_atlases,
        mni_image_findings,
        region_dictionary,
        template_space,
    )

    image = load_in_mni(path)
    try:
        flags = mni_image_findings(image, _not_uptake(path), ignore_place=options.ignore_place)
    except BadDataError as error:
        raise BadDataError(f"{path}: {error}") from error
    for flag in flags:
        print(f"! {path}: {flag.message}", file=sys.stderr)
    about_flags = {"Flags": [asdict(flag) for flag in flags]}
    stem = path.name.split(".", 1)[0]
    if image.ndim == 4:
        return [
            _write_curves(
                image, atlas, options.output_dir / stem, _about(path, atlas) | about_flags
            )
            for atlas in chosen_atlases(processing)
        ]
    tissues = {} if options.gm is None else {"GM": load_in_mni(options.gm)}
    space = template_space(tissues)
    tracer = _tracer(options.tracer, path)
    equations = {} if tracer is None else tracer.equations
    is_uptake = "not-uptake" not in [flag.code for flag in flags]
    measured = measure_atlases(
        image, space, processing=processing, equations=equations, is_uptake=is_uptake
    )
    described = region_dictionary(processing, "as in the image")
    written = []
    for atlas in chosen_atlases(processing):
        target = options.output_dir / f"{stem}_atlas-{atlas.name}_vois.tsv"
        about = _about(path, atlas) | {"Tracer": tracer.code if tracer else "n/a"} | about_flags
        written.append(write_table(target, measured.columns[atlas.name], described, about))
        if atlas.name in measured.histograms:
            about |= {"Description": f"SUVR histogram in the regions of {atlas.title}"}
            target = target.with_name(f"{stem}_atlas-{atlas.name}_histograms.tsv")
            columns = read_table("histogram_columns")
            written.append(write_table(target, measured.histograms[atlas.name], columns, about))
    return written


def _write_curves(image: Any, atlas: Any, stem: Path, about: dict[str, Any]) -> Path:
    """Table of the mean of every region in every frame."""
    from bidsapp.core.regions.regions import region_means
    from bidsapp.io.tsv import write_table

    means = region_means(image, atlas.measured)
    columns: dict[str, Any] = {"frame": list(range(means.shape[1]))}
    columns |= {name: [None if v != v else v for v in row] for name, row in
                zip(atlas.names, means.tolist(), strict=True)}  # fmt: skip
    described = {"frame": {"Description": "Number of the frame, from 0"}}
    described |= {name: {"Description": f"Mean of {name}"} for name in atlas.names}
    target = stem.with_name(f"{stem.name}_atlas-{atlas.name}_tacs.tsv")
    return write_table(target, columns, described, about)


def _about(path: Path, atlas: Any) -> dict[str, Any]:
    from bidsapp.io.hashes import file_hash

    return {
        "Description": f"Uptake in the regions of {atlas.title}",
        "Atlas": atlas.name,
        "Image": {"name": path.name, "sha256": file_hash(path)},
        "Notes": [
            *atlas.notes,
            "The image was normalised elsewhere, but the Centiloid equations are valid for the "
            "standard pipeline",
        ],
    }


def _not_uptake(path: Path) -> str:
    """What the name or the sidecar of an image says of its units, if they are Centiloids."""
    label = re.search(r"_desc-(cl[a-z0-9]*)_|(centiloid)", path.name, flags=re.IGNORECASE)
    if label is not None:
        return f"name says {label[1] or label[2]}"
    units = known_object(sidecar_path(path)).get("Units")
    is_scaled = isinstance(units, str) and units.strip().casefold() in _CENTILOID_UNITS
    return f"Units are {units:.20}" if is_scaled else ""


def _tracer(given: str | None, path: Path) -> Any:
    from bidsapp.data.tracers import tracer_from_name, tracers

    label = re.search(r"_trc-([A-Za-z0-9]+)", path.name)
    name = given or (label[1] if label else None)
    tracer = tracer_from_name(name) if name else None
    if given and tracer is None:
        raise UsageError(
            f"--tracer {given}: is not one of {', '.join(t.name for t in tracers().values())}; "
            "describe another with --tracer-file"
        )
    if tracer is not None and not tracer.equations:
        print(f"{_PROG}: {tracer.name} has no Centiloid equation here, so there are SUVRs only",
              file=sys.stderr)  # fmt: skip
    return tracer

"""``centipet-demo OUT``: from DICOM to Centiloid on a phantom of known Centiloid.

A synthetic study is written and handed to ``centipet`` exactly as a user would; nothing but the
DICOM passes from one to the other. Then the truth and the result are printed side by side.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from bidsapp import data
from bidsapp.cli.command import parse_and_run
from bidsapp.cli.main import main as centipet
from bidsapp.core.quantification.centiloid import centiloid
from bidsapp.data.tracers import Tracer, tracers
from bidsapp.demo.dicom_writer import PARTICIPANT, write_study
from bidsapp.demo.phantom import Phantom, make_phantom
from bidsapp.errors import CannotCreateError, ExitCode
from bidsapp.io.tsv import read_rows

TRACER = "FBB"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; return the exit code of ``centipet``.

    Parameters
    ----------
    argv : arguments after the command; None takes those of the process

    Returns
    -------
    int
    """
    return parse_and_run(
        "demo", lambda given: run(given.out.absolute(), given.centiloid, given.nprocs), argv
    )


def run(out: Path, wanted: float, nprocs: int | None) -> int:
    """Make the study, process it, print the comparison.

    Parameters
    ----------
    out : Path
        Folder for everything; must be empty or absent.
    wanted : float
        True Centiloid of the phantom.
    nprocs : int or None
        Processes; None leaves the choice to ``centipet``.

    Returns
    -------
    int
        Exit code: that of the first level that failed, otherwise 0.
    """
    started = time.monotonic()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CannotCreateError(f"{out}: is not empty; name a new folder for the demo")
    tracer = tracers()[TRACER]
    _say(f"Making a synthetic {tracer.name} study of {wanted:g} Centiloid")
    phantom = phantom_of(wanted, tracer)
    files = write_study(out / "dicom", phantom)
    _say(f"Wrote {files} DICOM files to {out / 'dicom'}")

    folders = [str(out / "bids"), str(out / "derivatives")]
    options = ["--work-dir", str(out / "work")]
    if nprocs is not None:
        options += ["--nprocs", str(nprocs)]
    for level in (["participant", "--dicom-dir", str(out / "dicom")], ["group"]):
        command = [*folders, *level, *options]
        _say("centipet " + " ".join(command))
        if code := centipet(command):
            return code

    _say(f"Done in {time.monotonic() - started:.0f} s")
    print(comparison(phantom, tracer, read_result(out / "derivatives" / "group_centiloid.tsv")))
    print(f"\nPage:   {out / 'derivatives' / f'sub-{PARTICIPANT}.html'}")
    print(f"Table:  {out / 'derivatives' / 'group_centiloid.tsv'}")
    return ExitCode.OK


def phantom_of(wanted: float, tracer: Tracer) -> Phantom:
    """Make the phantom of a given Centiloid from the packaged template and VOIs.

    Parameters
    ----------
    wanted : CL
    tracer : whose equation holds

    Returns
    -------
    Phantom
    """
    return make_phantom(
        data.template(1),
        data.template_mask(1).data,
        data.vois(2),
        data.mni_grid(2),
        suvr=(wanted - tracer.equation.intercept) / tracer.equation.slope,
    )


def read_result(table: Path) -> dict[str, float]:
    """Return Centiloid and SUVRs of the one scan in the group table.

    Parameters
    ----------
    table : ``group_centiloid.tsv``

    Returns
    -------
    dict
        By column.
    """
    (row,) = read_rows(table)
    return {
        name: float(row[name])
        for name in ("centiloid", *(f"suvr_{region}" for region in data.REFERENCES))
    }


def comparison(phantom: Phantom, tracer: Tracer, computed: dict[str, float]) -> str:
    """Table of the true and the computed numbers and their differences.

    Parameters
    ----------
    phantom : with the true SUVRs
    tracer : whose equation holds
    computed : of `read_result`

    Returns
    -------
    str
    """
    true_cl = centiloid(phantom.suvr[tracer.equation.reference_region], tracer.equation)
    names = data.read_table("display")["volumes"]
    rows = [("Centiloid", true_cl, computed["centiloid"], 1)]
    rows += [
        (f"SUVR, {names[region]}", phantom.suvr[region], computed[f"suvr_{region}"], 3)
        for region in data.REFERENCES
    ]
    lines = [f"\n{'':36}{'true':>10}{'computed':>10}{'difference':>12}"]
    lines += [
        f"{name:36}{true:10.{digits}f}{computed:10.{digits}f}{computed - true:+12.{digits}f}"
        for name, true, computed, digits in rows
    ]
    return "\n".join(lines)


def _say(text: str) -> None:
    print(text, flush=True)

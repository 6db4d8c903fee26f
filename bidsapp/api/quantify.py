"""``bidsapp.quantify``: a PET and a T1w in, numbers out, for Python.

It runs ``centipet quantify`` in a process of its own and reads what that wrote: the same steps and
the same bits, whatever the caller has imported or how many threads it uses.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bidsapp.bids.derivatives import outputs
from bidsapp.cli.parser import typed
from bidsapp.cli.quantify import PROG, judged_pairs
from bidsapp.core.quality import Flag
from bidsapp.errors import CentipetError, ExitCode, UsageError, error_class
from bidsapp.io.tsv import read_rows
from bidsapp.record import ScanRecord, Status, find_records
from bidsapp.record.stored import StoredScan


@dataclass(frozen=True)
class Quantified:
    """What came out of one PET.

    Attributes
    ----------
    suvr : mapping of float or None
        Uptake ratio of the cortical target, by reference region (``wc``, ``cg``, ``wcb``, ``pons``
        and those asked for).
    centiloid : float or None
        CL.
    rescan_interval : (float, float) or None
        95 % interval of the same tracer scanned again, CL.
    pib_interval : (float, float) or None
        95 % interval of what PiB would have shown, CL.
    flags : tuple of Flag
        What a person should look at; each has a ``code`` and a ``message``.
    regions : mapping of list
        Rows of the table of each atlas, by its name: text by column, ``n/a`` where unknown.
    images : mapping of Path
        NIfTI images by their row in ``data/outputs.toml``: ``pet_t1w``, ``suvr_wc``, ``gm`` ...
    page : Path
        The page to look at.
    record : ScanRecord
        All else.
    output_dir : Path
        The derivative dataset.
    """

    suvr: Mapping[str, float | None]
    centiloid: float | None
    rescan_interval: tuple[float, float] | None
    pib_interval: tuple[float, float] | None
    flags: tuple[Flag, ...]
    regions: Mapping[str, list[dict[str, Any]]]
    images: Mapping[str, Path]
    page: Path
    record: ScanRecord
    output_dir: Path

    def frame(self, atlas: str) -> Any:
        """Return the table of an atlas as a pandas.DataFrame: numbers, NaN where unknown.

        Parameters
        ----------
        atlas : name

        Returns
        -------
        Any
            By region.

        Raises
        ------
        UsageError
            pandas is not installed, which CentiPET itself does not need; or there is no such atlas.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise UsageError(
                "frame() needs pandas, which is not installed: pip install pandas, or use regions"
            ) from error
        if atlas not in self.regions:
            raise UsageError(f"there is no atlas {atlas}; the run had {', '.join(self.regions)}")
        table = pd.DataFrame(self.regions[atlas]).replace("n/a", None)
        numbers = {name: pd.to_numeric(table[name]) for name in table if name != "name"}
        return table.assign(**numbers).set_index("name")


def quantify(
    pet: str | os.PathLike[str],
    t1w: str | os.PathLike[str] | None = None,
    *,
    tracer: str,
    output_dir: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Quantified:
    """Quantify an amyloid PET like ``centipet quantify``, with a typed result.

    Parameters
    ----------
    pet : path
        NIfTI, 3D or 4D.
    t1w : path, optional
        NIfTI of the same person; without it the PET is normalised by itself.
    tracer : str
        By any of its names: ``FBB``, ``florbetaben`` ...
    output_dir : path, optional
        Derivative dataset; a new temporary folder when it is not given, which stays.
    **options
        Options of ``centipet quantify`` without hyphens: ``window=(90, 110)``,
        ``frame_duration=300``, ``atlas=["AAL3"]``, ``pet_only=True``, ``nprocs=2`` ...

    Returns
    -------
    Quantified
        Results and where the files are.

    Raises
    ------
    CentipetError
        With the sentence that the command line would show.
    """
    if options.get("dry_run"):
        raise UsageError("dry_run: gives no result; use the command centipet quantify")
    if output_dir is None:
        base = Path(tempfile.mkdtemp(prefix="centipet-"))
        output_dir = base / "out"
        options.setdefault("work_dir", base / "work")
    out = Path(output_dir).absolute()
    images = [os.fspath(image) for image in (pet, t1w) if image is not None]
    words = [word for key, value in options.items() for word in typed(key, value)]
    arguments = [*images, "--tracer", tracer, "--output-dir", str(out), *words]
    pairs, errors = judged_pairs(arguments)
    if errors:
        raise errors[0]
    command = [sys.executable, "-m", "bidsapp", "quantify", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if refused := [line for line in done.stderr.splitlines() if line.startswith(PROG)]:
        raise CentipetError(refused[0].removeprefix(f"{PROG}: "))
    record = next((known for known in find_records(out) if known.name == pairs[0].name), None)
    if record is None or record.status is not Status.OK:
        kind = error_class("" if record is None else record.error or "") or CentipetError
        raise kind((record and record.reason) or f"there is no result: {_last(done)}")
    if done.returncode not in (ExitCode.OK, ExitCode.SCAN_FAILED):  # the result is an earlier one
        raise CentipetError(_last(done))
    return _result(record, out)


def _last(done: subprocess.CompletedProcess[str]) -> str:
    """What a command said at its end."""
    lines = done.stderr.strip().splitlines()
    return lines[-1].removeprefix("centipet: ") if lines else f"exit code {done.returncode}"


def _result(record: ScanRecord, out: Path) -> Quantified:
    scan = StoredScan(out, record)
    tables = {atlas: scan.path("vois", atlas=atlas) for atlas in record.atlases}
    images = {key: scan.path(key) for key in outputs()}
    return Quantified(
        suvr=record.suvr,
        centiloid=record.centiloid,
        rescan_interval=record.rescan_interval,
        pib_interval=record.centiloid_interval,
        flags=record.flags,
        regions={name: read_rows(path) for name, path in tables.items() if path.is_file()},
        images={
            key: path
            for key, path in images.items()
            if path.name.endswith(".nii.gz") and path.is_file()
        },
        page=out / f"sub-{record.entities['sub']}.html",
        record=record,
        output_dir=out,
    )

"""A whole derivative dataset: each scan, then the files besides the scans."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bidsapp import __version__
from bidsapp.bids.derivative_root import APP_NAME, RAW_FACTS, root_files
from bidsapp.data import resource_hashes
from bidsapp.data.sentences import worded
from bidsapp.errors import CentipetError, InvalidBidsError, NoInputError
from bidsapp.plain import some
from bidsapp.record import ScanRecord, Status, find_records, read_record
from bidsapp.record.tracers import using_tracers_of
from bidsapp.verify.curves import check_curves
from bidsapp.verify.differences import How
from bidsapp.verify.file_hashes import Findings, check_hashes, foreign, read_sealed
from bidsapp.verify.group_tables import check_group_tables, check_scan_tables, group_options
from bidsapp.verify.numbers import FinishedScan, check_numbers

_GROUP_MANIFEST = "group_manifest.json"
_DESCRIPTION = "dataset_description.json"
_UNMADE = "tables cannot be recomputed from the records"

# Files that name others.
_NAMING = ("_centiloid.json", "_dseg.json", "_probseg.json")

# What a field of another form raises where it is read.
_ANYTHING = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, OSError)


def records_of(output_dir: Path, participants: Sequence[str] = ()) -> list[ScanRecord]:
    """Records of a derivative dataset, sorted.

    Parameters
    ----------
    output_dir : root
    participants : labels without ``sub-``; empty for all

    Returns
    -------
    list of ScanRecord

    Raises
    ------
    NoInputError
        There is no such folder, or nothing in it to verify.
    InvalidBidsError
        It is a dataset of something else.
    """
    if not output_dir.is_dir():
        raise NoInputError(f"{output_dir}: no such folder; give the output folder of centipet")
    if not any(output_dir.iterdir()):
        raise NoInputError(f"{output_dir}: is empty; run the participant level first")
    try:
        description = json.loads((output_dir / _DESCRIPTION).read_text("utf-8"))
        is_ours = description["GeneratedBy"][0]["Name"] == APP_NAME
    except FileNotFoundError as error:
        raise InvalidBidsError(
            worded("results", "no-description", output_dir=output_dir, app_name=APP_NAME)
        ) from error
    except (OSError, ValueError, LookupError, TypeError):
        is_ours = bool(list(output_dir.glob("sub-*/**/*_centiloid.json")))  # ours, and damaged
    if not is_ours:
        raise InvalidBidsError(worded("results", "foreign", output_dir=output_dir))
    labels = participants or (None,)
    records = [record for label in labels for record in find_records(output_dir, label)]
    if not records:
        raise NoInputError(worded("results", "no-record", output_dir=output_dir))
    return records


def check_scan(output_dir: Path, path: str, quick: bool = False) -> Findings:
    """Everything that a record names: hashes, then numbers.

    Parameters
    ----------
    output_dir : root of the dataset
    path : of the record, relative to it
    quick : compare hashes only

    Returns
    -------
    Findings
    """
    findings = Findings()
    content = read_sealed(output_dir, path, findings)
    record = read_record(output_dir / path, output_dir)
    if not content:
        return findings
    if record.status is Status.INCOMPLETE:
        findings.broken(path, "says that the scan was not finished, so there is nothing to verify")
    if record.status is Status.FAILED and content.get("status") == "ok":
        findings.broken(path, f"cannot be read as a result ({record.reason})")
    if record.status is Status.OK or record.provenance.outputs is not None:
        check_hashes(output_dir, record.provenance.outputs, path, findings)
    if quick or record.status is not Status.OK:
        return findings
    if record.provenance.resources != resource_hashes():
        findings.notes.append(
            worded("results", "other-resources", path=path, record=record, version=__version__)
        )
        return findings
    other_form = "cannot be derived again, a field has another form"
    with _telling(path, other_form, findings, output_dir), using_tracers_of([record]):
        scan, notes = FinishedScan.of(output_dir, record)
        findings.notes += notes
        check_numbers(scan, findings)
        check_curves(scan, findings)
    return findings


def check_rest(
    output_dir: Path, records: Sequence[ScanRecord], scans: Findings, *, quick: bool = False
) -> Findings:
    """Files that belong to no scan: top folder, pages, group level, and unlisted files.

    Parameters
    ----------
    output_dir : root of the dataset
    records : all of it
    scans : what the scans gave
    quick : compare hashes only

    Returns
    -------
    Findings
    """
    findings = Findings()
    _check_root(output_dir, findings)
    for label in sorted({record.entities["sub"] for record in records}):
        _check_manifest(output_dir, f"sub-{label}/figures/manifest.json", findings)
        if not quick:
            of_person = [record for record in records if record.entities["sub"] == label]
            with _telling(_GROUP_MANIFEST, _UNMADE, findings, output_dir):
                check_scan_tables(output_dir, of_person, findings)
    if any(path.name != RAW_FACTS for path in output_dir.glob("group_*")):
        manifest = _check_manifest(output_dir, _GROUP_MANIFEST, findings)
        if manifest and not quick:
            with (
                _telling(_GROUP_MANIFEST, _UNMADE, findings, output_dir),
                using_tracers_of(records),
            ):
                asked = group_options(manifest.get("Options"))
                check_group_tables(output_dir, records, asked, findings)
    _check_mixture(records, findings)
    named = {name for record in records for name in record.provenance.outputs or ()}
    known = {*named, *scans.files, *findings.files}
    broken = {difference.path for difference in (*scans.differences, *findings.differences)}
    strangers, folders = foreign(output_dir, known | broken)
    # where a record, a sidecar or a manifest is broken, nothing is known of what it would name
    unnamed = {name.split("/")[0] for name in broken if name.endswith(_NAMING)}
    lost: Counter[str] = Counter()
    for name in strangers:
        findings.files[name] = How.UNKNOWN
        top = name.split("/")[0]
        if top in unnamed or _manifest_of(name) in broken:
            lost["group level" if name.startswith(("group_", "figures/")) else top] += 1
            continue
        what = "is not listed in any record or manifest: it is from another program or earlier run"
        findings.broken(name, what, cure="delete it if it is not needed")
    for top, number in lost.items():
        findings.notes.append(f"{top}: files not checked, as what names them is broken: {number}")
    if folders:
        findings.notes.append(f"{', '.join(folders)}: not part of the results, not checked")
    return findings


def _manifest_of(name: str) -> str | None:
    """Manifest that would name a file, if one does."""
    if name.startswith(("group_", "figures/")):
        return _GROUP_MANIFEST
    participant = re.match(r"(sub-[A-Za-z0-9]+)(\.html$|/figures/)", name)
    return f"{participant[1]}/figures/manifest.json" if participant else None


@contextmanager
def _telling(path: str, what: str, findings: Findings, output_dir: Path) -> Iterator[None]:
    """Check files that may hold anything; what a check cannot cope with is a difference."""
    try:
        yield
    except CentipetError as error:
        findings.broken(path, f"cannot be derived again ({_inside(error, output_dir)})")
    except _ANYTHING as error:
        findings.broken(path, f"{what} ({type(error).__name__}: {_inside(error, output_dir)})")


def _check_root(output_dir: Path, findings: Findings) -> None:
    description = read_sealed(output_dir, _DESCRIPTION, findings)
    read_sealed(output_dir, RAW_FACTS, findings)
    for path in sorted(output_dir.glob("atlas-*_description.json")):
        read_sealed(output_dir, path.name, findings)
    for path in sorted(output_dir.glob("tpl-*/anat/*.json")):
        name = path.relative_to(output_dir).as_posix()
        content = read_sealed(output_dir, name, findings)
        hashes = content.get("Files")
        folder = Path(name).parent.as_posix()
        if isinstance(hashes, Mapping):
            hashes = {f"{folder}/{own}": digest for own, digest in hashes.items()}
        if content:
            check_hashes(output_dir, hashes, name, findings)
    made_by = _version(description)
    for name, text in root_files(output_dir, output_dir).items():
        if name in (_DESCRIPTION, RAW_FACTS):
            continue
        path = output_dir / name
        if not path.is_file():
            findings.broken(name, "is missing")
        elif made_by != __version__:
            findings.files[name] = How.UNKNOWN
        else:
            findings.files[name] = How.CONTENT
            if path.read_bytes() != text.encode():
                findings.broken(name, f"is not what CentiPET {__version__} writes")
    if made_by != __version__:
        findings.notes.append(
            worded("results", "other-version", made_by=made_by, version=__version__)
        )


def _version(description: Mapping[str, Any]) -> str:
    try:
        return str(description["GeneratedBy"][0]["Version"])
    except (LookupError, TypeError):
        return "unknown"


def _check_manifest(output_dir: Path, name: str, findings: Findings) -> dict[str, Any]:
    """Files of a page or of the group level, and whether they are of today's records."""
    content = read_sealed(output_dir, name, findings)
    if not content:
        return {}
    check_hashes(output_dir, content.get("Files"), name, findings)
    inputs = content.get("Inputs")
    aside = Findings()
    check_hashes(output_dir, inputs if isinstance(inputs, Mapping) else {}, name, aside)
    changed = [difference.path for difference in aside.differences]
    if changed:
        what = "the page is" if name.startswith("sub-") else "the group tables are"
        findings.broken(name, f"{what} not of the record {some(changed, 1)} as it is now")
    return content


def _check_mixture(records: Iterable[ScanRecord], findings: Findings) -> None:
    """One version for all scans with a result, one set of options and resources for each kind."""
    done = [record for record in records if record.status is Status.OK]
    tau, amyloid = ([r for r in done if bool(r.scales) == of_tau] for of_tau in (True, False))
    options = "parameters or resources (fingerprints)"
    for name, words, alike in (
        ("version", "versions", done), ("fingerprint", options, tau),
        ("fingerprint", options, amyloid),
    ):  # fmt: skip
        counts = Counter(str(getattr(record, name)) for record in alike)
        if len(counts) > 1:
            versions = ", ".join(f"{value} of {n}" for value, n in counts.most_common())
            odd = counts.most_common()[-1][0]
            example = next(record.path for record in alike if str(getattr(record, name)) == odd)
            findings.broken(
                example, f"the scans were made with different {words}: {versions} scans"
            )


def _inside(error: Exception, output_dir: Path) -> str:
    """Sentence of an error with paths as they are inside the dataset."""
    return " ".join(str(error).replace(f"{output_dir}/", "").split())[:200]

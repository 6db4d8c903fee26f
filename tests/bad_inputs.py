"""Broken BIDS datasets: every case spoils one participant, or a whole dataset, in one way.

A participant starts as a plain one of tiny images: a T1w (left out where ``t1w`` is false, so that
the PET itself is what fails) and a florbetaben PET of two frames. Images this small hold no head,
so a case that must not matter (`TOLERATED`) ends with that error and no other.

A case has the class of the error that the record must name and a word of its sentence. The
72 broken images of `broken_images` are read one by one in test_nifti.py and are not repeated here.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import broken_images
import nibabel as nib
import numpy as np
from phantom_dataset import SIDECAR

from bidsapp.core.grid.volume import Volume
from bidsapp.io.nifti import save_volume

SHAPE = broken_images.SHAPE
PLAIN = SIDECAR | {"FrameTimesStart": [5400, 6000], "FrameDuration": [600, 600]}
DATA, INPUT = "BadDataError", "NoInputError"

Spoil = Callable[["Person"], None]


@dataclass(frozen=True)
class Person:
    """One participant of the corpus and where its files are."""

    folder: Path
    label: str

    @property
    def pet(self) -> Path:
        return self.folder / "pet" / f"sub-{self.label}_trc-FBB_pet.nii.gz"

    @property
    def sidecar(self) -> Path:
        return self.pet.with_name(self.pet.name.replace(".nii.gz", ".json"))

    @property
    def t1w(self) -> Path:
        return self.folder / "anat" / f"sub-{self.label}_T1w.nii.gz"

    def __getitem__(self, name: str) -> Path:
        return {"pet": self.pet, "t1w": self.t1w, "sidecar": self.sidecar}[name]


@dataclass(frozen=True)
class Case:
    """How a participant is spoilt and what must be said of it."""

    spoil: Spoil
    error: str
    word: str
    t1w: bool = True


def make_person(bids: Path, label: str, t1w: bool = True) -> Person:
    """Write the plain participant of tiny images."""
    person = Person(bids / f"sub-{label}", label)
    if t1w:
        save_volume(person.t1w, Volume(np.ones(SHAPE, np.float32), np.eye(4)))
    save_volume(person.pet, Volume(np.ones((*SHAPE, 2), np.float32), np.eye(4)))
    person.sidecar.write_text(json.dumps(PLAIN))
    return person


# ------------------------------------------------------------------------- ways to spoil a file


def content(name: str, data: bytes | str) -> Spoil:
    """Other bytes in place of a file."""
    raw = data.encode() if isinstance(data, str) else data
    return lambda person: _write(person[name], raw)


def _write(path: Path, raw: bytes) -> None:
    path.write_bytes(raw)


def gone(name: str) -> Spoil:
    return lambda person: person[name].unlink()


def cut(name: str, keep: float) -> Spoil:
    """Only the first part of a file."""
    return lambda person: os.truncate(person[name], int(person[name].stat().st_size * keep))


def folder(name: str) -> Spoil:
    """A folder of the name of the file."""

    def spoil(person: Person) -> None:
        person[name].unlink()
        person[name].mkdir()
        (person[name] / "file").write_text("x")

    return spoil


def link(name: str, target: str) -> Spoil:
    """A symbolic link in place of the file."""

    def spoil(person: Person) -> None:
        person[name].unlink()
        person[name].symlink_to(target.format(name=person[name].name))

    return spoil


def fifo(name: str) -> Spoil:
    """A named pipe that nobody writes to: whoever opens it waits for ever."""

    def spoil(person: Person) -> None:
        person[name].unlink()
        os.mkfifo(person[name])

    return spoil


def sparse(name: str, size: int) -> Spoil:
    """The file, followed by nothing up to a size that no disk holds."""
    return lambda person: os.truncate(person[name], size)


def as_file(name: str, new: str, move: bool = True) -> Spoil:
    """The same file under another name in its folder (``{sub}`` is the participant)."""

    def spoil(person: Person) -> None:
        target = person[name].parent / new.format(sub=f"sub-{person.label}")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(person[name], target)
        if move:
            person[name].unlink()

    return spoil


def beside(name: str, raw: bytes | str) -> Spoil:
    """A further file in the participant's folder (``{sub}`` is the participant)."""

    def spoil(person: Person) -> None:
        path = person.folder / name.format(sub=f"sub-{person.label}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw.encode() if isinstance(raw, str) else raw)

    return spoil


def fields(**values: object) -> Spoil:
    """Other values in the sidecar; `...` removes a field."""

    def spoil(person: Person) -> None:
        changed = {key: value for key, value in {**PLAIN, **values}.items() if value is not ...}
        person.sidecar.write_text(json.dumps(changed))

    return spoil


def text_of(field: str, raw: str) -> Spoil:
    """A value written into the sidecar as it stands: what `json` would not write."""
    return lambda person: person.sidecar.write_text(
        json.dumps(PLAIN | {field: "@"}).replace('"@"', raw)
    )


def voxels(name: str, data: np.ndarray, **header: object) -> Spoil:
    """An image of these voxels, with fields of its header set afterwards."""
    return content(name, broken_images.image(data, **header))


def frames(first: float, second: float, dtype: type = np.float32, **header: object) -> Spoil:
    """A PET of two even frames."""
    data = np.stack([np.full(SHAPE, value, dtype) for value in (first, second)], axis=-1)
    return voxels("pet", data, **header)


def both(*ways: Spoil) -> Spoil:
    def spoil(person: Person) -> None:
        for way in ways:
            way(person)

    return spoil


def swapped(person: Person) -> None:
    """The T1w in place of the PET and the other way round."""
    t1w = person.t1w.read_bytes()
    person.t1w.write_bytes(person.pet.read_bytes())
    person.pet.write_bytes(t1w)


def plain_text_in_gz(person: Person) -> None:
    person.pet.write_bytes(gzip.compress(b"\n".join([b"no image"] * 1000)))


def uncompressed(name: str, size: int | None = None) -> Spoil:
    """The image as ``.nii``, perhaps longer than its header says."""

    def spoil(person: Person) -> None:
        target = person[name].with_suffix("")
        target.write_bytes(gzip.decompress(person[name].read_bytes()))
        person[name].unlink()
        if size is not None:
            os.truncate(target, size)

    return spoil


def analyze_pair(person: Person) -> None:
    """The old pair of files under the name of a NIfTI."""
    image = nib.Nifti1Pair(np.ones(SHAPE, np.float32), np.eye(4))
    stem = person.pet.with_name("pair")
    nib.save(image, stem.with_suffix(".img"))
    person.pet.unlink()
    stem.with_suffix(".hdr").rename(person.pet.with_suffix(""))
    stem.with_suffix(".img").unlink()


def bomb(name: str) -> Spoil:
    """A small image that goes on with a gigabyte of zeros."""

    def spoil(person: Person) -> None:
        raw = gzip.decompress(person[name].read_bytes())
        with gzip.open(person[name], "wb", 9) as file:
            file.write(raw)
            for _ in range(300):
                file.write(bytes(1 << 20))

    return spoil


def unreadable(name: str) -> Spoil:
    return lambda person: person[name].chmod(0)


def nested(depth: int) -> str:
    return '{"a": ' * depth + "1" + "}" * depth


def ramp(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(1).normal(100, 30, shape).astype(np.float32)


# ---------------------------------------------------------------------------------------- cases

_TIMES = ("FrameTimesStart", "FrameDuration", "InjectionStart", "ImageDecayCorrected",
          "ImageDecayCorrectionTime", "Units")  # fmt: skip

SIDECARS = {
    "empty": Case(content("sidecar", ""), DATA, "not valid JSON"),
    "spaces": Case(content("sidecar", " \n "), DATA, "not valid JSON"),
    "list": Case(content("sidecar", "[]"), DATA, "object"),
    "text": Case(content("sidecar", '"Bq/mL"'), DATA, "object"),
    "number": Case(content("sidecar", "7"), DATA, "object"),
    "null": Case(content("sidecar", "null"), DATA, "object"),
    "emptyObject": Case(content("sidecar", "{}"), DATA, "missing"),
    "cut": Case(cut("sidecar", 0.5), DATA, "not valid JSON"),
    "trailingComma": Case(content("sidecar", json.dumps(PLAIN)[:-1] + ",}"), DATA, "valid JSON"),
    "pythonDict": Case(content("sidecar", repr(PLAIN)), DATA, "not valid JSON"),
    "comment": Case(content("sidecar", "// made by hand\n" + json.dumps(PLAIN)), DATA, "JSON"),
    "utf16": Case(content("sidecar", json.dumps(PLAIN).encode("utf-16")), DATA, "UTF-8"),
    "latin1": Case(content("sidecar", '{"Units": "\xb5Ci"}'.encode("latin-1")), DATA, "UTF-8"),
    "zeros": Case(content("sidecar", bytes(2000)), DATA, "not valid JSON"),
    "noise": Case(content("sidecar", np.random.default_rng(3).bytes(999)), DATA, ""),
    "twoObjects": Case(content("sidecar", json.dumps(PLAIN) * 2), DATA, "not valid JSON"),
    "deep": Case(content("sidecar", nested(100_000)), DATA, "not valid JSON"),
    "deepList": Case(text_of("Units", "[" * 50_000 + "]" * 50_000), DATA, "not valid JSON"),
    "digits": Case(text_of("InjectionStart", "1" * 9999), DATA, ""),
    "huge": Case(sparse("sidecar", 10**12), INPUT, "large"),
    "missing": Case(gone("sidecar"), DATA, "missing"),
    "folder": Case(folder("sidecar"), INPUT, "folder"),
    "dangling": Case(link("sidecar", "nowhere.json"), INPUT, "cannot be read"),
    "loop": Case(link("sidecar", "{name}"), INPUT, "cannot be read"),
    "annexPointer": Case(
        content("sidecar", "/annex/objects/MD5E-s9--ab.json\n"), INPUT, "fetch its content"
    ),
    "lfsPointer": Case(
        content("sidecar", "version https://git-lfs.github.com/spec/v1\n"), INPUT, "fetch"
    ),
    "pipe": Case(fifo("sidecar"), INPUT, "file"),
    "device": Case(link("sidecar", "/dev/zero"), INPUT, "file"),
    "contradictingDuplicate": Case(
        content("sidecar", json.dumps(PLAIN)[:-1] + ', "InjectionStart": 60}'), DATA, "twice",
    ),
    "brokenAbove": Case(beside("{sub}_pet.json", "{"), DATA, "not valid JSON"),
    "pipeAbove": Case(lambda p: os.mkfifo(p.folder / f"sub-{p.label}_pet.json"), INPUT, "file"),
    **{f"no{name}": Case(fields(**{name: ...}), DATA, name) for name in _TIMES},
    **{f"null{name}": Case(fields(**{name: None}), DATA, name) for name in _TIMES},
    **{f"object{name}": Case(fields(**{name: {"a": 1}}), DATA, name) for name in _TIMES},
}  # fmt: skip

FIELDS = {
    "startsAsText": Case(fields(FrameTimesStart="5400"), DATA, "FrameTimesStart"),
    "startsOfTexts": Case(fields(FrameTimesStart=["5400", "later"]), DATA, "FrameTimesStart"),
    "startsNested": Case(fields(FrameTimesStart=[[5400], [6000]]), DATA, "FrameTimesStart"),
    "startsOfTruths": Case(fields(FrameTimesStart=[True, True]), DATA, "FrameTimesStart"),
    "startsTooFew": Case(fields(FrameTimesStart=[5400]), DATA, "1 values"),
    "startsTooMany": Case(fields(FrameTimesStart=[5400, 6000, 6700]), DATA, "3 values"),
    "startsEmpty": Case(fields(FrameTimesStart=[]), DATA, "0 values"),
    "startsNumber": Case(fields(FrameTimesStart=5400), DATA, "FrameTimesStart"),
    "startsNan": Case(text_of("FrameTimesStart", "[NaN, 6000]"), DATA, "FrameTimesStart"),
    "startsInfinite": Case(text_of("FrameTimesStart", "[5400, Infinity]"), DATA, "FrameTimesStart"),
    "startsSame": Case(fields(FrameTimesStart=[5400, 5400]), DATA, "before"),
    "startsBackwards": Case(fields(FrameTimesStart=[6000, 5400]), DATA, ""),
    "startsNegative": Case(fields(FrameTimesStart=[-6000, -5400]), DATA, ""),
    "startsInMilliseconds": Case(
        fields(FrameTimesStart=[5_400_000, 6_000_000], ScanStart=5_400_000), DATA, "",
    ),
    "startsInMinutes": Case(fields(FrameTimesStart=[90, 100], ScanStart=90), DATA, "before"),
    "startsBeforeScan": Case(fields(FrameTimesStart=[3000, 3600]), DATA, "ScanStart"),
    "startsFarApart": Case(fields(FrameTimesStart=[5400, 1e8]), DATA, "more than 12 h"),
    "startsHuge": Case(fields(FrameTimesStart=[1e300, 2e300]), DATA, ""),
    "durationZero": Case(fields(FrameDuration=[0, 600]), DATA, "FrameDuration"),
    "durationNegative": Case(fields(FrameDuration=[600, -600]), DATA, "FrameDuration"),
    "durationTooFew": Case(fields(FrameDuration=[600]), DATA, "1 values"),
    "durationTooMany": Case(fields(FrameDuration=[600] * 20), DATA, "20 values"),
    "durationInMilliseconds": Case(fields(FrameDuration=[6e5, 6e5]), DATA, "FrameDuration"),
    "durationOverlaps": Case(fields(FrameDuration=[900, 900]), DATA, "before"),
    "durationOfTexts": Case(fields(FrameDuration=["600 s", "600 s"]), DATA, "FrameDuration"),
    "injectionText": Case(fields(InjectionStart="09:58:00"), DATA, "InjectionStart"),
    "injectionAfterScan": Case(fields(InjectionStart=9999), DATA, "InjectionStart"),
    "injectionYesterday": Case(fields(InjectionStart=-86400), DATA, "InjectionStart"),
    "injectionTooLate": Case(fields(InjectionStart=5000), DATA, "window"),
    "correctedText": Case(fields(ImageDecayCorrected="DECY"), DATA, "ImageDecayCorrected"),
    "correctedOne": Case(fields(ImageDecayCorrected=1), DATA, "ImageDecayCorrected"),
    "correctedToText": Case(
        fields(ImageDecayCorrectionTime="START"), DATA, "ImageDecayCorrectionTime",
    ),
    "factorsAgainstIt": Case(
        fields(ImageDecayCorrected=False, DecayCorrectionFactor=[1.5, 1.7]),
        DATA, "DecayCorrectionFactor",
    ),
    "counts": Case(fields(Units="CNTS"), DATA, "counts"),
    "unitsEmpty": Case(fields(Units=" "), DATA, "Units"),
    "unitsNumber": Case(fields(Units=1), DATA, "Units"),
    "tracerContradicts": Case(fields(TracerName="[11C]PiB"), DATA, "TracerName"),
    "tracerUnnamed": Case(
        both(fields(TracerName=...), as_file("pet", "{sub}_pet.nii.gz"),
             as_file("sidecar", "{sub}_pet.json")), DATA, "tracer",
    ),
    "tracerNumber": Case(
        both(fields(TracerName=18), as_file("pet", "{sub}_pet.nii.gz"),
             as_file("sidecar", "{sub}_pet.json")), DATA, "tracer",
    ),
    "nuclideContradicts": Case(fields(TracerRadionuclide="C11"), DATA, "TracerRadionuclide"),
    "halfLifeContradicts": Case(
        fields(RadionuclideHalfLife=1223.0), DATA, "RadionuclideHalfLife",
    ),
    "notAttenuationCorrected": Case(
        fields(AttenuationCorrection="none"), DATA, "AttenuationCorrection",
    ),
    "scanStartText": Case(fields(ScanStart="90 min"), DATA, "ScanStart"),
}  # fmt: skip

IMAGES = {
    **{
        f"{which}{name}": Case(way(which), error, word, t1w=which == "t1w")
        for which in ("pet", "t1w")
        for name, way, error, word in (
            ("Empty", lambda w: content(w, b""), INPUT, "read"),
            ("Text", lambda w: content(w, "no image"), INPUT, "read"),
            ("Cut", lambda w: cut(w, 0.3), INPUT, "read"),
            ("LastByteMissing", lambda w: cut(w, 0.99), INPUT, "read"),
            ("Dangling", lambda w: link(w, "../../.git/annex/objects/aa/b"), INPUT, "fetch"),
            ("Loop", lambda w: link(w, "{name}"), INPUT, "read"),
            ("Pipe", fifo, INPUT, "file"),
            ("Device", lambda w: link(w, "/dev/zero"), INPUT, "file"),
            ("NotCompressed", lambda w: content(w, broken_images.PLAIN), INPUT, "name it .nii"),
            ("Bomb", bomb, INPUT, "continues"),
            ("Sparse", lambda w: uncompressed(w, 10**13), INPUT, "continues"),
            ("TwoD", lambda w: voxels(w, np.ones((9, 9), np.float32)), DATA, "dimension"),
            ("FiveD", lambda w: voxels(w, np.ones((*SHAPE, 2, 2), np.float32)), DATA, "dimension"),
            ("Slice", lambda w: voxels(w, np.ones((9, 9, 1), np.float32)), DATA, "fewer than two"),
            ("HugeHeader", lambda w: content(w, broken_images.dims(30000, 30000, 30000)),
             DATA, "large"),
            ("FlatAffine", lambda w: content(w, broken_images.placed(np.zeros((3, 4)))),
             DATA, "affine"),
            ("NanAffine", lambda w: content(w, broken_images.placed(np.full((3, 4), np.nan))),
             DATA, "affine"),
            ("Kilometres", lambda w: content(w, broken_images.placed(np.eye(4)[:3] * 1e6)),
             DATA, "voxel"),
            ("ZeroVoxels", lambda w: voxels(w, ramp(SHAPE), sform_code=0, qform_code=0,
                                            pixdim=[1, 0, 0, 0, 0, 0, 0, 0]), DATA, "voxel"),
            ("Complex", lambda w: voxels(w, np.ones(SHAPE, np.complex64)), DATA, "type"),
        )
    },
    "petTwoFormats": Case(as_file("pet", "{sub}_trc-FBB_pet.nii", move=False), DATA, "two images"),
    "t1wTwoFormats": Case(as_file("t1w", "{sub}_T1w.nii", move=False), INPUT, "read"),
    "t1wFolder": Case(folder("t1w"), DATA, "head"),  # no image: the PET is laid on by itself
    "t1wFourD": Case(voxels("t1w", np.ones((*SHAPE, 3), np.float32)), DATA, "three dimensions"),
    "swapped": Case(swapped, DATA, ""),
    "petFramesOfAnother": Case(voxels("pet", np.ones((*SHAPE, 5), np.float32)), DATA, "5 frames"),
    "petOneFrameOfTwo": Case(voxels("pet", np.ones(SHAPE, np.float32)), DATA, "1 frames"),
    "petOtherEnding": Case(both(uncompressed("pet"), as_file("sidecar", "{sub}_trc-FBB_pet.jsn")),
                           DATA, "missing"),
    "petTextInGzip": Case(plain_text_in_gz, INPUT, "read"),
    "petPair": Case(analyze_pair, INPUT, "another file"),
    "petGzipUnderNii": Case(as_file("pet", "{sub}_trc-FBB_pet.nii"), INPUT, "name it .nii.gz"),
}  # fmt: skip

# the voxels themselves: read when the scan is processed; without a T1w the PET alone decides
VOXELS = {
    "allNan": Case(frames(np.nan, np.nan), DATA, "activity", t1w=False),
    "allInfinite": Case(frames(np.inf, -np.inf), DATA, "finite", t1w=False),
    "allZero": Case(frames(0, 0), DATA, "", t1w=False),
    "allNegative": Case(frames(-5, -5), DATA, "", t1w=False),
    "constant": Case(frames(7, 7), DATA, "", t1w=False),
    "oneFrameNan": Case(frames(1, np.nan), DATA, "", t1w=False),
    "oneFrameZero": Case(frames(1, 0), DATA, "", t1w=False),
    "signedBytes": Case(frames(-128, 127, np.int8, scl_slope=1e30), DATA, "", t1w=False),
    "slopeOverflows": Case(frames(127, 127, np.int8, scl_slope=3e38), DATA, "", t1w=False),
    "noiseAlone": Case(voxels("pet", ramp((*SHAPE, 2))), DATA, "", t1w=False),
    "oneHotVoxel": Case(voxels("pet", np.eye(6, 7)[..., None, None].repeat(8, 2).repeat(2, 3)
                               .astype(np.float32)), DATA, "", t1w=False),
    "t1wNan": Case(voxels("t1w", np.full(SHAPE, np.nan, np.float32)), DATA, "finite"),
    "t1wInfinite": Case(voxels("t1w", np.full(SHAPE, np.inf, np.float32)), DATA, "finite"),
    "t1wZero": Case(voxels("t1w", np.zeros(SHAPE, np.float32)), DATA, "head"),
    "t1wNegative": Case(voxels("t1w", -ramp(SHAPE)), DATA, "head"),
    "t1wNoise": Case(voxels("t1w", ramp(SHAPE)), DATA, "head"),
    "t1wBytes": Case(voxels("t1w", np.full(SHAPE, 127, np.int8), scl_slope=1e38), DATA, ""),
    "t1wHalfNan": Case(voxels("t1w", np.where(np.arange(336).reshape(SHAPE) % 2, np.nan, 1)
                              .astype(np.float32)), DATA, "head"),
    "t1wLarge": Case(voxels("t1w", np.ones((40, 400, 40), np.uint8)), DATA, ""),
}  # fmt: skip

# odd, but nothing that a number rests on: the scan is processed and fails for want of a head
HEAD = "head"
TOLERATED = {
    "byteOrderMark": Case(
        content("sidecar", b"\xef\xbb\xbf" + json.dumps(PLAIN).encode()), DATA, HEAD
    ),
    "tenMegabytes": Case(fields(Comment="x" * 10_000_000), DATA, HEAD),
    "equalDuplicate": Case(
        content("sidecar", json.dumps(PLAIN)[:-1] + ', "InjectionStart": 0}'), DATA, HEAD
    ),
    "clockImpossible": Case(fields(TimeZero="25:61:99"), DATA, HEAD),
    "clockIsNumber": Case(fields(TimeZero=7), DATA, HEAD),
    "doseZero": Case(fields(InjectedRadioactivity=0), DATA, HEAD),
    "doseNegative": Case(fields(InjectedRadioactivity=-300), DATA, HEAD),
    "doseText": Case(fields(InjectedRadioactivity="300 MBq"), DATA, HEAD),
    "doseUnitList": Case(fields(InjectedRadioactivityUnits=["MBq"]), DATA, HEAD),
    "weightText": Case(fields(PatientWeight="heavy"), DATA, HEAD),
    "factorsTooFew": Case(fields(DecayCorrectionFactor=[1.0]), DATA, HEAD),
    "factorsText": Case(fields(DecayCorrectionFactor="1.0"), DATA, HEAD),
    "attenuationNumber": Case(fields(AttenuationCorrection=7), DATA, HEAD),
    "nuclideNumber": Case(fields(TracerRadionuclide=18), DATA, HEAD),
    "halfLifeText": Case(fields(RadionuclideHalfLife="109 min"), DATA, HEAD),
    "institutionObject": Case(fields(InstitutionName={"a": [1]}), DATA, HEAD),
    "conversionFlagsWrong": Case(fields(CentiPET={"Flags": [1, {"code": 2}]}), DATA, HEAD),
    "conversionFlagsNumber": Case(fields(CentiPET={"Flags": 3}), DATA, HEAD),
    "hostileText": Case(fields(InstitutionName="=cmd|'/c calc'!A1<script>\t\n\x00"), DATA, HEAD),
    "noCharacter": Case(
        both(
            fields(InstitutionName="@"),
            lambda p: p.sidecar.write_text(p.sidecar.read_text().replace("@", "\\ud800")),
        ),
        DATA,
        HEAD,
    ),
    "t1wSidecarBroken": Case(beside("anat/{sub}_T1w.json", "{"), DATA, HEAD),
    "t1wSidecarPipe": Case(
        lambda p: os.mkfifo(p.t1w.with_name(f"sub-{p.label}_T1w.json")), DATA, HEAD
    ),
    "scansWithoutNames": Case(beside("{sub}_scans.tsv", "acq_time\n2020-01-01\n"), DATA, HEAD),
    "scansRagged": Case(beside("{sub}_scans.tsv", "filename\tacq_time\npet/x\n"), DATA, HEAD),
    "scansNoText": Case(beside("{sub}_scans.tsv", b"filename\tacq_time\n\xff\xfe\0"), DATA, HEAD),
    "scansImpossibleDate": Case(
        both(beside("{sub}_scans.tsv", "filename\tacq_time\nanat/{sub}_T1w.nii.gz\t2020-13-45\n")),
        DATA,
        HEAD,
    ),
    "scansFolder": Case(lambda p: (p.folder / f"sub-{p.label}_scans.tsv").mkdir(), DATA, HEAD),
    "scansPipe": Case(lambda p: os.mkfifo(p.folder / f"sub-{p.label}_scans.tsv"), DATA, HEAD),
    "sessionsBroken": Case(beside("{sub}_sessions.tsv", "\0\0\0\t\n"), DATA, HEAD),
    "twoT1w": Case(as_file("t1w", "{sub}_run-2_T1w.nii.gz", move=False), DATA, HEAD),
    "folderNamedLikePet": Case(
        lambda p: p.pet.with_name(f"sub-{p.label}_trc-FBB_rec-x_pet").mkdir(), DATA, HEAD
    ),
    "wrongSuffix": Case(as_file("pet", "{sub}_trc-FBB_PETT.nii.gz", move=False), DATA, HEAD),
    "derivativeAmongRaw": Case(
        as_file("pet", "{sub}_trc-FBB_space-T1w_desc-preproc_pet.nii.gz", move=False), DATA, HEAD
    ),
    "petAmongAnat": Case(
        as_file("pet", "../anat/{sub}_trc-FBB_pet.nii.gz", move=False), DATA, HEAD
    ),
    "spaces": Case(as_file("t1w", "{sub}_acq- a b _T1w.nii.gz", move=False), DATA, HEAD),
    "newline": Case(as_file("t1w", "{sub}_acq-a\nb_T1w.nii.gz", move=False), DATA, HEAD),
    "noText": Case(as_file("t1w", "{sub}_acq-\udcff_T1w.nii.gz", move=False), DATA, HEAD),
    "linkToItsFolder": Case(lambda p: (p.pet.parent / "again").symlink_to("."), DATA, HEAD),
    "linkToTheDataset": Case(lambda p: (p.folder / "ses-all").symlink_to("../"), DATA, HEAD),
    "linkToItself": Case(lambda p: (p.folder / "ses-own").symlink_to("."), DATA, HEAD),
    "deviceBeside": Case(lambda p: (p.pet.parent / "tty").symlink_to("/dev/zero"), DATA, HEAD),
    "pipeBeside": Case(lambda p: os.mkfifo(p.pet.parent / "pipe.json"), DATA, HEAD),
    "uncompressed": Case(uncompressed("t1w"), DATA, HEAD),
}

PARTICIPANTS = {
    prefix + name: case
    for prefix, table in (
        ("sidecar", SIDECARS), ("field", FIELDS), ("", IMAGES), ("voxels", VOXELS),
        ("odd", TOLERATED),
    )
    for name, case in table.items()
}  # fmt: skip


# ------------------------------------------------------------------------- what planning decides


@dataclass(frozen=True)
class Decision:
    """What planning must decide of a participant: run it, refuse it or leave it out.

    ``word`` stands in the sentence of a scan that is not run, or is the code of a flag that one
    must have; "" for a scan that must run without any.
    """

    spoil: Spoil
    outcome: str
    word: str = ""
    t1w: bool = True


def named(trc: str, **values: object) -> Spoil:
    """The PET under another tracer label, with other values in its sidecar."""
    ways = [fields(**values), *renamed(f"_trc-{trc}")]
    return both(*ways)


def renamed(entities: str) -> list[Spoil]:
    return [as_file(name, f"{{sub}}{entities}_pet{end}")
            for name, end in (("pet", ".nii.gz"), ("sidecar", ".json"))]  # fmt: skip


def t1w_told(**sidecar: object) -> Spoil:
    return beside("anat/{sub}_T1w.json", json.dumps(sidecar))


def halves(first: list[int], second: list[int], duration: int, **of_second: object) -> list[Spoil]:
    """Two runs of one injection, one after the other."""
    times = {"FrameDuration": [duration] * 2}
    late = PLAIN | times | {"FrameTimesStart": second, "ScanStart": second[0]} | of_second
    late = {key: value for key, value in late.items() if value is not ...}
    early = {key: ... for key in of_second if key not in late}
    return [
        fields(FrameTimesStart=first, ScanStart=first[0], **times, **early),
        as_file("pet", "{sub}_trc-FBB_run-2_pet.nii.gz", move=False),
        beside("pet/{sub}_trc-FBB_run-2_pet.json", json.dumps(late)),
    ]


def shifted_affine(mm: float) -> np.ndarray:
    affine = np.eye(4)
    affine[2, 3] = mm
    return affine


RUN, REFUSED, LEFT_OUT = "run", "refused", "left out"

DECISIONS = {
    "plain": Decision(lambda p: None, RUN),
    # another tracer: label, name and Radiopharmaceutical must not contradict each other
    "fdgByLabel": Decision(named("FDG"), REFUSED, "trc-FDG"),
    "fdgByName": Decision(named("NAV", TracerName="FDG"), REFUSED, "FDG"),
    "tauByName": Decision(named("NAV", TracerName="flortaucipir"), REFUSED, "flortaucipir"),
    "tspoByName": Decision(named("FBP", TracerName="[11C]PBR28"), REFUSED, "PBR28"),
    "inheritedName": Decision(
        both(fields(TracerName=...), *renamed("_trc-18FFDG"),
             beside("{sub}_pet.json", json.dumps({"TracerName": "florbetapir"}))),
        REFUSED, "trc-18FFDG",
    ),
    "radiopharmaceutical": Decision(
        fields(Radiopharmaceutical="FDG -- fluorodeoxyglucose"), REFUSED, "Radiopharmaceutical"
    ),
    "isotopeOfAnother": Decision(named("PIB", TracerName="[18F]PiB"), REFUSED, "[18F]PiB"),
    "twoNames": Decision(fields(TracerName="PiB, florbetaben"), REFUSED, "florbetaben"),
    "nameInList": Decision(fields(TracerName=["FDG"]), REFUSED, "'FDG'"),
    "sameNameInList": Decision(fields(TracerName=["florbetaben"]), RUN),
    "nameIsNumber": Decision(fields(TracerName=7), RUN, "tracer-name"),
    "nameInObject": Decision(fields(TracerName={"name": "PiB"}), REFUSED, "PiB"),
    "labelUnknown": Decision(named("X1"), RUN, "tracer-label"),
    "nameUnknown": Decision(fields(TracerName="compound 7"), RUN, "tracer-name"),
    "fdgAlone": Decision(named("FDG", TracerName="[18F]FDG"), LEFT_OUT, "FDG"),
    "fdgWithoutSidecar": Decision(
        both(as_file("pet", "{sub}_trc-FDG_pet.nii.gz"), gone("sidecar")), LEFT_OUT, "FDG"
    ),
    "tauAlone": Decision(named("18FAV1451", TracerName="AV-1451"), LEFT_OUT, "tau"),
    "synapseAlone": Decision(named("UCBJ", TracerName=...), LEFT_OUT, "amyloid"),
    "isotopeOfUnknown": Decision(fields(TracerName="[15O]water"), REFUSED, "by its isotope"),
    **{
        f"otherName{number}": Decision(fields(TracerName=name), REFUSED, "contradict each other")
        for number, name in enumerate(("18F-DOPA", "DaTSCAN", "SV2A ligand", "[11C]carfentanil"))
    },
    # attenuation
    **{
        f"nacLabel{label}": Decision(both(*renamed(f"_trc-FBB_rec-{label}")), REFUSED, label)
        for label in ("nacdyn", "nacstat", "NAC", "osemnac")
    },
    **{
        f"nacValue{number}": Decision(fields(AttenuationCorrection=value), REFUSED, "Attenuation")
        for number, value in enumerate(
            (False, 0, "not corrected", "no AC", "none", "NAC", "Uncorrected", "without",
             "measured, not applied", "AC off", "Sinogram not attenuation-corrected",
             "attenuation correction: disabled", "CT (not used)")
        )
    },
    "nacMethod": Decision(fields(AttenuationCorrectionMethod="none"), REFUSED, "Method"),
    "nacList": Decision(fields(CorrectedImage=["DECY", "SCAT"]), REFUSED, "ATTN"),
    "nacText": Decision(fields(CorrectedImage="DECY\\RAN"), REFUSED, "ATTN"),
    "nacRecon": Decision(fields(ReconMethodName="OSEM NAC"), REFUSED, "ReconMethodName"),
    "acNotOfScatter": Decision(fields(AttenuationCorrection="CT, scatter not corrected"), RUN),
    "nacDescription": Decision(fields(SeriesDescription="PET_NAC_dyn"), REFUSED, "NAC"),
    "mip": Decision(fields(ImageType=["DERIVED", "SECONDARY", "MIP"]), REFUSED, "MIP"),
    "acList": Decision(fields(CorrectedImage=["ATTN", "DECY"], SeriesDescription="NAC"), RUN),
    **{
        f"acUnknown{number}": Decision(
            fields(AttenuationCorrection=value), RUN, "attenuation-unknown"
        )
        for number, value in enumerate(("", "n/a", ..., 7))
    },
    "acFailed": Decision(fields(AttenuationCorrection="failed"), REFUSED, "failed"),
    "acGerman": Decision(fields(AttenuationCorrection="keine"), REFUSED, "keine"),
    "numbersAsText": Decision(
        fields(FrameTimesStart=["5400", "6000"], InjectionStart="0", ImageDecayCorrected="true"),
        RUN, "sidecar-text",
    ),
    "noScatter": Decision(fields(ScatterCorrectionMethod="NONE"), RUN, "correction-missing"),
    "scatter": Decision(fields(ScatterCorrectionMethod="Model-based"), RUN),
    "derived": Decision(fields(ImageType="DERIVED\\PRIMARY"), RUN, "image-derived"),
    # times that say what they say
    "scanStartUnknown": Decision(fields(ScanStart="n/a"), RUN),
    "framesBackwards": Decision(fields(FrameTimesStart=[6000, 5400]), RUN, "frame-times"),
    "minutesImpossible": Decision(fields(TimeZero="10:99:00"), RUN, "sidecar-incomplete"),
    "durationsInMinutes": Decision(fields(FrameDuration=[10, 10]), REFUSED, "minutes"),
    # what is no uptake has no ratio, and an isotope is an element and a number
    **{
        f"unitsNoUptake{number}": Decision(fields(Units=unit), REFUSED, "not uptake")
        for number, unit in enumerate(
            ("DVR", "BP_ND", "V_T", "mL/cm3", "z-score", "Centiloid", "1/cm", "1CM", "HU", "K1")
        )
    },
    **{
        f"unitsOther{number}": Decision(fields(Units=unit), RUN, "units")
        for number, unit in enumerate(("SUV", "g/mL", "SUVR", "%ID/g", "PROPCPS", "unitless"))
    },
    "otherElement": Decision(fields(TracerRadionuclide="Carbon"), REFUSED, "TracerRadionuclide"),
    "elementAlone": Decision(fields(TracerRadionuclide="Fluorine"), RUN),
    # two files that are as near to the image contradict each other
    "sidecarsAlike": Decision(
        both(fields(), *renamed("_trc-FBB_run-1"),
             lambda p: [
                 (p.folder / "pet" / f"sub-{p.label}_{name}_pet.json").write_text(json.dumps(times))
                 for name, times in (("run-1", {"Comment": 1, "InjectionStart": 0}),
                                     ("trc-FBB", {"Comment": 2, "InjectionStart": 300}))
             ]),
        REFUSED, "InjectionStart differs from that of",
    ),
    "sidecarsAgree": Decision(
        both(fields(), *renamed("_trc-FBB_run-1"),
             lambda p: [
                 (p.folder / "pet" / f"sub-{p.label}_{name}_pet.json").write_text(
                     json.dumps({"Comment": name, "InjectionStart": 0}))
                 for name in ("run-1", "trc-FBB")
             ]),
        RUN,
    ),
    "coarse": Decision(
        lambda p: save_volume(p.pet, Volume(ramp((*SHAPE, 2)), np.diag([2.0, 2, 6, 1]))),
        RUN, "pet-coarse",
    ),
    "nacBeside": Decision(
        both(as_file("pet", "{sub}_trc-FBB_rec-nacstat_pet.nii.gz", move=False),
             as_file("sidecar", "{sub}_trc-FBB_rec-nacstat_pet.json", move=False)),
        LEFT_OUT, "rec-nacstat",
    ),
    # a T1w that is there but cannot be used is never "no T1w"
    "t1wMissing": Decision(gone("t1w"), RUN, "no-t1w"),
    "t1wUniform": Decision(as_file("t1w", "{sub}_UNIT1.nii.gz"), RUN, "t1w-unusable"),
    "t1wDefaced": Decision(as_file("t1w", "{sub}_desc-defaced_T1w.nii.gz"), RUN, "t1w-unusable"),
    "t1wInversion": Decision(as_file("t1w", "{sub}_inv-1_T1w.nii.gz"), RUN, "t1w-unusable"),
    "t1wPhase": Decision(as_file("t1w", "{sub}_part-phase_T1w.nii.gz"), RUN, "t1w-unusable"),
    "t1wOld": Decision(as_file("t1w", "old/{sub}_T1w.nii.gz"), RUN, "t1w-unusable"),
    "t1wUpperCase": Decision(as_file("t1w", "{sub}_T1w.NII.GZ"), RUN, "t1w-unusable"),
    "t1wAnalyze": Decision(as_file("t1w", "{sub}_T1w.img"), RUN, "t1w-unusable"),
    "t1wFreeSurfer": Decision(as_file("t1w", "{sub}_T1w.mgz"), RUN, "t1w-unusable"),
    "t1wOtherFolder": Decision(as_file("t1w", "../mri/{sub}_T1w.nii.gz"), RUN, "t1w-unusable"),
    "t1wMprage": Decision(as_file("t1w", "../{sub}_MPRAGE.nii.gz"), RUN, "t1w-unusable"),
    "t1wOfNoSession": Decision(as_file("t1w", "{sub}_ses-1_T1w.nii.gz"), RUN, "t1w-unusable"),
    # several, and one with contrast agent
    "t1wContrast": Decision(
        as_file("t1w", "{sub}_ce-gadolinium_T1w.nii.gz"), RUN, "t1w-contrast-agent"
    ),
    "t1wContrastTold": Decision(
        t1w_told(ContrastBolusIngredient="GADOLINIUM"), RUN, "t1w-contrast-agent"
    ),
    "t1wContrastDenied": Decision(
        t1w_told(ContrastBolusIngredient="none"), RUN
    ),
    "t1wScout": Decision(
        t1w_told(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
        RUN, "t1w-scout",
    ),
    # covariates
    "covariates": Decision(
        beside("../participants.tsv",
               "participant_id\tage\nsub-covariates\t70\nsub-covariates\t60\n"),
        RUN, "covariates",
    ),
    # a window in several files
    "windowInHalves": Decision(both(*halves([5400, 5700], [6000, 6300], 300)), RUN),
    "windowWithGap": Decision(
        both(*halves([5400, 5700], [6060, 6300], 240)), RUN, "window-partial"
    ),
    "windowNoClock": Decision(
        both(*halves([5400, 5700], [6000, 6300], 300, TimeZero=...)), RUN, "window-joined"
    ),
    "windowOverlaps": Decision(
        both(*halves([5400, 5700], [5700, 6000], 300)), RUN, "window-split"
    ),
    # what cannot be averaged is not joined
    "windowOnTwoGrids": Decision(
        both(*halves([5400, 5700], [6000, 6300], 300),
             lambda p: save_volume(p.pet, Volume(ramp((*SHAPE, 2)), np.diag([2.0, 2, 3, 1])))),
        RUN, "window-split",
    ),
    "windowOnMovedGrid": Decision(
        both(*halves([5400, 5700], [6000, 6300], 300),
             lambda p: save_volume(p.pet, Volume(ramp((*SHAPE, 2)), shifted_affine(2.5)))),
        RUN, "window-regridded",
    ),
    "windowInTwoUnits": Decision(
        both(*halves([5400, 5700], [6000, 6300], 300, Units="kBq/mL")), RUN, "window-split"
    ),
    "windowOfTwoDoses": Decision(
        both(*halves([5400, 5700], [6000, 6300], 300, InjectedRadioactivity=200)),
        RUN, "window-split",
    ),
    "windowOfOneDose": Decision(
        both(*halves([5400, 5700], [6000, 6300], 300, InjectedRadioactivity=299800.4,
                     InjectedRadioactivityUnits="kBq", ReconMethodName="osem "),
             lambda p: p.sidecar.write_text(json.dumps(
                 json.loads(p.sidecar.read_text())
                 | {"InjectedRadioactivity": 300, "ReconMethodName": "OSEM"}))),
        RUN,
    ),
    "windowOfTwoMethods": Decision(
        both(*halves([5400, 5550], [5700, 5850], 150, ReconMethodName="FBP")),
        REFUSED, "join them into one image",
    ),
    # what to write, all of it
    "noSidecar": Decision(gone("sidecar"), REFUSED, "noSidecar_trc-FBB_pet.json beside it"),
    "manyKeys": Decision(
        fields(InjectionStart=..., Units=..., ImageDecayCorrected=...), REFUSED,
        "InjectionStart, ImageDecayCorrected, Units",
    ),
    "notFetched": Decision(link("pet", "../../.git/annex/objects/aa/b"), REFUSED, "fetch"),
    "sidecarBeforeFetching": Decision(
        both(fields(FrameDuration=...), link("pet", "../../.git/annex/objects/aa/b")),
        REFUSED, "FrameDuration",
    ),
}  # fmt: skip


# ---------------------------------------------------------------------------- the whole dataset


@dataclass(frozen=True)
class DatasetCase:
    """How a dataset of one plain participant is spoilt, and how the run must end."""

    spoil: Callable[[Path], None]
    code: int
    word: str


def root_file(name: str, raw: bytes | str) -> Callable[[Path], None]:
    """Another content of a file at the root."""
    return lambda bids: _write(bids / name, raw.encode() if isinstance(raw, str) else raw)


def root_pipe(name: str) -> Callable[[Path], None]:
    def spoil(bids: Path) -> None:
        (bids / name).unlink(missing_ok=True)
        os.mkfifo(bids / name)

    return spoil


def root_folder(name: str) -> Callable[[Path], None]:
    def spoil(bids: Path) -> None:
        (bids / name).unlink(missing_ok=True)
        (bids / name).mkdir()

    return spoil


def no_people(bids: Path) -> None:
    shutil.rmtree(bids / "sub-1")


def no_pet(bids: Path) -> None:
    shutil.rmtree(bids / "sub-1" / "pet")


def a_file(bids: Path) -> None:
    shutil.rmtree(bids)
    bids.write_text("no folder")


def described(**values: object) -> Callable[[Path], None]:
    good = {"Name": "bad", "BIDSVersion": "1.11.1"}
    return root_file("dataset_description.json", json.dumps(good | values))


_DESCRIPTION, _PEOPLE = "dataset_description.json", "participants.tsv"
PROCESSED = (65, HEAD)  # the plain participant was reached: its images hold no head

DATASETS = {
    "missing": DatasetCase(shutil.rmtree, 66, "no such folder"),
    "file": DatasetCase(a_file, 66, "no such folder"),
    "noDescription": DatasetCase(lambda b: (b / _DESCRIPTION).unlink(), 16, _DESCRIPTION),
    "descriptionEmpty": DatasetCase(root_file(_DESCRIPTION, ""), 16, "JSON"),
    "descriptionList": DatasetCase(root_file(_DESCRIPTION, "[]"), 16, "object"),
    "descriptionNoText": DatasetCase(root_file(_DESCRIPTION, b"\xff\xfe\0"), 16, "UTF-8"),
    "descriptionDeep": DatasetCase(root_file(_DESCRIPTION, nested(100_000)), 16, "JSON"),
    "descriptionToFetch": DatasetCase(
        root_file(_DESCRIPTION, "/annex/objects/MD5E-s9--ab.json\n"), 16, "fetch its content"
    ),
    "descriptionPipe": DatasetCase(root_pipe(_DESCRIPTION), 16, _DESCRIPTION),
    "descriptionFolder": DatasetCase(root_folder(_DESCRIPTION), 16, _DESCRIPTION),
    "nameMissing": DatasetCase(described(Name=None), 16, "Name"),
    "versionNumber": DatasetCase(described(BIDSVersion=1.1), 16, "BIDSVersion"),
    "derivative": DatasetCase(described(DatasetType="derivative"), 16, "derivative"),
    "noPeople": DatasetCase(no_people, 16, "sub-"),
    "noPet": DatasetCase(no_pet, 18, "no PET"),
    "brokenForAll": DatasetCase(root_file("pet.json", "{"), 65, "JSON"),
    "pipeForAll": DatasetCase(root_pipe("pet.json"), 66, "file"),
    "linksOfDescription": DatasetCase(described(DatasetLinks=7, License=[1]), *PROCESSED),
    "peopleNoText": DatasetCase(root_file(_PEOPLE, b"\xff\xfe\0\t"), *PROCESSED),
    "peopleZeros": DatasetCase(root_file(_PEOPLE, bytes(100)), *PROCESSED),
    "peopleRagged": DatasetCase(root_file(_PEOPLE, "a\tb\nsub-1\nx\ty\tz\n\n"), *PROCESSED),
    "peopleQuotes": DatasetCase(root_file(_PEOPLE, 'participant_id\tage\n"sub-1\t7'), *PROCESSED),
    "peoplePipe": DatasetCase(root_pipe(_PEOPLE), *PROCESSED),
    "peopleFolder": DatasetCase(root_folder(_PEOPLE), *PROCESSED),
    "ignoreFolder": DatasetCase(root_folder(".bidsignore"), *PROCESSED),
    "ignoreOdd": DatasetCase(root_file(".bidsignore", b"\xff**/[[\n!"), *PROCESSED),
    "linkInACircle": DatasetCase(lambda b: (b / "sub-1/ses-x").symlink_to(b), *PROCESSED),
    "twoCircles": DatasetCase(
        lambda b: ((b / "sub-x").symlink_to(b), (b / "sub-y").symlink_to(b)), *PROCESSED
    ),
    "linkToNothing": DatasetCase(lambda b: (b / "sub-2").symlink_to("nowhere"), *PROCESSED),
    "emptyLabel": DatasetCase(lambda b: (b / "sub-" / "pet").mkdir(parents=True), *PROCESSED),
    "personIsFile": DatasetCase(root_file("sub-2", "no folder"), *PROCESSED),
    "nameNoText": DatasetCase(lambda b: (b / "sub-\udcff" / "pet").mkdir(parents=True), *PROCESSED),
    "nameNewline": DatasetCase(lambda b: (b / "sub-2\n3" / "pet").mkdir(parents=True), *PROCESSED),
}  # fmt: skip

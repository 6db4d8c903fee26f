"""Nothing that points at a person leaves the files, whatever the tag and the script."""

from __future__ import annotations

import gzip
import json
import logging
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from conversions import run
from dicom_studies import Mr, Person, Pet, write
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from bidsapp.dicom.convert import convert
from bidsapp.dicom.decision_table import format_table
from bidsapp.dicom.header import Header, read_headers
from bidsapp.dicom.scrub import Scrubber, without_file_name
from bidsapp.dicom.sidecar_tags import lenient_json
from bidsapp.dicom.words import known_words
from bidsapp.settings import DicomInput

CHARSETS = {
    "Latin": "ISO_IR 192",
    "Japanese": ["", "ISO 2022 IR 87"],
    "Korean": ["", "ISO 2022 IR 149"],
    "Chinese": "GB18030",
}
NAMES = {
    "Latin": ("Xu", "Grüßner-Löw^Åsa", "O'Zzyzx^Wu", "Quetzalcoatljohannesbergers"),
    "Japanese": ("林", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "Korean": ("Hong^Gildong=洪^吉洞=홍^길동", "김^희중"),
    "Chinese": ("王^小东", "李"),
}
# People whom no tag calls a person: a relative, another patient, who ordered the scan.
STRANGERS = {
    "Latin": "Dulcinea Toboso-Panza Ng ab-12345 Szczebrzeszynska",
    "Japanese": "鈴木花子 さくら",
    "Korean": "박지성 순이",
    "Chinese": "欧阳娜娜 伟",
}
TEXT_VRS = ("LO", "SH", "LT", "UT", "ST", "UC")
SMALL = Mr(spacing=20.0, shape=(6, 6), positions=tuple(range(35)))


def marked(data: Dataset, name: str, script: str) -> Dataset:
    """Put a name into every tag of persons, and it and strangers into every tag of text.

    Private tags, those that are read among them, and sequences have some, too.
    """
    spoken = " ".join(part.replace("^", " ") for part in name.split("="))
    spoken = f"{STRANGERS[script]} {spoken}"
    data.SpecificCharacterSet = CHARSETS[script]
    data.StudyDescription = data.StationName = data.AdmittingDiagnosesDescription = ""
    _mark_texts(data, spoken)
    kind = "t1 mprage" if data.Modality == "MR" else "AC"
    data.SeriesDescription = f"{kind} {'head ' * 5}{spoken}"
    data.PatientComments = data.ImageComments = data.InstitutionName = spoken
    for keyword in (
        *("PatientName", "OtherPatientNames", "PatientBirthName", "RequestingPhysician"),
        *("PatientMotherBirthName", "NameOfPhysiciansReadingStudy"),
    ):
        setattr(data, keyword, name)
    person = Dataset()
    person.PersonName = name
    person.PatientComments = person.ReasonForTheRequestedProcedure = spoken
    data.RequestAttributesSequence = Sequence([person])
    data.ContrastBolusAgent = f"none {spoken}"
    petd = data.private_block(0x0009, "GEMS_PETD_01", create=True)
    petd.add_new(0x36, "LO", spoken[:60])
    block = data.private_block(0x0029, "MARKED", create=True)
    block.add_new(1, "LO", spoken[:60])
    block.add_new(2, "PN", name)
    block.add_new(3, "SQ", Sequence([person]))
    block.add_new(4, "UT", spoken)
    block.add_new(5, "UN", spoken.encode("utf-8"))
    return data


def _mark_texts(data: Dataset, spoken: str) -> None:
    for element in data:
        if element.VR == "SQ":
            for item in element.value:
                _mark_texts(item, spoken)
        elif element.VR in TEXT_VRS:
            element.value = f"{element.value or ''} {spoken}".strip()[:63]


def parts(name: str) -> set[str]:
    """What must not be found: one or two Latin letters stand in any text by chance."""
    words = {w for group in name.split("=") for w in group.replace("-", "^").split("^")}
    return {w.lower() for w in words if len(w) > 2 or not w.isascii()}


def everything(folder: Path) -> str:
    """All bytes and names below a folder, without the voxels."""
    texts = []
    for path in folder.rglob("*"):
        texts.append(str(path.relative_to(folder)))
        if path.is_file():
            content = path.read_bytes()
            content = gzip.decompress(content)[:352] if path.suffix == ".gz" else content
            texts += [content.decode("utf-8", "replace"), content.decode("latin-1")]
    return unicodedata.normalize("NFC", "\n".join(texts)).lower()


@pytest.mark.parametrize("script", NAMES)
def test_names_in_every_tag_reach_no_output(
    tmp_path: Path, script: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A T1w and a PET that convert, and a PET whose error quotes its texts."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    caplog.set_level(logging.DEBUG)
    pet = Pet(n_slices=5, step=30.0, frames=[(5400, 300)])
    later = replace(pet, injection=pet.injection + timedelta(days=400))
    said: list[str] = []
    for number, name in enumerate(NAMES[script]):
        all_three = [replace(pet, tracer="Solution", description="x"), later, SMALL]
        for place, images in enumerate(all_three if number == 0 else all_three[:1]):
            datasets = images.datasets(Person(name, f"ID-{number}", ""))
            folder = tmp_path / "in" / f"{number}-{place}"
            write(folder, (marked(data, name, script) for data in datasets))
    report = convert(DicomInput(tmp_path / "in"), tmp_path / "bids", nprocs=1, progress=said.append)
    assert report.n_converted == 2, format_table(report.rows)
    assert len(report.errors) == len(NAMES[script])
    text = everything(tmp_path / "bids") + everything(tmp_path / "scratch")
    text += "\n".join([*said, format_table(report.rows), *report.errors, caplog.text]).lower()
    hidden = [*NAMES[script], *STRANGERS[script].replace("-", " ").split()]
    leaks = {part for name in hidden for part in parts(name) if part in text}
    assert leaks == set()
    assert "\x1b" not in text and "u001b" not in text  # names in ISO 2022 are names
    assert "mprage" in text and "head head" in text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Xu^Li", "Xu Li T1"),
        ("林", "頭林部"),
        ("Müller^A", "T1 MUELLER a"),
        ("O'Brien^P", "o'brien T1"),
        ("김^희중", "t1김희중"),
        ("Smith^J", "T1_SmithJ_smith"),
        ("Wolfeschlegelstein^A", "T1wolfeschlegelsteinX"),
        ("\uff39\uff21\uff2d\uff21^T", "YAMA T1"),  # wide letters
        ("Le\u0301a^Zoe\u0308", "léa zoë"),  # accents of their own
    ],
)
def test_words_of_any_length_go_from_what_is_quoted(name: str, text: str) -> None:
    scrub = Scrubber([Header(Path("x"), {"PatientName": (name,)})])
    clean = scrub.text(text)
    assert "***" in clean
    assert not [w for w in name.lower().split("^") if len(w) > 1 and w in clean.lower()]
    quoted = text.replace("'", "\u2019")
    assert f"'{clean}'" in scrub(f"(0008,103E) SeriesDescription is '{quoted}', not a word")


def test_our_own_sentences_stay_what_they_are() -> None:
    scrub = Scrubber([Header(Path("x"), {"PatientName": ("To^An^Is",)})])
    sentence = "this is an error; to state it use --tracer 'an agent'"
    assert scrub(sentence) == "this is an error; to state it use --tracer '*** agent'"


def test_an_initial_is_no_part_of_t1() -> None:
    scrub = Scrubber([Header(Path("x"), {"PatientName": ("Xu^T",)})])
    assert scrub.text("T1 T Xu1 t_head") == "T1 *** ***1 ***_head"


def test_texts_are_cut_after_names_were_searched() -> None:
    """Half a name at the cut is a name."""
    scrub = Scrubber([Header(Path("x"), {"PatientName": ("Mustermann^Erika",)})])
    for length in range(20, 45):
        assert "Must" not in scrub(f"is '{'x' * length} Mustermann'; correct it")


def test_birth_dates_go_in_every_spelling() -> None:
    scrub = Scrubber([Header(Path("x"), {"PatientBirthDate": ("19480229",)})])
    for text in ("19480229", "1948-02-29", "29.02.1948", "02/29/1948", "480229"):
        assert scrub.text(f"T1 {text} x") == "T1 *** x"


def test_the_name_of_a_file_may_hold_a_colon() -> None:
    image = Header(Path("in", "Erika: 1.dcm"), {"InstanceNumber": ("3",)})
    message = without_file_name("Erika: 1.dcm: is broken", [image])
    assert message == "image with (0020,0013) InstanceNumber 3: is broken"


def test_no_file_name_stands_in_the_table(tmp_path: Path) -> None:
    """NIfTI whose sidecar describes nothing, and files of DICOM named after the person."""
    source = tmp_path / "in"
    source.mkdir()
    image = nib.Nifti1Image(np.ones((30, 30, 60), np.int16), np.diag([6, 6, 3, 1]))
    for name in ("QUIXOTE_ALONSO_t1_mprage_20210302", "QUIXOTE_ALONSO_pet_FBB", "QUIXOTE_scan"):
        nib.save(image, source / f"{name}.nii.gz")
        modality = "PT" if "pet" in name else "MR"
        (source / f"{name}.json").write_text(json.dumps({"Modality": modality}))
    pet = Pet(injection_tags="none", n_slices=5, step=30.0)
    for number, path in enumerate(pet.write(source / "dicom")):
        path.rename(path.with_name(f"QUIXOTE^ALONSO.{number}.IMA"))
    report = run(source, tmp_path / "bids")
    text = (format_table(report.rows) + "\n".join(report.errors)).lower()
    assert "quixote" not in text + everything(tmp_path / "bids") and "20210302" not in text
    assert "***_t1_mprage_***" in {row.description for row in report.rows}


@pytest.mark.parametrize(
    ("charset", "name", "text"),
    [
        (["", "ISO 2022 IR 87"], "山田^太郎", "頭部 t1 mprage 造影前"),
        (["", "ISO 2022 IR 149"], "홍^길동", "뇌 t1 mprage 검사"),
        (None, "Zed^Yul", 't1 mprage \x1b$B"\\F,\x1b(B'),
    ],
)
def test_texts_in_other_scripts_are_read_and_convert(
    tmp_path: Path, charset: list[str] | None, name: str, text: str
) -> None:
    def datasets() -> Iterator[Dataset]:
        for data in SMALL.datasets():
            if charset:
                data.SpecificCharacterSet = charset
            data.PatientName, data.SeriesDescription = name, text
            data.ProtocolName = data.ImageComments = text
            yield data

    paths = write(tmp_path / "in", datasets())
    (header,) = read_headers(paths[0])
    if charset:
        assert header.text("SeriesDescription") == text
    report = run(tmp_path / "in", tmp_path / "bids")
    assert report.errors == [] and report.n_converted == 1
    shown = report.rows[0].description
    assert shown == text if charset else shown == "t1 mprage ***"


def test_a_sidecar_keeps_what_can_be_read_of_it() -> None:
    content = (
        b'{\n\t"Modality": "MR",\n\t"A": "x\x1b$B"y",\n\t"EchoTime": 3,\n\t"B": "\xe9\\q"\n}\n'
    )
    assert lenient_json(content) == {"Modality": "MR", "EchoTime": 3}
    assert lenient_json(b'\xef\xbb\xbf{"A": "\x1b$B"}') == {"A": "\x1b$B"}
    for broken in (b'{"A": 1', b"[", b'{"A": [1, }'):
        with pytest.raises(ValueError, match="line"):
            lenient_json(broken)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("t1_mprage_sag_p2_iso_1.0", "t1_mprage_sag_p2_iso_1.0"),
        ("SIEMENS Biograph64_mCT TrioTim uMR 770", "SIEMENS Biograph64_mCT TrioTim uMR 770"),
        ("OSEM3D 4i21s, XYZ Gaussian 4.00", "OSEM3D 4i21s, XYZ Gaussian 4.00"),
        ("measured,AC 0.096000 cm-1 18F", "measured,AC 0.096000 cm-1 18F"),
        ("Mustermann Erika T1", "*** T1"),
        ("T1 4711 19480229 29.02.48 2.3.48 29-02-1948 123-456 head", "T1 *** head"),
        ("PET 90-110 min, v2.5.1", "PET 90-110 min, v2.5.1"),
        ("HeadMustermann mprageErika", "Head*** mprage***"),
        ("t1_MPRAGEcr_noGRAPPA MUSTERmann", "t1_MPRAGE***_noGRAPPA ***"),
        ("頭部山田造影前", "頭部***造影前"),
        ("뇌 김희중 검사", "뇌 *** 검사"),
        ("t1 \x1b$B;3ED\x1b(B mprage \x1b$(D0!", "t1 *** mprage ***"),
        ("\x1b(BTrioTim \x1b$)C\x1b(B mr", "***TrioTim *** mr"),
    ],
)
def test_only_words_of_imaging_are_shown(text: str, shown: str) -> None:
    assert known_words(text) == shown


def test_what_does_not_fit_its_tag_is_shown_like_any_text() -> None:
    values = {"EchoTime": ("Quixote",), "Units": ("SANCHO",), "SliceThickness": ("2.5e",)}
    header = Header(Path("x"), values | {"Modality": ("RTSTRUCT",)})
    assert [header.shown(keyword) for keyword in header.values] == [
        "***",
        "***",
        "2.5e",
        "RTSTRUCT",
    ]

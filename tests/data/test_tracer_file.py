"""Tracers of a user: read with care, then found wherever a tracer is named."""

import pytest

from bidsapp.bids.layout import read_dataset
from bidsapp.bids.planning import make_plan
from bidsapp.cli.main import main as centipet
from bidsapp.data.display import display_of
from bidsapp.data.pipelines import Pipeline
from bidsapp.data.tracer_file import read_tracers, using_tracer_file
from bidsapp.data.tracers import half_lives_s, named_tracers, tracer_from_name, tracers
from bidsapp.dicom.words import known_words
from bidsapp.errors import BadDataError
from bidsapp.settings import Filters, Processing

TWO = """
[tracers.FC119S]
name = "[18F]FC119S"
synonyms = ["florapronol"]
radionuclide = "F18"
window_min = [30, 60.0]

[tracers.QZ41]
name = "[11C]QZ-41"
synonyms = ["qualizetaben"]
radionuclide = "C11"
window_min = [40.0, 60.0]
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "lab.toml"
    path.write_text(TWO)
    return path


def test_a_file_says_everything_of_its_tracers(file):
    first, second = read_tracers(file)
    assert (first.code, first.window_min, first.radionuclide) == ("FC119S", (30, 60), "F18")
    assert first.half_life_s == half_lives_s()["F18"] == tracers()["FBB"].half_life_s
    assert first.synonyms == ("florapronol", "Alzavue")  # the package knows a third name
    assert (second.code, second.half_life_s) == ("QZ41", tracers()["PIB"].half_life_s)
    assert read_tracers(None) == ()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("FC119S", "FC119S"), ("18F-FC119S", "FC119S"), ("[18F]FC-119S dyn", "FC119S"),
        ("Alzavue", "FC119S"), ("Florapronol F^18^", "FC119S"), ("qz 41", "QZ41"),
        ("[11C]Qualizetaben", "QZ41"), ("trc-QZ41", "QZ41"), ("QZ41 (carbon-11)", "QZ41"),
        ("[11C]FC119S", None), ("18F-QZ41", None), ("QZ410", None), ("FC119S or QZ41", None),
        ("FC119S after FDG", None), ("[18F]florbetaben", "FBB"), ("FDG", None),
    ],
)  # fmt: skip
def test_every_spelling_finds_it_while_the_file_is_in_use(file, text, code):
    with using_tracer_file(file):
        found = tracer_from_name(text)
        assert (found and found.code) == code
        assert list(tracers())[-2:] == ["FC119S", "QZ41"]
    assert tracer_from_name(text) is None or code == "FBB"
    assert "QZ41" not in tracers()


def test_its_name_is_no_name_of_a_person(file):
    assert known_words("PET Qualizetaben") == "PET ***"
    with using_tracer_file(file):
        assert known_words("PET Qualizetaben Mustermann") == "PET Qualizetaben ***"
    assert known_words("PET Qualizetaben") == "PET ***"


def test_without_an_equation_there_is_no_centiloid_and_a_picture_nevertheless(file):
    with using_tracer_file(file):
        scale = Pipeline(Processing(tracer_file=file), "QZ41").scale()
        assert not scale.equations and not scale.differences
        assert display_of("QZ41") == display_of(None)


def described(**fields):
    row = {
        "name": '"[18F]QZ41"',
        "synonyms": "[]",
        "radionuclide": '"F18"',
        "window_min": "[50, 70]",
    }
    given = {name: value for name, value in (row | fields).items() if value is not None}
    return "[tracers.QZ41]\n" + "\n".join(f"{name} = {value}" for name, value in given.items())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = ", "is not valid TOML"),
        ("", "describes no tracer"),
        ("[tracers]", "describes no tracer"),
        ('name = "QZ41"', "name is unknown"),
        ("tracers.QZ41 = 3", "[tracers.QZ41]: is not a table"),
        (TWO.replace("QZ41", "QZ_41", 1), "[tracers.QZ_41]: cannot be a BIDS label"),
        (described(name=None), "[tracers.QZ41] name: is missing"),
        (described(synonyms=None), "synonyms: is missing"),
        (described(radionuclide=None), "radionuclide: is missing"),
        (described(window_min=None), "window_min: is missing"),
        (described(window="[1, 2]"), "window: is unknown here; use name, synonyms"),
        (described(equations="{}"), "equations: is unknown here; equations come with"),
        (described(half_life_s="6586.2"), "half_life_s: is unknown here; the half-life is that"),
        (described(name="7"), "name: 7 is not a name"),
        (described(name='"\\n"'), "is not a name"),
        (described(synonyms='"QZ"'), "synonyms: must be a list"),
        (described(synonyms="[41]"), "synonyms: 41 is not a name"),
        (described(radionuclide='"Tc99m"'), "radionuclide: 'Tc99m' is not one of C11, F18"),
        (described(radionuclide="18"), "radionuclide: 18 is not one of"),
        (described(radionuclide='["F18"]'), "radionuclide: ['F18'] is not one of"),
        (described(radionuclide='"C11"'), "name: '[18F]QZ41' says F18, radionuclide says C11"),
        (described(window_min="[50]"), "window_min: must be two minutes"),
        (described(window_min='["50", "70"]'), "window_min: must be two minutes"),
        (described(window_min="[nan, 70]"), "window_min: must be two minutes"),
        (described(window_min="[true, 70]"), "window_min: must be two minutes"),
        (described(window_min=f"[50, {10**400}]"), "window_min: must be two minutes"),
        (described(window_min="[70, 50]"), "window_min: must rise from 0 or later, not go from 70"),
        (described(window_min="[-5, 50]"), "window_min: must rise from 0 or later, not go from -5"),
        (described(window_min="[3000, 4200]"), "window_min: ends 4200 min after injection"),
        (described(synonyms='["AV-45"]'), "synonyms: 'AV-45' names FBP, a tracer of the package"),
        (described(synonyms='["T807"]'), "names FTP, a tracer of the package"),
        (described(synonyms='["[18F]FDG"]'), "names FDG, a tracer of the package"),
        (described().replace("QZ41", "pib", 1), "[tracers.pib]: 'pib' names PIB"),
        (described(name='"florbetaben-d3"'), "names FBB, a tracer of the package"),
        (described(synonyms='["QZ"]'), "may stand in the texts of any scan"),
        (described(synonyms='["brain dynamic"]'), "may stand in the texts of any scan"),
        (described(synonyms='["PET 60"]'), "may stand in the texts of any scan"),
        (described(synonyms='["F-18"]'), "may stand in the texts of any scan"),
        (described(synonyms='["the third one of our house"]'), "too many words"),
        (described() + "\n" + TWO.split("\n\n")[0].replace("florapronol", "qz-41"),
         "[tracers.FC119S] synonyms: 'qz-41' is also a name of QZ41; keep one"),
    ],
)  # fmt: skip
def test_a_file_that_is_wrong_is_refused_by_table_and_field(tmp_path, text, words):
    path = tmp_path / "lab.toml"
    path.write_text(text)
    with pytest.raises(BadDataError) as caught:
        read_tracers(path)
    assert str(caught.value).startswith(f"--tracer-file {path}: ") and words in str(caught.value)


@pytest.mark.parametrize("level", ["participant", "group"])
def test_nothing_is_written_for_a_file_that_is_wrong(raw, tmp_path, capsys, level):
    out, file = tmp_path / "out", tmp_path / "lab.toml"
    (out / "kept").mkdir(parents=True)
    command = [str(raw.root), str(out), level, "--tracer-file", str(file)]
    assert centipet(command) == 66
    file.write_text(described(window_min="[70, 50]"))
    assert centipet(command) == 65
    complaints = capsys.readouterr().err.splitlines()
    assert len(complaints) == 2 and complaints[1].startswith(
        f"centipet: --tracer-file {file}: [tracers.QZ41]"
    )
    assert [path.name for path in out.iterdir()] == ["kept"]


def test_a_plan_takes_it_by_label_name_and_nuclide(raw, file):
    raw.t1w("sub-01")
    times = {"ScanStart": 2400, "FrameTimesStart": [2400, 3000], "FrameDuration": [600, 600],
             "ImageDecayCorrectionTime": 2400}  # fmt: skip
    raw.pet("sub-01_trc-QZ41", TracerName="Qualizetaben", TracerRadionuclide="C11", **times)
    raw.pet("sub-01_trc-FC119S", TracerName="florapronol")
    raw.pet("sub-01_ses-2_trc-QZ41", TracerName="[11C]QZ41", TracerRadionuclide="F18", **times)
    raw.pet("sub-01_ses-3_trc-FBB")

    def plan():
        return make_plan(read_dataset(raw.root, Filters()), Processing())

    before = plan()
    assert [scan.tracer for scan in before.scans] == ["FBB"]
    assert {one.message.partition(": ")[2][:27] for one in before.failures} == {
        "the tracer 'QZ41' is not kn"
    }
    assert "--tracer-file" in before.failures[0].message
    (skip,) = before.skipped
    assert "no Centiloid equation for FC119S" in skip.reason and "--tracer-file" in skip.reason
    with using_tracer_file(file):
        found = plan()
    scans = {(scan.session, scan.tracer): scan for scan in found.scans}
    assert scans.keys() == {(None, "QZ41"), ("3", "FBB")}
    assert scans[None, "QZ41"].window.wanted_min == (40, 60) == scans[None, "QZ41"].window.used_min
    messages = {one.pet.name: one.message for one in found.failures}
    assert "cannot be [11C]QZ-41" in messages["sub-01_ses-2_trc-QZ41_pet.nii.gz"]
    assert "window" in messages["sub-01_trc-FC119S_pet.nii.gz"]  # scanned from 90 min on: another's


@pytest.mark.parametrize("nuclide", ["Cu64", "Ga68", "I124"])
def test_other_radionuclides_are_compared_by_their_number(raw, tmp_path, nuclide):
    file = tmp_path / "lab.toml"
    file.write_text(described(name='"QZ41"', radionuclide=f'"{nuclide}"', window_min="[90, 110]"))
    raw.t1w("sub-01")
    life = {"RadionuclideHalfLife": half_lives_s()[nuclide]}
    raw.pet("sub-01_trc-QZ41", TracerName="QZ41", TracerRadionuclide=nuclide, **life)
    with using_tracer_file(file):
        plan = make_plan(read_dataset(raw.root, Filters()), Processing())
        assert named_tracers(f"{nuclide}-QZ41").isotopes == {nuclide}
    assert [scan.tracer for scan in plan.scans] == ["QZ41"], plan.failures

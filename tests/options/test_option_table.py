"""One row per option: complete, and the same in every place that reads it."""

import re
from collections import Counter
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from bidsapp.bids.command import command, group_command
from bidsapp.cli.parser import parse
from bidsapp.data.literature import references
from bidsapp.errors import UsageError
from bidsapp.options.option_table import OPTIONS, PROCESSING, idle_options
from bidsapp.settings import DicomInput, Filters, Processing, Resources, Settings, StudyOptions
from bidsapp.verify.options import known_options

# Kept under another name or in two places, see `bidsapp.cli.parser`.
_BESIDES = {
    "bids_dir",
    "output_dir",
    "level",
    "filters",
    "dicom",
    "processing",
    "resources",
    "study",
}
_TYPED = {  # another value than the standard one for every option that needs no file
    "--window": ["30", "50.5"], "--allow-off-window": [], "--no-motion-correction": [],
    "--smooth": ["4"], "--voi-resolution": ["1"],
    "--psf": ["5", "5", "6.5"], "--pet-to-t1w": ["nmi"], "--pet-only": [],
    "--longitudinal": [], "--cutoff": ["20", "26.5"], "--interval": ["pib"],
    "--atlas": ["AAL3", "Schaefer200"],
    "--reference-region": ["wm"], "--output-spaces": ["T1w"], "--write-masks": [],
    "--atlas-threshold": ["0.5"], "--gm-threshold": ["0.25"], "--kinetics": ["none"],
    "--kinetics-reference": ["cg"], "--t-star": ["0"], "--t-end": ["60"], "--k2-prime": ["0.1"],
    "--pvc": ["gtm", "mg"], "--target-resolution": ["8"],
    "--background": ["pons"], "--histograms": ["0.05"],
}  # fmt: skip
_FILES = {
    "--initial-transform",
    "--norms",
    "--calibration",
    "--tracer-file",
    "--tau-vois",
    "--tau-calibration",
    "--dicom-metadata",
    "--derivatives",
}


@pytest.mark.parametrize(("part", "kind", "besides"), [
    ("filters", Filters, set()), ("study", StudyOptions, set()), ("resources", Resources, set()),
    ("processing", Processing, set()), ("dicom", DicomInput, {"metadata", "dry_run"}),
    ("", Settings, _BESIDES),
])  # fmt: skip
def test_every_setting_has_one_option(part, kind, besides):
    kept = [one.field for one in OPTIONS if one.keeps and one.keeps.rpartition(".")[0] == part]
    assert Counter(kept) == Counter({one.name for one in fields(kind)} - besides)


def test_no_flag_stands_for_two_options():
    flags = Counter(flag for option in OPTIONS for flag in option.flags)
    assert set(flags.values()) == {1}


def test_every_option_that_changes_numbers_is_tried_here():
    assert {option.flag for option in PROCESSING.values()} == set(_TYPED) | _FILES


def processed(flag):
    return parse(["/data", "/out", "participant", flag, *_TYPED[flag]]).processing


@pytest.mark.parametrize("flag", _TYPED)
def test_the_command_of_a_provenance_gives_its_options_again(flag):
    processing = processed(flag)
    assert processing != Processing()
    typed = command(processing).split()[4:]
    assert typed[0] == flag
    assert parse(["/data", "/out", "participant", *typed]).processing == processing


@pytest.mark.parametrize("name", [n for n, option in PROCESSING.items() if option.measures])
def test_what_decides_a_measurement_is_read_back_from_a_record(name):
    processing = processed(PROCESSING[name].flag)
    parameters = asdict(processing) | {"atlases": []}
    parameters = {
        key: list(value) if isinstance(value, tuple) else value for key, value in parameters.items()
    }
    again, notes = known_options(parameters, "a record")
    assert getattr(again, name) == getattr(processing, name) != getattr(Processing(), name)
    assert notes == []


@pytest.mark.parametrize("name", [n for n, option in PROCESSING.items() if option.needed_for])
def test_what_needs_a_file_of_the_user_is_told(name):
    _, (note,) = known_options({name: "sha256:0"}, "a record")
    assert PROCESSING[name].flag in note and PROCESSING[name].needed_for in note


def test_filters_are_told_as_they_are_typed(tmp_path):
    file = tmp_path / "filter.json"
    file.write_text('{"pet": {"run": 2}}')
    typed = ["--participant-label", "01", "02", "--run-label", "1", "--controls", "group=young"]
    given = parse(["/data", "/out", "group", *typed, "--bids-filter-file", str(file)])
    line = group_command(given.filters, given.study)
    assert line.startswith("centipet BIDS_DIR OUTPUT_DIR group --participant-label 01 02 --run")
    assert line.endswith("""--bids-filter-file '{"pet": {"run": 2}}' --controls group=young""")


@pytest.mark.parametrize(
    "typed",
    [
        ["--amyloid-cutoff", "0.0", "--tau-cutoff", "meta_temporal=2.5", "--pair-days", "90.0"],
        ["--tau-cutoff", "1.5"],
    ],
)
def test_cutoffs_of_participants_are_told_as_they_are_typed(typed):
    given = parse(["/data", "/out", "group", *typed])
    assert group_command(given.filters, given.study).split()[4:] == typed


def test_phrases_cite_what_there_is_and_every_choice_has_one():
    for option in OPTIONS:
        keys = set(re.findall(r"\{(\w+)\}", " ".join(option.phrases.values())))
        assert keys <= set(references())
        choices = set(option.typed.get("choices", ())) - {"none"}
        if option.phrases and choices:
            assert set(option.phrases) == choices


def test_a_file_goes_by_its_name():
    processing = Processing(norms=Path("/somewhere/norms.tsv"))
    assert command(processing).endswith("--norms norms.tsv")


def idle(level, *words):
    """Flags that are told to change nothing."""
    return [flag for sentence in idle_options(parse(["raw", "out", level, *words]))
            for flag in sentence.partition(":")[0].split(", ")]  # fmt: skip


@pytest.mark.parametrize("flag", _TYPED)
def test_an_option_of_the_images_is_told_where_none_is_measured(flag):
    typed = [flag, *_TYPED[flag]]
    assert idle("group", *typed) == [flag] and idle("participant", *typed) == []
    assert idle("participant", "--reports-only", *typed) == [flag]


def test_an_option_of_the_tables_is_told_where_none_is_made():
    typed = ["--controls", "group=HC", "--amyloid-cutoff", "20", "--pair-days", "90"]
    assert idle("participant", *typed) == ["--controls", "--amyloid-cutoff", "--pair-days"]
    assert idle("group", *typed, "--nprocs", "2", "-w", "work") == idle("group") == []
    with pytest.raises(UsageError, match="leave out one"):
        parse(["raw", "out", "participant", "--reports-only", "--dry-run"])

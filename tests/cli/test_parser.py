import os
import subprocess
import sys
from pathlib import Path

import pytest

from bidsapp.cli.command import SUB_COMMANDS
from bidsapp.cli.main import main
from bidsapp.cli.parser import parse
from bidsapp.errors import CentipetError, ExitCode, NoInputError, UnknownLevelError, UsageError
from bidsapp.settings import KineticModel, Level, PetToT1w, PvcMethod


def parsed(*options, level="participant"):
    return parse(["bids", "out", level, *map(str, options)])


@pytest.mark.parametrize(
    "option", ["--config-file", "--bids-filter-file", "--use-plugin", "--norms", "--calibration"]
)
def test_an_option_file_that_never_ends_is_refused(option, raw, tmp_path):
    raw.pet("sub-1_trc-FBB")
    work = ["--work-dir", str(tmp_path / "w")]
    os.mkfifo(tmp_path / "pipe")
    for endless in ("/dev/zero", str(tmp_path / "pipe")):
        base = [str(raw.root), str(tmp_path / "out"), "participant", *work, option, endless]
        assert main(base) == ExitCode.NO_INPUT


def test_the_shortest_command_line():
    settings = parsed()
    assert settings.bids_dir == Path("bids").absolute()
    assert settings.level is Level.PARTICIPANT
    assert settings.processing.pet_to_t1w is PetToT1w.MODEL
    assert settings.filters.participant == ()
    assert settings.resources.nprocs >= 1
    assert settings.resources.mem_gb > 0
    assert settings.dicom is None


@pytest.mark.parametrize("option", ["--participant-label", "--participant_label"])
def test_labels_with_and_without_prefix_and_twice(option):
    assert parsed(option, "sub-01", "02", "01").filters.participant == ("01", "02")
    typed = parsed(option, "sub-01,02", "03 Sub-04/")  # a list in quotes, a completed folder
    assert typed.filters.participant == ("01", "02", "03", "04")


@pytest.mark.parametrize("label", ["", " ", "sub-", ","])
def test_an_empty_label_is_refused(label):
    with pytest.raises(UsageError, match="--participant-label: a label is empty"):
        parsed("--participant-label", label)


@pytest.mark.parametrize("option", ["--nprocs", "--nthreads", "--n_cpus", "--n-cpus"])
def test_processes_under_every_name(option):
    assert parsed(option, 3).resources.nprocs == 3


@pytest.mark.parametrize(
    ("text", "gigabytes"), [("8000", 8), ("8G", 8), ("8GB", 8), ("2500m", 2.5), ("1.7 G", 1.7)]
)
def test_memory(text, gigabytes):
    assert parsed("--mem", text).resources.mem_gb == pytest.approx(gigabytes)
    assert parsed("--mem_mb", text).resources.mem_gb == pytest.approx(gigabytes)


def test_what_nipreps_users_type_without_reading():
    settings = parsed(
        "--output-spaces", "MNI152NLin6Asym:res-2", "T1w", "--omp-nthreads", 4, "--random-seed", 1,
        "--notrack", "--resource-monitor", "--skip_bids_validation", "--stop-on-first-crash",
        "--write-graph", "--debug", "-v", "-v", "-w", "/w", "--clean-workdir",
    )  # fmt: skip
    assert settings.verbosity == 2
    assert settings.work_dir == Path("/w")
    assert settings.skip_bids_validation
    assert settings.clean_workdir


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--derivatives", "fmriprep"], "--derivatives"),
        (["--output-spaces", "MNI152NLin2009cAsym"], "MNI152NLin2009cAsym"),
        (["--nprocs", "0"], "--nprocs"),
        (["--nprocs", "many"], "nprocs"),
        (["--nprocs", "99999999999999999999"], "--nprocs"),
        (["--n-cpus", "1000000"], "at most"),
        (["--nprocs", "nan"], "--nprocs"),
        (["--step-timeout", "nan"], "--step-timeout"),
        (["--step-timeout", "inf"], "--step-timeout"),
        (["--window", "90", "inf"], "--window"),
        (["--window", "nan", "90"], "--window"),
        (["--psf", "nan"], "--psf"),
        (["--t-end", "inf"], "--t-end"),
        (["--gm-threshold", "nan"], "--gm-threshold"),
        (["--mem", "9" * 400], "--mem"),
        (["--mem", "lots"], "lots"),
        (["--mem", "0"], "--mem"),
        (["--mem", "8"], "--mem 8M"),
        (["--window", "70", "50"], "--window"),
        (["--window", "50"], "--window"),
        (["--smooth", "0"], "--smooth"),
        (["--target-resolution", "-8"], "--target-resolution"),
        (["--smooth", "4", "--target-resolution", "8"], "not allowed with"),
        (["--psf", "5", "6"], "--psf"),
        (["--pet-only", "--target-resolution", "8"], "--psf"),
        (["--pet-only", "--longitudinal"], "--longitudinal"),
        (["--pet-only", "--derivatives", "freesurfer=/"], "--derivatives: parcellations"),
        (["--pet-to-t1w", "magic"], "magic"),
        (["--convert-only"], "--dicom-dir"),
        (["--dicom-map", "x.tsv"], "--dicom-map needs --dicom-dir"),
        (["--nonsense"], "--nonsense"),
        (["--part", "01"], "--part"),
        (["--demo", "x"], "--demo"),
        (["--config-file"], "--config-file"),
    ],
)
def test_what_makes_no_sense_is_usage(options, hint):
    with pytest.raises(UsageError) as caught:
        parsed(*options)
    assert hint in str(caught.value)
    assert caught.value.exit_code == 64


def test_a_machine_without_enough_memory_is_told_as_such(monkeypatch):
    monkeypatch.setattr("bidsapp.cli.parser.available_memory_gb", lambda: 0.6)
    with pytest.raises(UsageError, match=r"only 0\.6G of memory is available here"):
        parsed()
    assert parsed("--mem", "8G").resources.mem_gb == 8


def test_motion_and_resolution():
    plain = parsed().processing
    assert plain.motion_correction and plain.psf_mm is None
    assert plain.smooth_fwhm_mm is None and plain.target_resolution_mm is None
    asked = parsed("--no_motion_correction", "--target-resolution", 8, "--psf", 5.5).processing
    assert not asked.motion_correction and asked.target_resolution_mm == 8
    assert asked.psf_mm == (5.5, 5.5, 5.5)
    asked = parsed("--smooth", 4.5, "--psf", 5, 5, 6).processing
    assert asked.smooth_fwhm_mm == 4.5 and asked.psf_mm == (5, 5, 6)


@pytest.mark.parametrize("arguments", [[], ["bids"], ["bids", "out"]])
def test_missing_arguments_are_usage(arguments):
    with pytest.raises(UsageError, match="required"):
        parse(arguments)


def test_unknown_level():
    with pytest.raises(UnknownLevelError) as caught:
        parsed(level="session")
    assert caught.value.exit_code == ExitCode.UNKNOWN_LEVEL == 17


@pytest.mark.parametrize(
    "output", ["bids", "bids/out", "bids/sub-01", "bids/derivatives", "x/../bids/out"]
)
def test_results_among_raw_data_are_refused(output):
    with pytest.raises(UsageError, match="derivatives/centipet"):
        parse(["bids", output, "participant"])


def test_results_under_derivatives_are_welcome():
    settings = parse(["bids", "bids/derivatives/centipet", "participant"])
    assert settings.output_dir == Path("bids/derivatives/centipet").absolute()


def test_a_work_folder_among_raw_data_is_refused():
    with pytest.raises(UsageError, match="--work-dir"):
        parsed("-w", "bids/work")
    # by default in the current folder, which may be the dataset where nothing is written into it
    parsed("-w", "bids/work", level="group")
    parsed("-w", "bids/work", "--dry-run")


def test_filter_file(tmp_path):
    path = tmp_path / "filter.json"
    path.write_text('{"pet": {"session": "01"}, "bold": {"task": "rest"}, "fmap": {}}')
    assert parsed("--bids-filter-file", path).filters.bids_filters == {"pet": {"session": "01"}}


def test_the_keys_of_a_filter_file_in_any_case(tmp_path):
    path = tmp_path / "filter.json"
    path.write_text('{"T1w": {"acquisition": null}, "PET": {}, "flair": {"run": 1}}')
    filters = parsed("--bids-filter-file", path).filters.bids_filters
    assert filters == {"t1w": {"acquisition": None}, "pet": {}}


def test_dry_run_is_of_bids_or_of_dicom(tmp_path):
    assert parsed("--dry-run").dry_run and not parsed().dry_run
    settings = parsed("--dry-run", "--dicom-dir", tmp_path)
    assert settings.dicom.dry_run and not settings.dry_run
    with pytest.raises(UsageError, match="participant level"):
        parsed("--dry-run", level="group")


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"pet": 1}', '{"anat": {}}', '{"t1": {}}', '{"pet": {}, "PET": {}}']
)
def test_a_broken_filter_file(tmp_path, content):
    path = tmp_path / "filter.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"filter\.json"):
        parsed("--bids-filter-file", path)


def test_a_missing_filter_file():
    with pytest.raises(NoInputError, match="nowhere"):
        parsed("--bids-filter-file", "nowhere.json")


def test_a_config_file_counts_less_than_the_command_line(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(
        'nprocs = 3\nparticipant_label = ["01", "sub-02"]\nallow-off-window = true\n'
        'window = [40, 60.5]\nskip-bids-validation = false\nmem = "2G"\n'
    )
    settings = parsed("--config-file", path, "--nprocs", 5)
    assert settings.resources.nprocs == 5
    assert settings.resources.mem_gb == 2
    assert settings.filters.participant == ("01", "02")
    assert settings.processing.allow_off_window
    assert settings.processing.window_min == (40, 60.5)
    assert not settings.skip_bids_validation
    assert parsed("--config-file", path, "--participant-label", "9").filters.participant == ("9",)


@pytest.mark.parametrize("content", ["nprocs = ", "nonsense = 1", "[section]\nnprocs = 1"])
def test_a_broken_config_file(tmp_path, content):
    path = tmp_path / "config.toml"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"config\.toml"):
        parsed("--config-file", path)


def test_dicom_options(tmp_path):
    settings = parsed(
        "--dicom-dir", tmp_path, "--converted-dir", "c", "--dicom-map", "m.tsv", "--tracer", "FBB",
        "--dicom-metadata", "x.toml", "--convert-only", "--keep-dates", "--include-derived",
    )  # fmt: skip
    dicom = settings.dicom
    assert (dicom.dicom_dir, dicom.converted_dir) == (tmp_path, Path("c").absolute())
    assert (dicom.label_map.name, dicom.metadata.name) == ("m.tsv", "x.toml")
    assert dicom.tracer == "FBB"
    assert dicom.convert_only
    assert dicom.keep_dates
    assert dicom.include_derived
    assert not dicom.dry_run


def test_a_dataset_is_not_made_of_itself(tmp_path):
    with pytest.raises(UsageError, match="is also bids_dir"):
        parse([str(tmp_path), "out", "participant", "--dicom-dir", str(tmp_path / ".")])
    inside = parse([str(tmp_path / "bids"), "out", "participant", "--dicom-dir", str(tmp_path)])
    assert inside.dicom.dicom_dir == tmp_path


def test_dicom_belongs_to_the_participant_level(tmp_path):
    with pytest.raises(UsageError, match="participant level"):
        parsed("--dicom-dir", tmp_path, level="group")


def test_a_dicom_folder_that_is_not_there():
    with pytest.raises(CentipetError) as caught:
        parsed("--dicom-dir", "nowhere")
    assert caught.value.exit_code == 66


def test_help_imports_nothing_that_takes_long():
    """What makes ``--help`` take 0.2 s."""
    code = (
        "import sys; from bidsapp.cli.main import main\n"
        "try: main(['--help'])\n"
        "finally: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    slow = {"numpy", "scipy", "pandas", "nibabel", "nipype", "bids", "pydicom", "rich"}
    loaded = set(done.stderr.split())
    assert "bidsapp.cli.parser" in loaded
    assert not slow & loaded


def test_help_is_short_and_complete():
    done = subprocess.run(
        [sys.executable, "-m", "bidsapp", "--help"], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert len(lines) < 125
    assert max(map(len, lines)) <= 100
    for option in ("--participant-label", "--dicom-dir", "--window", "--nprocs", "--demo"):
        assert option in done.stdout
    commands = " ".join(lines).split("their own --help: centipet ")[1].partition(".")[0]
    assert commands.split(", ") == list(SUB_COMMANDS)


def test_kinetics_by_default_and_by_choice():
    assert parsed().processing.kinetics == tuple(KineticModel)
    assert parsed().processing.kinetics_reference == "wc" and parsed().processing.pvc == ()
    assert parsed("--kinetics", "none").processing.kinetics == ()
    chosen = parsed(
        "--kinetics", "SRTM2", "logan", "srtm2", "--kinetics-reference", "cg", "--t-star", 0,
        "--t-end", 90, "--k2-prime", 0.15, "--pvc", "GTM", "iy",
    ).processing  # fmt: skip
    assert chosen.kinetics == (KineticModel.SRTM2, KineticModel.LOGAN)
    assert chosen.kinetics_reference == "cg" and chosen.k2_prime_per_min == 0.15
    assert (chosen.t_star_min, chosen.t_end_min) == (0, 90)
    assert chosen.pvc == (PvcMethod.GTM, PvcMethod.IY)


@pytest.mark.parametrize(
    "options",
    [
        ["--kinetics", "patlak"], ["--kinetics", "none", "srtm"], ["--pvc", "none", "gtm"],
        ["--t-star", "-1"], ["--t-end", "0"], ["--k2-prime", "nan"], ["--k2-prime", "0.002"],
        ["--pvc", "labbe"],
    ],
)  # fmt: skip
def test_senseless_models_are_refused(options):
    with pytest.raises(UsageError, match=options[0]):
        parsed(*options)


def test_controls_are_a_column_and_a_value():
    settings = parse(["/tmp/in", "/tmp/out", "group", "--controls", "diagnosis = young control"])
    assert settings.study.controls == ("diagnosis", "young control")
    for wrong in ("diagnosis", "=x", "diagnosis="):
        with pytest.raises(UsageError, match="COLUMN=VALUE"):
            parse(["/tmp/in", "/tmp/out", "group", "--controls", wrong])

"""An option that there is not: what was meant is said, for every command and file of options."""

import subprocess
from importlib import import_module

import pytest

from bidsapp import __version__
from bidsapp.cli import completion
from bidsapp.cli.command import SUB_COMMANDS, nearest
from bidsapp.cli.main import main
from bidsapp.cli.parser import parse
from bidsapp.errors import ExitCode, UnknownLevelError, UsageError
from bidsapp.options.option_table import FOREIGN, OPTIONS, OWNERS, WITHOUT_EFFECT

MODULES = SUB_COMMANDS


def run(module, *arguments):
    if module == "parser":
        return main(arguments)
    return import_module(f"bidsapp.cli.{module}").main(list(arguments))


def visible(module):
    actions = completion.parser_of(module)._actions
    return {flag for action in actions if action.help != "==SUPPRESS==" and action.dest != "demo"
            for flag in action.option_strings if len(flag) > 5}  # fmt: skip


@pytest.mark.parametrize("module", ["parser", *MODULES])
def test_a_slip_in_any_option_of_any_command_finds_it_again(module):
    """Two letters that changed places, and one that is missing: arguments may be missing too."""
    parser = completion.parser_of(module)
    for flag in visible(module):
        middle = len(flag) // 2
        swapped = flag[:middle] + flag[middle + 1] + flag[middle] + flag[middle + 2 :]
        for slip in {swapped, flag[:middle] + flag[middle + 1 :]} - visible(module) - {*OWNERS}:
            with pytest.raises(UsageError) as caught:
                parser.parse_args([slip])
            sentence = str(caught.value)
            meant = {flag, OWNERS.get(flag, flag)} if module in ("parser", "quantify") else {flag}
            assert any(f"unknown option {slip}; did you mean {one}? (" in sentence for one in meant)


@pytest.mark.parametrize("module", ["parser", *MODULES])
def test_every_command_has_a_version(module, capsys):
    with pytest.raises(SystemExit):
        run(module, "--version")
    assert capsys.readouterr().out.endswith(f" {__version__}\n")


def test_the_beginning_of_a_name_is_enough_to_tell_it():
    flags = {option.flag for option in OPTIONS}
    assert nearest("--part", flags) == "--participant-label"
    assert nearest("-output-sp", flags) == "--output-spaces"
    assert nearest("--Kinetics_ref", flags) == "--kinetics-reference"
    assert nearest("--zzzzz", flags) is None


@pytest.mark.parametrize("alias", sorted(alias for option in OPTIONS for alias in option.aliases))
def test_a_name_that_an_option_has_elsewhere_does_the_same(alias):
    option = next(one for one in OPTIONS if one.flag == OWNERS[alias])
    values = {
        "--mem": "8G",
        "--smooth": "4",
        "--psf": "5",
        "--nprocs": "2",
        "--use-plugin": __file__,
    }
    values = [] if "action" in option.typed else [values.get(option.flag, "x")]
    base = ["b", "o", "participant"]
    assert parse([*base, alias, *values]) == parse([*base, option.flag, *values])


def test_what_is_so_anyway_is_accepted():
    words = [word for flag, row in WITHOUT_EFFECT.items()
             for word in ([flag] if "action" in row else [flag, "1"])]  # fmt: skip
    assert parse(["b", "o", "participant", *words]) == parse(["b", "o", "participant"])


@pytest.mark.parametrize("flag", FOREIGN)
def test_what_is_done_otherwise_is_told(flag):
    assert flag not in OWNERS and flag not in WITHOUT_EFFECT
    with pytest.raises(UsageError, match=f"^{flag}: "):
        parse(["b", "o", "participant", flag, "x"])


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["quantfy", "a.nii", "b.nii", "--tracer", "FBB"], "centipet quantify"),
        (["verifyy", "out"], "centipet verify"),
        (["segmnt", "a.nii", "out"], "centipet segment"),
        (["compar", "a.tsv", "b.tsv"], "centipet compare"),
    ],
)
def test_a_command_that_there_is_not(typed, meant, capsys):
    assert main(typed) == ExitCode.USAGE
    assert f"unknown command {typed[0]}; did you mean {meant}?" in capsys.readouterr().err


def test_a_dataset_may_have_the_name_of_a_command():
    assert parse(["demo", "out", "participant"]).bids_dir.name == "demo"


def test_the_level_that_was_meant():
    with pytest.raises(UnknownLevelError, match=r"did you mean participant\?"):
        parse(["b", "o", "Pparticipant"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("atlass = 3", "unknown option --atlass; did you mean --atlas? (see centipet --help)"),
        ("window = [70, 50]", "--window 70 50"),
        ("[how]\nnprocs = 2", "[how] is a table"),
        ("config_file = 'x'", "another --config-file"),
        ("sloppy = true", "--sloppy: there is no faster"),
        ("nprocs = 'many'", "nprocs"),
    ],
)
def test_a_fault_in_a_file_of_options_is_told_with_the_file(content, words, tmp_path):
    path = tmp_path / "options.toml"
    path.write_text(content)
    with pytest.raises(UsageError) as caught:
        parse(["b", "o", "participant", "--config-file", str(path), "--smooth", "3"])
    assert str(caught.value).startswith(f"--config-file {path}: ") and words in str(caught.value)


def test_a_fault_that_was_typed_is_not_blamed_on_the_file(tmp_path):
    path = tmp_path / "options.toml"
    path.write_text("nprocs = 2")
    typed = ["b", "o", "participant", "--config-file", str(path), "--window", "70", "50"]
    with pytest.raises(UsageError, match=r"^--window"):
        parse(typed)


@pytest.fixture(scope="module")
def completed(tmp_path_factory):
    script = tmp_path_factory.mktemp("completion") / "script.bash"
    script.write_text(completion.script())

    def complete(*words):
        quoted = " ".join(f"'{word}'" for word in words)
        program = (
            f"source {script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _centipet; "
            'printf "%s\\n" "${COMPREPLY[@]}"'
        )
        done = subprocess.run(
            ["bash", "-c", program], capture_output=True, text=True, check=True, cwd=script.parent
        )
        assert not done.stderr
        return done.stdout.split()

    return complete


def test_the_tabulator_key_knows_options_choices_and_files(completed):
    assert completed("centipet", "b", "o", "pa") == ["participant"]
    assert "--participant-label" in completed("centipet", "b", "o", "participant", "--part")
    assert completed("/usr/bin/centipet", "b", "o", "participant", "--pet-to-t1w", "m") == ["model"]
    assert completed("centipet", "b", "o", "participant", "--pvc", "gtm", "r") == ["rbv"]
    assert completed("centipet", "quant") == ["quantify"]
    assert completed("centipet", "quantify", "--frame-d") == ["--frame-duration"]
    assert completed("centipet-verify", "--qu") == ["--quick"]
    assert completed("centipet-calibrate", "level") == ["level1", "level2"]
    assert completed("centipet-segment", "scr") == ["script.bash"]


@pytest.mark.parametrize(("shell", "first"), [("bash", "_centipet()"), ("zsh", "autoload")])
def test_completion_is_printed(shell, first, capsys):
    assert main(["--print-completion", shell]) == 0
    assert capsys.readouterr().out.startswith(first)
    assert main(["--print-completion", "fish"]) == ExitCode.USAGE

"""What a person who waits sees: the steps that run now, and how long the rest will take."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from nipype.interfaces.utility import IdentityInterface, Merge
from rich.console import Console

from bidsapp.bids.layout import read_dataset
from bidsapp.bids.planning import make_plan
from bidsapp.cli.logs import Progress
from bidsapp.cli.parser import parse
from bidsapp.cli.run_record import RunRecord, earlier_step_s
from bidsapp.cli.steps import Steps, TimeLeft, in_words
from bidsapp.data import read_table
from bidsapp.settings import Filters, KineticModel, Processing, PvcMethod
from bidsapp.workflows.participant import init_participants_wf

USUAL_S = {"segment": 10.0, "register": 5.0, "tables": 0.1}


def time_left(todo, earlier=None):
    return TimeLeft(todo, USUAL_S, earlier or {})


def test_steps_like_those_that_were_done():
    left = time_left({"segment": 10})
    assert left.left_s(0) is None
    for number in range(4):
        left.start(f"s{number}", "segment", 2.0 * number)
        left.end(f"s{number}", "segment", 2.0 * number + 2)
    assert left.left_s(8) == pytest.approx(12)
    left.start("s4", "segment", 8)
    assert left.left_s(9) == pytest.approx(11)
    assert left.left_s(30) == pytest.approx(10)  # takes longer than the others: those remain


def test_two_at_once_take_half_the_time():
    left = time_left({"segment": 10})
    for number in range(4):
        left.start(f"s{number}", "segment", 2.0 * (number // 2))
    for number in range(4):
        left.end(f"s{number}", "segment", 2.0 * (number // 2) + 2)
    assert left.left_s(4) == pytest.approx(6)


def test_kinds_that_were_not_seen_yet_go_by_the_pace_of_the_machine():
    left = time_left({"segment": 1, "register": 2})
    left.start("a", "segment", 0)
    left.end("a", "segment", 30)  # three times as long as usual
    assert left.left_s(30) == pytest.approx(2 * 15)


def test_results_of_an_earlier_run_say_nothing_of_the_pace():
    left = time_left({"segment": 3}, {"segment": 8.0})
    left.start("a", "segment", 0)
    left.end("a", "segment", 0.02)
    assert left.left_s(0.02) == pytest.approx(16) and left.measured_s() == {}


def test_steps_that_an_earlier_run_did_end_without_a_beginning():
    left = time_left({"segment": 3}, {"segment": 8.0})
    left.end("done", "segment", 1.0)
    left.start("a", "segment", 1.0)
    assert left.left_s(1.0) == pytest.approx(16) and left.measured_s() == {}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""), (5, "less than a minute left"), (100, "about 2 min left"),
        (3600 * 2.4, "about 2 h left"),
    ],
)  # fmt: skip
def test_the_rest_in_words(seconds, words):
    assert in_words(seconds) == words


def test_times_of_a_run_are_read_by_the_next(tmp_path):
    assert earlier_step_s(tmp_path / "logs") == {}
    for number, seconds in (("1", {"segment": 11.0, "fit": 3.0}), ("2", {"segment": 12.346})):
        log = tmp_path / "logs" / f"centipet_{number}.log"
        RunRecord(log, []).end(0, {}, seconds)
    assert earlier_step_s(tmp_path / "logs") == {"segment": 12.35, "fit": 3.0}
    for number, content in enumerate(("[1]", "{", '{"StepSeconds": {"segment": "x"}}')):
        (tmp_path / "logs" / f"centipet_9{number}.json").write_text(content)
    assert earlier_step_s(tmp_path / "logs") == {"segment": 12.35, "fit": 3.0}


class Terminal(Progress):
    """Progress on a terminal that keeps what its foot showed."""

    def __init__(self, width=80, verbose=False):
        self.text = io.StringIO()
        console = Console(file=self.text, width=width, force_terminal=True, highlight=False)
        super().__init__(console, verbose=verbose)
        self.shown = []
        self._status = self

    def update(self, text):
        self.shown.append(text)


def test_the_foot_names_the_steps_that_run_now_and_no_other():
    terminal = Terminal()
    nodes = [f"wf.sub_1_wf.x_wf.{name}" for name in ("segment", "regions", "inputnode")]
    steps = Steps({"wf.sub_1_wf.x_wf.": "sub-1"}, nodes, terminal)
    segment, regions, passing = nodes
    steps.tell(segment, "start")
    assert "T1w segmented" in terminal.shown[-1]
    steps.tell(segment, "end")
    assert "T1w segmented" not in terminal.shown[-1]
    steps.tell(passing, "start")
    steps.tell(regions, "start")
    assert "regions transformed to the T1w" in terminal.shown[-1] and "[1/1]" in terminal.shown[-1]
    steps.tell(regions, "end")
    assert all(text.strip() for text in terminal.shown[1:-1])
    assert "regions" not in terminal.shown[-1] and terminal.shown[-1]
    assert "regions" not in terminal.text.getvalue()


def test_details_are_told_to_those_who_ask():
    terminal = Terminal(verbose=True)
    steps = Steps({"wf.": "sub-1"}, ["wf.regions"], terminal)
    steps.tell("wf.regions", "start")
    steps.tell("wf.regions", "end")
    assert "sub-1: regions transformed to the T1w" in terminal.text.getvalue()


def test_the_foot_is_one_line_however_much_runs():
    terminal = Terminal(width=80)
    terminal.foot = "[3/60], about 12 min left"
    for number in range(12):
        terminal.start(f"sub-{number:02}_ses-baseline: PET aligned with the T1w")
    assert all(len(text) < 80 for text in terminal.shown)
    assert terminal.shown[-1].startswith("[3/60], about 12 min left | sub-00_ses-baseline: PET")
    assert terminal.shown[-1].endswith("…, 11 more")


def test_every_node_that_works_has_words(raw, tmp_path):
    """Dynamic and static, with template, without T1w, corrected, in all spaces, with an atlas."""
    raw.t1w("sub-1")
    durations = [60] * 5 + [300] * 21
    raw.pet("sub-1_trc-FBB", FrameTimesStart=[sum(durations[:n]) for n in range(26)],
            FrameDuration=durations, ScanStart=0, ImageDecayCorrectionTime=0)  # fmt: skip
    raw.pet("sub-2_trc-FBB")
    for session in "ab":
        raw.t1w(f"sub-3_ses-{session}")
        raw.pet(f"sub-3_ses-{session}_trc-FBB")
    everything = Processing(
        longitudinal=True, pvc=tuple(PvcMethod), kinetics=tuple(KineticModel),
        voi_spaces=("T1w", "pet"), write_masks=True,
    )  # fmt: skip
    (tmp_path / "sub-1_dseg.nii.gz").touch()
    own = parse(["/in", "/out", "participant", "--atlas",
                 f"Own={tmp_path}/sub-{{participant}}_dseg.nii.gz"]).processing  # fmt: skip
    fine = replace(everything, smooth_fwhm_mm=4, voi_mm=1, atlases=own.atlases)
    nodes = []
    for processing in (everything, fine):
        plan = make_plan(read_dataset(raw.root, Filters()), processing)
        made = init_participants_wf(
            plan, bids_dir=raw.root, output_dir=tmp_path / "o", work_dir=tmp_path / "w",
            processing=processing,
        )  # fmt: skip
        assert len(made.prefixes) == 4 and not made.problems
        nodes += made.workflow._get_all_nodes()
    steps = Steps({}, [], Terminal())
    kinds = set()
    for node in nodes:
        if not isinstance(node.interface, IdentityInterface | Merge):
            kinds.add(steps._kind(node.fullname))
            assert kinds - {None} == kinds, node.fullname
    table = read_table("steps")
    assert kinds | {"page"} == table["counted"].keys() | table["brief"].keys()


def test_the_record_of_a_run_has_the_times(raw, tmp_path, fates, monkeypatch):
    from bidsapp.cli.main import main

    monkeypatch.setattr("bidsapp.cli.steps._REMEMBERED", 0)  # the toy is as fast as a memory
    raw.t1w("sub-1")
    raw.pet("sub-1_trc-FBB")
    out = tmp_path / "out"
    work = str(tmp_path / "w")
    assert main([str(raw.root), str(out), "participant", "-w", work, "--nprocs", "1", "-v"]) == 0
    (path,) = Path(out, "logs").glob("centipet_*.json")
    assert list(json.loads(path.read_text())["StepSeconds"]) == ["result"]

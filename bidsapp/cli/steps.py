"""Progress of the nodes of a workflow, and an estimate of the remaining time."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from bidsapp.cli.logs import RUN_LOG, Progress
from bidsapp.data import read_table

_REMEMBERED = 0.05  # of the usual time: the result of an earlier run was taken


class TimeLeft:
    """Estimate of the time until a set of steps is done.

    A step takes as long as those of its kind took so far in this run, or else in an earlier one,
    or else usually, by the pace of this machine.
    """

    def __init__(
        self, todo: Mapping[str, int], usual_s: Mapping[str, float], earlier_s: Mapping[str, float]
    ) -> None:
        """Take the number of steps of each kind, and what one of them takes.

        Parameters
        ----------
        todo : number of steps by kind
        usual_s : seconds by kind
        earlier_s : seconds by kind as an earlier run measured them
        """
        self._left = Counter(todo)
        self._usual_s = usual_s
        self._earlier_s = earlier_s
        self._took_s: dict[str, list[float]] = defaultdict(list)
        self._since: dict[str, tuple[str, float]] = {}
        self._busy_s = 0.0
        self._began: float | None = None

    def start(self, step: str, kind: str, now: float) -> None:
        """Take note that a step of a kind begins, at a time in s.

        Parameters
        ----------
        step : name
        kind : of the step
        now : time, s
        """
        self._began = now if self._began is None else self._began
        self._since[step] = (kind, now)

    def end(self, step: str, kind: str, now: float) -> None:
        """Take note that a step has ended, or need not begin: an earlier run has done it.

        Parameters
        ----------
        step : name
        kind : of the step
        now : time, s
        """
        self._left[kind] -= 1
        _, since = self._since.pop(step, (kind, now))
        took = now - since
        self._busy_s += took
        if took > _REMEMBERED * self._usual_s[kind]:
            self._took_s[kind].append(took)

    def measured_s(self) -> dict[str, float]:
        """Mean time of the steps of each kind that were done in this run.

        Returns
        -------
        dict
            By kind.
        """
        return {kind: sum(took) / len(took) for kind, took in sorted(self._took_s.items())}

    def left_s(self, now: float) -> float | None:
        """Seconds until all is done; None when nothing was measured yet, now or earlier.

        Parameters
        ----------
        now : time, s

        Returns
        -------
        float or None
        """
        if self._began is None or not (self._took_s or self._earlier_s):
            return None
        known = dict(self._earlier_s) | self.measured_s()
        usual = sum(self._usual_s[kind] for kind in known)
        pace = sum(known.values()) / usual if usual else 1.0
        expected = {kind: known.get(kind, pace * usual) for kind, usual in self._usual_s.items()}
        work = sum(number * expected[kind] for kind, number in self._left.items())
        running = 0.0
        for kind, since in self._since.values():
            running += now - since
            work -= min(now - since, expected[kind])
        at_once = (self._busy_s + running) / (now - self._began) if now > self._began else 1.0
        return work / max(1.0, at_once)


def in_words(seconds: float | None) -> str:
    """``about 3 min left``; empty when it is not known.

    Parameters
    ----------
    seconds : left, None when not known

    Returns
    -------
    str
    """
    if seconds is None:
        return ""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute left"
    return f"about {minutes} min left" if minutes < 120 else f"about {minutes / 60:.0f} h left"


class Steps:
    """Reports nodes as steps in words (``data/steps.toml``); counts how many are done."""

    def __init__(
        self,
        subjects: Mapping[str, str],
        nodes: Iterable[str],
        progress: Progress,
        earlier_s: Mapping[str, float] | None = None,
    ) -> None:
        """Take whom a node is about by the beginning of its name, and all names for the count.

        Parameters
        ----------
        subjects : whom a node is about, by the beginning of its name
        nodes : names of all
        progress : where it is reported
        earlier_s : mean seconds by kind of step, of an earlier run
        """
        self._subjects = subjects
        counted, brief = read_table("steps")["counted"], read_table("steps")["brief"]
        self._words: Mapping[str, tuple[str, float]] = counted | brief
        self._counted = counted.keys()
        usual_s = {kind: seconds for kind, (_, seconds) in self._words.items()}
        kinds = Counter(kind for name in nodes if (kind := self._kind(name)))
        self._total = sum(number for kind, number in kinds.items() if kind in self._counted)
        people = {name.split(".")[1] for name in subjects if name.count(".") > 1}
        kinds["page"] = len(people)
        known = {kind: s for kind, s in (earlier_s or {}).items() if kind in usual_s}
        self.time_left = TimeLeft(kinds, usual_s, known)
        self._done = 0
        self._progress = progress

    def _kind(self, node: str) -> str | None:
        """Row of a node in the table; None for those that only pass something on."""
        name = node.rsplit(".", 1)[-1]
        while name not in self._words and "_" in name:
            name = name.rpartition("_")[0]
        return name if name in self._words else None

    def tell(self, node: str, what: str) -> None:
        """Say what happened to a node: ``start``, ``end`` or ``exception``.

        Parameters
        ----------
        node : name of the node
        what : ``start``, ``end`` or ``exception``
        """
        RUN_LOG.debug("%s %s", what, node)
        kind = self._kind(node)
        if kind is None:
            return
        about = [name for prefix, name in self._subjects.items() if node.startswith(prefix)]
        words = f"{''.join(about)}: {self._words[kind][0]}"
        now = time.perf_counter()
        if what == "start":
            self.time_left.start(node, kind, now)
            self._progress.start(words)
            return
        self.time_left.end(node, kind, now)
        self._done += kind in self._counted
        count = f"[{self._done}/{self._total}]"
        left = in_words(self.time_left.left_s(now))
        self._progress.foot = ", ".join(filter(None, (count, left)))
        if what != "end":
            self._progress.drop(words)
            self._progress.fail(f"{words}: failed")
        elif kind in self._counted:
            self._progress.end(words, count, left)
        else:
            self._progress.end(words, brief=True)

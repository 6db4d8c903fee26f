"""What a person hears of the nodes of a workflow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bidsapp.cli.logs import RUN_LOG, Progress
from bidsapp.data import read_table


class Steps:
    """Tells nodes as steps in words (``data/steps.toml``); counts how many are done."""

    def __init__(
        self, subjects: Mapping[str, str], nodes: Iterable[str], progress: Progress
    ) -> None:
        """Take whom a node is about by the beginning of its name, and all names for the count."""
        self._subjects = subjects
        self._words: Mapping[str, str] = read_table("steps")
        self._total = sum(name.rsplit(".", 1)[-1] in self._words for name in nodes)
        self._done = 0
        self._progress = progress

    def tell(self, node: str, what: str) -> None:
        """Say what happened to a node: ``start``, ``end`` or ``exception``."""
        RUN_LOG.debug("%s %s", what, node)
        step = node.rsplit(".", 1)[-1]
        if step not in self._words:
            return
        about = [name for prefix, name in self._subjects.items() if node.startswith(prefix)]
        words = f"{''.join(about)}: {self._words[step]}"
        if what == "start":
            self._progress.start(words)
            return
        self._done += 1
        if what == "end":
            self._progress.end(words, f"[{self._done}/{self._total}]")
        else:
            self._progress.drop(words)
            self._progress.fail(f"{words}: failed")

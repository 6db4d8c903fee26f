"""Execution: nipype plugins that do not wait for a dead worker, and failures told as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bidsapp.settings import Resources

if TYPE_CHECKING:
    from nipype.pipeline.engine import Workflow


@dataclass(frozen=True)
class NodeFailure:
    """A node that failed.

    Attributes
    ----------
    node : full name, for example ``centipet_wf.sub_01_wf.segment``
    error_name : name of a class in `bidsapp.errors`, ``CentipetError`` for a fault of ours
    message : one sentence
    """

    node: str
    error_name: str
    message: str


def run(
    workflow: Workflow,
    resources: Resources,
    *,
    work_dir: Path,
    stop_on_first_crash: bool = False,
    on_step: Callable[[str, str], None] | None = None,
) -> list[NodeFailure]:
    """Run a workflow to its end and tell what failed."""
    raise NotImplementedError

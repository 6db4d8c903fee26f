"""How workflows are put together: fields that keep their names, and lists of what steps give."""

from __future__ import annotations

from collections.abc import Sequence

from nipype.interfaces.utility import Merge
from nipype.pipeline.engine import Node, Workflow


def gathered(workflow: Workflow, sources: Sequence[tuple[Node | Workflow, str]], name: str) -> Node:
    """Node whose ``out`` is the list of what the sources give; a list among them is flattened."""
    merge = Node(Merge(len(sources)), name=name, run_without_submitting=True)
    for number, (source, field) in enumerate(sources, start=1):
        workflow.connect(source, field, merge, f"in{number}")
    return merge


def of(steps: Sequence[Workflow], field: str) -> list[tuple[Workflow, str]]:
    """One field of the outputnodes of several steps."""
    return [(step, f"outputnode.{field}") for step in steps]


def across(fields: Sequence[str]) -> list[tuple[str, str]]:
    """Connections from the outputnode of one workflow to the inputnode of the next."""
    return [(f"outputnode.{field}", f"inputnode.{field}") for field in fields]

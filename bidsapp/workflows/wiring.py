"""How workflows are put together: nodes, their ends, fields that keep their names, lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from nipype.interfaces.utility import IdentityInterface, Merge
from nipype.pipeline.engine import Node, Workflow

Links = list[tuple[str, str]]


def step(interface: Any, name: str, mem_gb: float) -> Node:
    """Node of one thread; its peak memory in GB is measured."""
    return Node(interface, name=name, mem_gb=mem_gb, n_procs=1)


def passing(name: str, fields: Iterable[str]) -> Node:
    """Node that passes fields on."""
    return Node(IdentityInterface(list(fields)), name=name)


def bounded(
    name: str, inputs: Iterable[str], outputs: Iterable[str]
) -> tuple[Workflow, Node, Node]:
    """Workflow with an inputnode and an outputnode, connected to nothing yet."""
    workflow = Workflow(name=name)
    ends = passing("inputnode", inputs), passing("outputnode", outputs)
    workflow.add_nodes(list(ends))
    return workflow, *ends


def of_one(node: Node, name: str, inputs: Iterable[str], outputs: Iterable[str]) -> Workflow:
    """Workflow of one node between inputnode and outputnode of the same fields."""
    inputs, outputs = list(inputs), list(outputs)
    workflow, before, after = bounded(name, inputs, outputs)
    workflow.connect([(before, node, same(inputs)), (node, after, same(outputs))])
    return workflow


def gathered(
    workflow: Workflow, sources: Sequence[tuple[Node | Workflow, str]], to: Node, field: str
) -> None:
    """Give a field of a node the list of what the sources give; a list among them is flattened."""
    merge = Node(Merge(len(sources)), name=f"all_{field}", run_without_submitting=True)
    for number, (source, given) in enumerate(sources, start=1):
        workflow.connect(source, given, merge, f"in{number}")
    workflow.connect(merge, "out", to, field)


def of(steps: Iterable[Workflow], field: str) -> list[tuple[Workflow, str]]:
    """One field of the outputnodes of several steps."""
    return [(step, f"outputnode.{field}") for step in steps]


def same(fields: Iterable[str]) -> Links:
    """Connections between two nodes."""
    return [(field, field) for field in fields]


def into(fields: Iterable[str]) -> Links:
    """Connections from a node to the inputnode of a workflow."""
    return [(field, f"inputnode.{field}") for field in fields]


def out_of(fields: Iterable[str]) -> Links:
    """Connections from the outputnode of a workflow to a node."""
    return [(f"outputnode.{field}", field) for field in fields]


def across(fields: Iterable[str]) -> Links:
    """Connections from the outputnode of one workflow to the inputnode of the next."""
    return [(f"outputnode.{field}", f"inputnode.{field}") for field in fields]

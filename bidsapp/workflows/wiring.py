"""Composition of a workflow: step by step, with the inputs that each takes from other steps."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from nipype.interfaces.utility import Merge
from nipype.pipeline.engine import Node, Workflow

from bidsapp.interfaces.derivatives import SaveImages
from bidsapp.workflows.sidecars import Sidecars

_IMAGES_GB = 0.6  # peak memory with a T1w of 256 x 256 x 256, measured


@dataclass(frozen=True, eq=False)
class StepOutput:
    """An output of a step.

    Attributes
    ----------
    workflow, node : of the step
    name : of the output of its interface
    """

    workflow: Workflow
    node: Node
    name: str


class Step:
    """A node of a workflow; its outputs are its attributes, such as ``register.t1w_to_pet``."""

    def __init__(self, workflow: Workflow, node: Node) -> None:
        """Take the node and the workflow that it is in."""
        self._workflow, self._node = workflow, node

    def __getattr__(self, name: str) -> StepOutput:
        """Return an output; that there is one is checked where it is taken."""
        return StepOutput(self._workflow, self._node, name)

    def of(self, *names: str) -> dict[str, StepOutput]:
        """Several outputs by name.

        Parameters
        ----------
        *names : of outputs of the interface

        Returns
        -------
        dict of StepOutput
        """
        return {name: getattr(self, name) for name in names}


class Flow:
    """A workflow that grows step by step.

    Attributes
    ----------
    workflow : nipype's
    sidecars : of the files that its steps write
    records : what its steps give to the record of a scan, in the order of the record
    written : hashes and names of the files that its steps write
    """

    def __init__(self, label: str, sidecars: Sidecars) -> None:
        """Begin an empty workflow, named after an image."""
        self.workflow = Workflow(name=node_name(label))
        self.sidecars = sidecars
        self.records: list[Any] = []
        self.written: list[StepOutput] = []
        self._from_others: list[tuple[StepOutput, str]] = []

    def step(
        self, interface: Callable[..., Any], name: str, mem_gb: float, /, **inputs: Any
    ) -> Step:
        """Add a step of one thread.

        Parameters
        ----------
        interface : makes the interface, of its inputs
        name : of the node, a row of ``data/steps.toml``
        mem_gb : measured peak memory
        **inputs : inputs: outputs of other steps, lists of such and of values (a list among them is
            flattened), or values; None leaves one out

        Returns
        -------
        Step
        """
        sources = {
            field: self._gathered(field, value) if isinstance(value, list) else value
            for field, value in inputs.items()
            if isinstance(value, StepOutput) or (isinstance(value, list) and _any_output(value))
        }
        values = {field: value for field, value in inputs.items() if field not in sources}
        node = Node(interface(**values), name=name, mem_gb=mem_gb, n_procs=1)
        self.workflow.add_nodes([node])
        for field, source in sources.items():
            self._connect(source, node, field)
        step = Step(self.workflow, node)
        if hasattr(node.outputs, "written"):
            self.written.append(step.written)
        return step

    def recorded(
        self, interface: Callable[..., Any], name: str, mem_gb: float, /, **inputs: Any
    ) -> Step:
        """Add a step, and its part of the record to those of the scan.

        Parameters
        ----------
        interface, name, mem_gb, **inputs : see `step`

        Returns
        -------
        Step
        """
        step = self.step(interface, name, mem_gb, **inputs)
        self.records.append(step.record)
        return step

    def save_images(
        self,
        entities: Mapping[str, str],
        content: Mapping[str, Any],
        images: Mapping[str, StepOutput],
        name: str = "images",
        head: StepOutput | None = None,
    ) -> None:
        """Add a step that writes images under the names of the table of outputs.

        Parameters
        ----------
        entities : of the raw image
        content : of the sidecars by key; more may be there
        images : by key
        name : of the node
        head : record of the segmentation, where there is a T1w among the images
        """
        self.step(
            partial(SaveImages, tuple(images)), name, _IMAGES_GB, **images,
            place=self.sidecars.place(entities), sidecars={key: content[key] for key in images},
            head=head,
        )  # fmt: skip

    def join(self, parent: Workflow) -> None:
        """Add the workflow to another and connect it with those it takes inputs from.

        Parameters
        ----------
        parent : workflow that contains those already
        """
        parent.add_nodes([self.workflow])
        for source, to in self._from_others:
            parent.connect(source.workflow, f"{source.node.name}.{source.name}", self.workflow, to)

    def _gathered(self, field: str, values: list[Any]) -> StepOutput:
        merge = Node(Merge(len(values)), name=f"all_{field}", run_without_submitting=True)
        self.workflow.add_nodes([merge])
        for number, value in enumerate(values, start=1):
            if isinstance(value, StepOutput):
                self._connect(value, merge, f"in{number}")
            else:
                setattr(merge.inputs, f"in{number}", value)
        return StepOutput(self.workflow, merge, "out")

    def _connect(self, source: StepOutput, node: Node, field: str) -> None:
        if source.workflow is self.workflow:
            self.workflow.connect(source.node, source.name, node, field)
        else:
            self._from_others.append((source, f"{node.name}.{field}"))


def _any_output(values: list[Any]) -> bool:
    return any(isinstance(value, StepOutput) for value in values)


def node_name(label: str) -> str:
    """Name of the workflow of a participant or an image, also that of its working directory.

    Parameters
    ----------
    label : BIDS entities, joined

    Returns
    -------
    str
    """
    return re.sub(r"\W", "_", label) + "_wf"

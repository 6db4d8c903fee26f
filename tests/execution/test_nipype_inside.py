"""What is relied on inside nipype is listed here, and nipype has it."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from nipype import config
from nipype.interfaces.base import BaseInterfaceInputSpec, SimpleInterface
from nipype.pipeline.engine import Node, Workflow
from nipype.pipeline.plugins.base import DistributedPluginBase, SGELikeBatchManagerBase
from nipype.pipeline.plugins.linear import LinearPlugin
from nipype.pipeline.plugins.multiproc import MultiProcPlugin
from nipype.pipeline.plugins.slurm import SLURMPlugin

PACKAGE = Path(__file__).parents[2] / "bidsapp"
USERS = [
    *sorted((PACKAGE / "execution").glob("*.py")), *sorted((PACKAGE / "interfaces").glob("*.py")),
    PACKAGE / "io/untouched.py",
]  # fmt: skip

# Members that are no part of nipype's interface, by the class that has them.
RELIED_ON = {
    BaseInterfaceInputSpec: {"_get_sorteddict"},
    SimpleInterface: {"_always_run", "_results", "_run_interface"},
    Workflow: {"_get_all_nodes"},
    Node: {"_get_inputs", "_mem_gb"},
    type(config): {"_cwd"},
    LinearPlugin: {"_status_callback"},
    DistributedPluginBase: {
        "_clean_queue", "_clear_task", "_get_result", "_local_hash_check", "_report_crash",
        "_status_callback", "_submit_job",
    },
    MultiProcPlugin: {
        "_clear_task", "_cwd", "_get_result", "_postrun_check", "_send_procs_to_workers",
        "_sort_jobs", "_stats", "_submit_job", "_task_obj", "_taskid",
    },
    SGELikeBatchManagerBase: {
        "_get_result", "_is_pending", "_pending", "_submit_job", "_template",
    },
    SLURMPlugin: {
        "_is_pending", "_max_tries", "_retry_timeout", "_sbatch_args", "_submit_batchtask",
    },
}  # fmt: skip
OF_OTHERS = {"_exit", "_processes"}  # of `os`, of `concurrent.futures.ProcessPoolExecutor`


def members(kind: type) -> set[str]:
    """Names a class has, or gives its instances."""
    sources = "".join(inspect.getsource(one) for one in kind.__mro__ if "nipype" in one.__module__)
    return {*dir(kind), *re.findall(r"self\.(_\w+)", sources)}


@pytest.mark.parametrize("kind", RELIED_ON, ids=lambda kind: kind.__name__)
def test_nipype_has_them(kind):
    assert RELIED_ON[kind] - members(kind) == set()


def private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def used(path: Path) -> Iterator[tuple[str, bool]]:
    """Private names of a module, and whether it is the module that makes them up."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Attribute) and private(node.attr):
            yield node.attr, isinstance(node.ctx, ast.Store)
        elif isinstance(node, ast.FunctionDef) and private(node.name):
            yield node.name, True
        elif isinstance(node, ast.AnnAssign) and private(getattr(node.target, "id", "")):
            yield node.target.id, True


def test_none_is_used_that_is_not_listed():
    listed = set().union(*RELIED_ON.values()) | OF_OTHERS
    theirs = set().union(*map(members, RELIED_ON))
    names = [pair for path in USERS for pair in used(path)]
    ours = {name for name, made in names if made} - theirs
    assert {name for name, _ in names} - ours - listed == set()

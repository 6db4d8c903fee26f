"""Imports everything that a worker needs; imported before workers are forked.

The garbage collector leaves these objects out: to scan them repeatedly takes time, and copies
memory that the workers share.
"""

import gc
from importlib import import_module

from bidsapp.execution.workers import keep_freed_memory

keep_freed_memory()
gc.disable()
try:
    for _name in ("bidsapp.workflows.participant", "nipype.pipeline.plugins.multiproc"):
        import_module(_name)
    gc.freeze()
finally:
    gc.enable()

"""All that a worker needs, imported: whoever forks workers imports this module.

What is imported stays: to look through it for garbage again and again, while it grows and in every
worker, takes time, and copies memory that the workers share.
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

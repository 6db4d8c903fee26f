"""The Python interface, behind ``from bidsapp import ...``; `apply` is in ``cli/apply.py``."""

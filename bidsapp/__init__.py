"""CentiPET: from amyloid-PET DICOM to a trustworthy Centiloid."""

import sys

__version__ = "0.1.0"

if sys.platform == "win32":  # no file locks, no signals as runs need them
    raise ImportError("CentiPET runs on Linux and macOS; on Windows use WSL or its container")

"""CentiPET: from amyloid-PET DICOM to a trustworthy Centiloid."""

__version__ = "0.1.0"

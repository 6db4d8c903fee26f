"""The built-in phantom: a synthetic DICOM study whose Centiloid is known."""

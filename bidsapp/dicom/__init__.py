"""From a folder of DICOM to a raw BIDS dataset: the only place for pydicom and dcm2niix."""

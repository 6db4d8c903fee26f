"""The record ``*_centiloid.json`` of a PET scan: the one typed result that is written and read.

`model` says what is in it, `codec` turns it into JSON and back, `schema` describes the JSON,
`stages` follows a scan from plan to result, `verdicts` judges it once, `files` reads and writes,
`tracers` knows the tracers that records define.
"""

from bidsapp.core.quality import Flag
from bidsapp.record.files import find_records, read_record, write_record
from bidsapp.record.model import RECORD_SUFFIX, Frame, RecordPart, ScanRecord, Status

__all__ = [
    "RECORD_SUFFIX",
    "Flag",
    "Frame",
    "RecordPart",
    "ScanRecord",
    "Status",
    "find_records",
    "read_record",
    "write_record",
]

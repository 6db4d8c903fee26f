"""The files of a scan on disk."""

import json

import numpy as np
import pytest
from synthetic_records import finished_record, write

from bidsapp.bids.derivatives import sidecar_path
from bidsapp.errors import BadDataError
from bidsapp.io.atomic import write_text
from bidsapp.record import read_record
from bidsapp.record.stored import StoredScan

SCAN = {"sub": "01", "trc": "FBB"}


@pytest.mark.parametrize("matrix", [None, "x", [[1.0]], np.ones((4, 4)).tolist()])
def test_a_position_that_cannot_be_inverted_is_refused(tmp_path, matrix):
    scan = StoredScan(tmp_path, read_record(write(tmp_path, finished_record(SCAN), SCAN), tmp_path))
    path = sidecar_path(scan.path("xfm"))
    write_text(path, json.dumps({"T1wToPet": matrix}))
    with pytest.raises(BadDataError, match=r"T1w_to-pet\S*\.json: contains no T1wToPet"):
        scan.t1w_to_pet()
    position = np.diag([1.0, 2, 3, 1])
    write_text(path, json.dumps({"T1wToPet": position.tolist()}))
    np.testing.assert_array_equal(scan.t1w_to_pet(), position)

"""Files are written whole, and the same content gives the same file."""

from __future__ import annotations

import gzip
import threading

import numpy as np
import pytest
from isal import isal_zlib

from bidsapp.errors import StorageError
from bidsapp.io.atomic import write_gzip, write_text

THREADS, TIMES = 64, 2


def bursts_among_zeros() -> bytes:
    """What an image with an empty rim looks like to a compressor: runs of zeros, short noise.

    ISA-L looks up another entry of its table of 8192 after every burst, and finds, at multiples of
    65,536, a match wherever an entry was never set, or was set to another byte of the run.
    """
    rng = np.random.default_rng(0)
    content = np.zeros((10, 65536), np.uint8)
    for block in content:
        for begin in range(600, 30000, 330):
            block[begin : begin + 30] = rng.integers(1, 256, 30)
    return content.tobytes()


@pytest.mark.parametrize("cuts", [[], [5, 16, 200_000]], ids=["whole", "parts"])
def test_the_same_content_gives_the_same_file_wherever_stack_and_heap_lie(tmp_path, cuts):
    content = bursts_among_zeros()
    parts = [content[a:b] for a, b in zip([0, *cuts], [*cuts, None], strict=True)]
    together = threading.Barrier(THREADS)
    kept = []  # so that each compressor has a place of its own

    def write(number: int) -> None:
        together.wait()  # alive at one time, threads have a stack each
        for time in range(TIMES):
            kept.append(isal_zlib.compressobj())
            write_gzip(tmp_path / f"{number}_{time}.gz", parts)
        together.wait()

    threads = [threading.Thread(target=write, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    files = {path.read_bytes() for path in tmp_path.glob("*.gz")}
    assert len(files) == 1
    assert gzip.decompress(files.pop()) == content


def test_an_empty_file_is_a_gzip_file(tmp_path):
    assert gzip.decompress(write_gzip(tmp_path / "empty.gz", []).read_bytes()) == b""


def test_a_name_that_is_too_long_is_to_be_shortened(tmp_path):
    with pytest.raises(StorageError, match=r"File name too long\); shorten its labels"):
        write_text(tmp_path / ("x" * 250 + ".json"), "{}")

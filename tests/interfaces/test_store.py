"""What nodes take in counts by its content, and no file is read twice for that."""

import os
from pathlib import Path

import pytest
from nipype.interfaces.base import File, traits

from bidsapp.interfaces import store
from bidsapp.interfaces.store import InputSpec


class _Inputs(InputSpec):
    image = File(exists=True)
    others = traits.List(File(exists=True))
    told = traits.Str()


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / name for name in ("one.npz", "same.npz", "other.npz")]
    for path, content in zip(paths, (b"one", b"one", b"two"), strict=True):
        path.write_bytes(content)
    return [str(path) for path in paths]


def digest(**inputs):
    return _Inputs(**inputs).get_hashval("content")[1]


def test_files_count_by_what_they_hold(files):
    one, same, other = files
    assert digest(image=one) == digest(image=same) != digest(image=other)
    assert digest(others=[one, other]) == digest(others=[same, other]) != digest(others=[other])


def test_a_file_that_changes_counts_anew_and_one_that_is_touched_does_not(files):
    one, _, other = files
    before = digest(image=one)
    os.utime(one, (1, 1))
    assert digest(image=one) == before
    Path(one).write_bytes(b"two")
    assert digest(image=one) == digest(image=other) != before


def test_a_file_is_read_once(files, monkeypatch):
    read = []
    monkeypatch.setattr(store, "file_hash", lambda path: read.append(path) or "digest")
    for _ in range(3):
        digest(image=files[0], others=files)
    assert sorted(read) == sorted(files)


def test_text_is_no_file(files):
    assert digest(told="x" * 5000) != digest(told="a\0b") != digest(told=".")

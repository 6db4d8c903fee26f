"""What nodes take in counts by its content, and no file is read twice; arrays come back whole."""

import os
from dataclasses import dataclass
from importlib import import_module
from inspect import isclass
from pathlib import Path
from pkgutil import iter_modules

import numpy as np
import pytest
from nipype.interfaces.base import BaseInterface, File, traits

from bidsapp import interfaces
from bidsapp.errors import BadDataError, StorageError, prefixed_errors
from bidsapp.interfaces.store import InputSpec, fetch, keep
from bidsapp.io import hashes


@dataclass(frozen=True)
class _Part:
    files: tuple[Path, ...]
    names: dict[str, Path | None]
    seconds: float = 1.0


class _Inputs(InputSpec):
    image = File(exists=True)
    others = traits.List(File(exists=True))
    text = traits.Str()
    parts = traits.List(traits.Instance(_Part))


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


def test_files_that_a_dataclass_names_count_by_what_they_hold(files):
    path = Path(files[0])

    def of(*parts):
        return digest(parts=[_Part(*part) for part in parts])

    before = of(((path,), {})), of(((), {"a": path, "b": None}))
    assert of(((path,), {}, 2.0)) != before[0]
    path.write_bytes(b"two")
    after = of(((path,), {})), of(((), {"a": path, "b": None}))
    assert len({*before, *after}) == 4


def test_a_file_is_read_once(files, monkeypatch):
    read = []
    monkeypatch.setattr(hashes, "file_hash", lambda path: read.append(path) or "digest")
    for _ in range(3):
        digest(image=files[0], others=files)
    assert sorted(read) == sorted(files)


def test_text_is_no_file(files):
    assert digest(text="x" * 5000) != digest(text="a\0b") != digest(text=".")


KEPT = {
    "lines": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "columns": np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
    "part": np.arange(24).reshape(2, 3, 4)[:, ::2],
    "mask": np.eye(3, dtype=bool),
    "number": np.array(2.5),
    "none": np.empty((0, 3)),
    "names": np.array(["ctx", "wc"]),
}


def test_arrays_come_back_as_they_are(tmp_path):
    path = keep(tmp_path / "kept.npz", KEPT)
    with np.load(path) as stored:  # what any other program reads
        for found in (fetch(path), dict(stored)):
            assert list(found) == list(KEPT)
            for name, array in found.items():
                assert array.dtype == KEPT[name].dtype and np.array_equal(array, KEPT[name]), name
    assert all(array.ctypes.data % 64 == 0 for array in fetch(path).values() if array.size)
    fetch(path)["lines"][:] = 0  # nobody else sees it
    assert np.array_equal(fetch(path)["lines"], KEPT["lines"])


def test_arrays_that_numpy_wrote_are_read(tmp_path):
    np.savez(tmp_path / "numpy.npz", **KEPT)
    for name, array in fetch(tmp_path / "numpy.npz").items():
        assert array.flags.aligned and np.array_equal(array, KEPT[name]), name


def test_one_flipped_bit_or_a_missing_end_is_told(tmp_path):
    path = Path(keep(tmp_path / "kept.npz", KEPT))
    whole = path.read_bytes()
    at = whole.index(KEPT["lines"].tobytes())
    damaged = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    for content in (damaged, whole[: len(whole) // 2], b"", b"PK\3\4"):
        path.write_bytes(content)
        with pytest.raises(StorageError, match="--clean-workdir"):
            fetch(path)


def test_every_step_reads_a_file_once():
    """No interface of ours leaves it to nipype to hash what it takes in."""
    modules = [
        import_module(f"bidsapp.interfaces.{m.name}") for m in iter_modules(interfaces.__path__)
    ]
    steps = {
        thing
        for module in modules
        for thing in vars(module).values()
        if isclass(thing)
        and issubclass(thing, BaseInterface)
        and thing.__module__ == module.__name__
    }
    assert len(steps) > 20
    assert [step for step in steps if not issubclass(step.input_spec, InputSpec)] == []


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("/raw/pet.nii: holds nothing", "/raw/pet.nii: holds nothing"),
        ("/raw/late.nii: holds nothing", "/raw/late.nii: holds nothing"),
        ("holds no head", "/raw/pet.nii: holds no head"),
    ],
)
def test_an_image_is_named_once(said, expected):
    with pytest.raises(BadDataError) as caught, prefixed_errors("/raw/pet.nii"):
        raise BadDataError(said)
    assert str(caught.value) == expected

"""An interface is what the annotations of its function say."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from nipype.interfaces.base import TraitError, isdefined

from bidsapp.core.grid.alignment import Matrix
from bidsapp.core.grid.volume import Volume
from bidsapp.interfaces.define import interface
from bidsapp.interfaces.store import fetch_volume, keep_volume
from bidsapp.interfaces.transfer import Arrays, Tables

IMAGE = Volume(np.arange(24, dtype=np.float32).reshape(2, 3, 4), np.diag([2.0, 3.0, 4.0, 1.0]))


@interface("image", "moves", "arrays", "table", "file", "nothing", always_run=True)
def Everything(
    image: Volume,
    moves: list[list[Matrix]],
    files: list[Path],
    numbers: dict[str, float],
    kind: Literal["a", "b"] = "b",
    times: float = 2.0,
    more: Volume | None = None,
) -> tuple[Volume, list[list[Matrix]], Arrays, Tables, Path, Volume | None]:
    """Take and give a value of every kind."""
    assert more is None and type(numbers) is dict
    Path("made.txt").write_text(kind + files[0].name)
    twice = Volume(times * image.data, image.affine)
    inverse = [[np.linalg.inv(move) for move in part] for part in moves]
    return twice, inverse, {"data": image.data}, numbers, Path("made.txt"), more


@interface("left", "right")
def Named(**images: Path) -> tuple[str, ...]:
    """Take inputs by any name."""
    return tuple(f"{key} {path.name}" for key, path in images.items())


@dataclass(frozen=True, eq=False)
class Half:
    """Part of what `Placed` holds."""

    left: Volume
    right: Volume


@dataclass(frozen=True, eq=False)
class Placed:
    """Images that belong together, some of which a scan may lack."""

    middle: Volume
    move: Matrix
    half: Half | None = None


@interface("total")
def Total(head: Placed, scale: float = 1.0) -> float:
    """Sum what was given."""
    assert head.move.shape == (4, 4)
    images = [head.middle] + ([head.half.left, head.half.right] if head.half else [])
    return scale * float(sum(image.data.sum() for image in images))


def made(folder, **inputs):
    path = keep_volume(folder / "in.npz", IMAGE)
    moves = [[np.diag([2.0, 2.0, 2.0, 1.0]).tolist()], []]
    return Everything(image=path, moves=moves, files=[path], numbers={"n": 1.5}, **inputs)


def test_values_come_as_they_went(tmp_path):
    node = tmp_path / "node"
    node.mkdir()
    found = made(tmp_path, more=None).run(cwd=str(node)).outputs
    assert np.array_equal(fetch_volume(found.image).data, 2 * IMAGE.data)
    assert found.moves == [[np.diag([0.5, 0.5, 0.5, 1.0]).tolist()], []]
    assert Path(found.table).read_text() == '{"n": 1.5}'
    assert Path(found.file).read_text() == "bin.npz"
    assert {Path(one).parent for one in (found.image, found.arrays, found.file)} == {node}
    assert not isdefined(found.nothing)


def test_what_does_not_fit_is_refused(tmp_path):
    with pytest.raises(TraitError, match="existing file"):
        made(tmp_path, more=str(tmp_path / "gone.npz"))
    with pytest.raises(TraitError, match="'a' or 'b'"):
        made(tmp_path, kind="c")
    with pytest.raises(ValueError, match="requires a value for input 'image'"):
        Everything().run()


def test_a_dataclass_with_images_is_an_input_per_field(tmp_path):
    path, move = keep_volume(tmp_path / "in.npz", IMAGE), np.eye(4).tolist()
    node = Total(middle=path, move=move)
    assert node.run().outputs.total == IMAGE.data.sum()
    node.inputs.left = node.inputs.right = path
    assert pickle.loads(pickle.dumps(node)).run().outputs.total == 3 * IMAGE.data.sum()
    with pytest.raises(ValueError, match="requires a value for input 'middle'"):
        Total(move=move).run()
    with pytest.raises(TypeError, match="two inputs are called left"):
        interface("total")(_two_halves)


def _two_halves(half: Half, left: float) -> float:
    raise NotImplementedError


def test_inputs_by_any_name(tmp_path):
    one = tmp_path / "one.txt"
    one.touch()
    step = Named(["first", "second"], first=str(one))
    step.inputs.second = str(one)
    found = pickle.loads(pickle.dumps(step)).run().outputs
    assert (found.left, found.right) == ("first one.txt", "second one.txt")

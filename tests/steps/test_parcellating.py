"""Parcellations of two real heads: of this head or of another, and what PET measures in them."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from bidsapp.core.grid.volume import Volume
from bidsapp.data import mni_grid
from bidsapp.data.atlases import atlas, chosen_atlases
from bidsapp.data.freesurfer import freesurfer_rows
from bidsapp.data.reference_regions import chosen_references
from bidsapp.errors import UsageError
from bidsapp.settings import AtlasFile, ParcellationChoice, Processing, ReferenceChoice
from bidsapp.steps.head import HeadTissues
from bidsapp.steps.measuring import AtlasSpace, check_options, measure_atlases, template_space
from bidsapp.steps.parcellating import accept

GREY, WHITE = (3, 8, 42, 47, 10, 11, 12, 17, 18, 49, 50, 51, 53, 54), (2, 7, 16, 41, 46)
PROGRAM = {"space": "T1w", "program": "freesurfer"}
REFERENCES = (
    ReferenceChoice("cbl", "FreeSurferDK", ("Left-Cerebellum-Cortex", "47")),
    ReferenceChoice("white", "FreeSurferDK", ("2", "41"), erode_mm=3.0),
)


class Head:
    """Labels of a head every second voxel, as FreeSurfer writes them, and what a T1w says of it."""

    def __init__(self, shared_data, folder, name):
        image = nib.load(shared_data / "heads" / f"sub-{name}_dseg.nii.gz")
        labels = np.asarray(image.dataobj)[::2, ::2, ::2].astype(np.int32)
        labels[labels >= 200] = 0
        affine = image.affine @ np.diag([2.0, 2, 2, 1])
        self.brain = Volume(ndimage.binary_closing(labels > 0, iterations=2), affine)
        # a cortex of two regions a side, front and back, as aparc has them
        y = self.brain.grid.world()[..., 1]
        place = y > np.median(y[labels > 0])
        for cortex, side in ((3, 1000), (42, 2000)):
            labels[(labels == cortex) & place] = side + 28
            labels[(labels == cortex) & ~place] = side + 11
        self.labels = labels
        numbers = np.where(labels >= 1000, 3, labels)
        rng = np.random.default_rng(0)
        maps = [np.isin(numbers, GREY), np.isin(numbers, WHITE)]
        maps.append((numbers > 0) & ~maps[0] & ~maps[1])
        blurred = [ndimage.gaussian_filter(one.astype(float), 0.5) for one in maps]
        noisy = np.stack(blurred, -1) + rng.normal(0, 0.1, (*labels.shape, 3))
        maps = np.moveaxis(np.clip(noisy, 0, 1).astype(np.float32), -1, 0)
        self.tissues = HeadTissues(*(Volume(one, affine) for one in maps), self.brain)
        self.path = folder / f"{name}_aparc+aseg.mgz"
        nib.MGHImage(labels, affine).to_filename(self.path)

    def accepted(self, *paths, references=REFERENCES, **kind):
        """Options of a scan of this head with parcellations from files."""
        own = ParcellationChoice("FreeSurferDK", own=self.path.parent, **(kind or PROGRAM))
        run = Processing(derivatives=(own,), reference_regions=references)
        found = [AtlasFile("FreeSurferDK", path, **(kind or PROGRAM)) for path in paths]
        return accept(found, self.tissues, run)

    def space(self):
        """The space of the T1w; the template does not matter here."""
        grid = self.brain.grid

        def place(regions):
            return regions.on(grid.shape, np.full(int(np.prod(grid.shape)), -1))

        def own(other):
            assert other.shape == grid.shape
            return np.arange(int(np.prod(grid.shape)))

        return AtlasSpace(grid, place, {}, own)


@pytest.fixture(scope="module")
def heads(shared_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parcellations")
    return [Head(shared_data, folder, name) for name in ("S02", "S04")]


def test_suvrs_are_the_means_of_numpy(heads):
    for head in heads:
        own, flags = head.accepted(head.path)
        assert flags == ()
        pet = np.random.default_rng(3).gamma(20, 300, head.labels.shape).astype(np.float32)
        found = measure_atlases(pet, head.space(), processing=own, equations={})
        table = found.columns["FreeSurferDK"]
        cbl = pet[np.isin(head.labels, (8, 47))].astype(float).mean()
        assert found.references["cbl"].mean == cbl
        at = {name: row for row, name in enumerate(table["name"])}
        for label in np.unique(head.labels)[1:]:
            [name] = [row.name for row in freesurfer_rows([label]) if row.index == label]
            mean = pet[head.labels == label].astype(float).mean()
            assert table["suvr_cbl"][at[name]] == mean / cbl
        both = np.isin(head.labels, (1028, 2028))
        assert table["mean"][at["frontal"]] == pet[both].astype(float).mean()
        # what this head lacks is a row nevertheless
        assert table["n_voxels"][at["ctx-lh-insula"]] == 0
        assert table["mean"][at["ctx-lh-insula"]] is None
        white = ndimage.distance_transform_edt(np.isin(head.labels, (2, 41)), 2.0) > 3.0
        assert found.references["white"].mean == pet[white].astype(float).mean()


def test_labels_reach_the_template_by_the_field(heads):
    head = heads[0]
    own, _ = head.accepted(head.path)
    [one] = [a for a in chosen_atlases(own) if a.name == "FreeSurferDK"]
    moved = mni_grid(2).world() + np.array(
        [3.0, -7.0, 12.0]
    )  # T1w world of every voxel of the template
    regions = template_space({}, moved).placed(one.regions, one.grid)
    index = np.rint((moved - head.brain.affine[:3, 3]) @ np.linalg.inv(head.brain.affine[:3, :3]).T)
    inside = ((index >= 0) & (index < head.labels.shape)).all(-1)
    expected = np.zeros(mni_grid(2).shape, int)
    expected[inside] = head.labels[tuple(index[inside].astype(int).T)]
    labels = regions.labelled([row.index for row in one.rows])
    assert (labels == expected).all() and labels.any()


def test_another_head_is_refused_whichever_way(heads):
    one, two = heads
    for other, head in ((two, one), (one, two)):
        own, [flag, *_] = head.accepted(other.path)
        assert "FreeSurferDK" not in [a.name for a in chosen_atlases(own)]
        assert flag.code == "parcellation-refused" and other.path.name in flag.message
        assert "another head" in flag.message and "regions were not measured" in flag.message
        # the scan goes on without what rests on it
        assert [r.regions.voxels.size for r in chosen_references(own) if r.name == "cbl"] == [0]


@pytest.mark.parametrize("change", ["moved", "mirrored", "torn", "empty", "fractions", "gone"])
def test_what_is_not_a_parcellation_of_this_head_is_told(heads, tmp_path, change):
    head = heads[0]
    labels, affine, path = head.labels.copy(), head.brain.affine.copy(), tmp_path / "x_dseg.nii.gz"
    if change == "moved":
        affine[1, 3] += 4
    if change == "mirrored":
        labels = labels[::-1]
    if change == "empty":
        labels[:] = 0
    values = labels + 0.3 if change == "fractions" else labels
    if change != "gone":
        nib.Nifti1Image(values.astype(np.float32), affine).to_filename(path)
    if change == "torn":
        path.write_bytes(path.read_bytes()[:-5000])
    own, flags = head.accepted(path)
    assert [a.name for a in chosen_atlases(own)] == ["Centiloid", "DesikanKilliany"]
    assert flags[0].code == "parcellation-refused"
    message = flags[0].message
    assert "/".join(path.parts[-3:]) in message and str(tmp_path) not in message


def test_sides_that_the_table_exchanges_are_told(heads, tmp_path):
    head = heads[0]
    pairs = {2: 41, 41: 2, 8: 47, 47: 8, 17: 53, 53: 17}
    swapped = np.zeros_like(head.labels)
    for old, new in pairs.items():
        swapped[head.labels == old] = new
    path = tmp_path / "swapped_dseg.nii.gz"
    nib.Nifti1Image(swapped, head.brain.affine).to_filename(path)
    _, flags = head.accepted(path)
    assert "left and right are exchanged" in flags[0].message


def test_own_labels_without_a_program_and_a_structure_that_a_head_lacks(heads, tmp_path):
    head = heads[0]
    path = tmp_path / "own_dseg.nii.gz"
    nib.Nifti1Image(head.labels, head.brain.affine).to_filename(path)
    lacking = (ReferenceChoice("odd", "FreeSurferDK", ("label-999",)),)
    own, flags = head.accepted(path, references=lacking, space="T1w")
    assert [flag.code for flag in flags] == ["reference-empty"]
    names = [row.name for row in atlas(own.derivatives[0]).rows]
    assert names == [f"label-{number}" for number in np.unique(head.labels) if number]


def test_names_that_no_parcellation_has_are_refused_at_once(tmp_path):
    own = ParcellationChoice("FreeSurferDK", own=tmp_path, **PROGRAM)
    wrong = ReferenceChoice("cbl", "FreeSurferDK", ("Left-Cerebelum-Cortex",))
    with pytest.raises(UsageError, match="Left-Cerebellum-Cortex"):
        check_options(Processing(derivatives=(own,), reference_regions=(wrong,)))
    check_options(Processing(derivatives=(own,), reference_regions=REFERENCES))

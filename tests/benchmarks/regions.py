"""How long the regions of atlases take: the numbers of docs/atlases.md.

    python tests/benchmarks/regions.py

Measures one image in all atlases of the package with two reference regions more, and 60 frames
in 400 labels, as a workflow would; random images, since time does not depend on what they hold.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from bidsapp.core.quantification.centiloid import Equation
from bidsapp.core.regions.regions import Regions, region_means, region_statistics
from bidsapp.data import mni_grid, priors
from bidsapp.data.atlases import atlas, atlas_names
from bidsapp.settings import AtlasChoice, Processing, ReferenceChoice
from bidsapp.steps.measuring import measure_atlases, template_space

FRAMES, LABELS = 60, "Schaefer400"


def all_atlases() -> dict[str, float]:
    """Seconds to read every atlas and to measure one scan in all of them."""
    grid = mni_grid(2)
    image = np.random.default_rng(0).gamma(5, 1000, grid.shape).astype(np.float32)
    tissues = {"GM": priors().maps[0], "WM": priors().maps[1]}
    processing = Processing(
        atlases=tuple(map(AtlasChoice, atlas_names())),
        reference_regions=tuple(map(ReferenceChoice, ("cgeroded", "wm"))),
    )
    start = time.perf_counter()
    regions = {name: len(atlas(name).names) for name in atlas_names()}
    read = time.perf_counter()
    space = template_space(tissues)
    equations = {"wc": Equation(100.0, -100.0, "wc", "", "", 0)}
    measure_atlases(image, space, processing=processing, equations=equations)
    end = time.perf_counter()
    print(f"{len(regions)} atlases, {sum(regions.values())} regions with composites")
    return {"all atlases read": read - start, "all atlases, one scan": end - read}


def many_frames() -> dict[str, float]:
    """Seconds for the time-activity curves of 400 labels over 60 frames, and for one frame."""
    labels = atlas(LABELS).labels
    shape = (*labels.shape, FRAMES)
    frames = np.random.default_rng(0).random(shape, dtype=np.float32)
    start = time.perf_counter()
    curves = region_means(frames, Regions.from_labels(labels, range(1, int(labels.max()) + 1)))
    curves_s = time.perf_counter() - start
    start = time.perf_counter()
    masks = [frames[..., 0][labels == value].mean() for value in range(1, 21)]
    one_by_one = (time.perf_counter() - start) * 20 * FRAMES
    assert np.allclose(curves[:20, 0], masks)
    start = time.perf_counter()
    region_statistics(frames[..., 0], Regions.from_labels(labels, range(1, 401)), mni_grid(2))
    return {
        f"{len(curves)} labels, {FRAMES} frames": curves_s,
        "the same, one mask per label and frame (extrapolated)": one_by_one,
        "all statistics of 400 labels, one frame": time.perf_counter() - start,
    }


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    for what, seconds in {**all_atlases(), **many_frames()}.items():
        print(f"{what}: {seconds:.2f} s")

"""The documentation builds without network and without a warning, and its examples run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
FROM_ELSEWHERE = re.compile(r"<(?:script|link rel=.stylesheet.|img)[^>]* (?:src|href)=.https?:")
SAID = {  # what an example prints, the right value, and how far it may be
    "quantify_phantom": (r"(\S+) CL, scanned", 60, 2),
    "segment_phantom": (r"placed (\S+) mm", 0, 1),
}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | ONE_THREAD | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True
    )


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    site = tmp_path / "site"
    options = ["-q", "-W", "--keep-going", "-b", "html", "-d", str(tmp_path / "trees")]
    built = run("-m", "sphinx", *options, ROOT / "docs", site, cwd=tmp_path)
    assert built.returncode == 0, built.stderr
    assert (site / "index.html").is_file()
    api = "".join(page.read_text() for page in (site / "made" / "api").glob("*.html"))
    for name in ("quantify", "choose_frames", "propagate", "segment_head", "suvr_over_anatomy"):
        assert f'.{name}"' in api
    examples = [page.stem for page in (site / "made" / "examples").glob("*.html")]
    assert sorted(examples) == [script.stem for script in EXAMPLES]
    asking = [page.name for page in site.rglob("*.html") if FROM_ELSEWHERE.search(page.read_text())]
    assert asking == []


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * ("phantom" in path.stem))
        for path in EXAMPLES
    ],
)
def test_examples_run_and_make_a_picture(script, tmp_path):
    done = run(script, tmp_path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (picture,) = tmp_path.iterdir()
    assert picture.name == f"{script.stem}.svg" and str(picture) in done.stdout
    if script.stem in SAID:
        pattern, truth, most = SAID[script.stem]
        assert float(re.search(pattern, done.stdout)[1]) == pytest.approx(truth, abs=most)
    drawing = ElementTree.parse(picture).getroot()
    assert drawing.tag.endswith("svg") and len(drawing) > 3

"""docs/from: ten programs of a peer beside ours. Ours run in test_examples; theirs run here, under the peer's own names."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools import from_pages

PAGES = sorted(from_pages.PAGES.glob("*.md"))
# The page, the kind of its blocks that run under our names, and what comes before and after them.
THEIRS = [
    (
        "ray.md",
        "ray",
        "import daybreak.compat.ray as c; c.install(); import ray; ray.init(num_cpus=2)",
        "ray.shutdown()",
    ),
    (
        "ray-tune.md",
        "raytune",
        "import daybreak.compat.ray as c; c.install(); import ray, tempfile; ray.init(num_cpus=2); folder = tempfile.mkdtemp()",
        "ray.shutdown()",
    ),
    ("pywren.md", "pywren", "import daybreak.compat.pywren as c; c.install(); import pywren", ""),
    (
        "numpywren.md",
        "numpywren",
        "import os, tempfile; os.environ['DAYBREAK_NUMPYWREN_FOLDER'] = tempfile.mkdtemp();"
        " import daybreak.compat.numpywren as c; c.install()",
        "",
    ),
    ("stable-baselines3.md", "sb3", "import daybreak.compat.stable_baselines3 as c; c.install()", ""),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_ten_programs_and_a_table_of_today(page: Path) -> None:
    text = page.read_text()
    sections = re.split(r"^## \d+\. .*$", text.split("\n## The table")[0], flags=re.MULTILINE)[1:]
    assert len(sections) >= 10
    for number, section in enumerate(sections, 1):
        kinds = re.findall(r"^```(\S+)$", section, re.MULTILINE)
        assert len(kinds) == 2 and kinds[1] in ("python", "sh") and kinds[0] != kinds[1], (number, kinds)
    assert from_pages.written(text) == text, "python -m tools.from_pages --write"


@pytest.mark.parametrize(("page", "kind", "before", "after"), THEIRS, ids=lambda value: str(value)[:20])
def test_the_programs_of_the_peer_run_as_they_stand(
    tmp_path: Path, page: str, kind: str, before: str, after: str
) -> None:
    blocks = re.findall(rf"^```{kind}\n(.*?)^```$", (from_pages.PAGES / page).read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 6
    script = tmp_path / "theirs.py"
    script.write_text("\n".join([before, *blocks, after]))
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]

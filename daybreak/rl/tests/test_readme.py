"""What the room's README shows runs as it stands, copied and pasted."""

import os
import pathlib
import re
from typing import Any

import pytest

ROOM = pathlib.Path(__file__).resolve().parents[1]
BLOCKS = [
    pytest.param(block, id=f"{path.parent.name}-{i}")
    for path in (ROOM / "README.md", ROOM / "envs" / "README.md")
    for i, block in enumerate(re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL))
]


@pytest.mark.parametrize("block", BLOCKS)
def test_what_the_readme_shows_runs(block: str, tmp_path: pathlib.Path) -> None:
    here = pathlib.Path.cwd()
    os.chdir(tmp_path)
    try:
        names: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(block, "README.md", "exec"), names)
    finally:
        os.chdir(here)

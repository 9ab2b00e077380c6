"""What a how-to page tells contributors to do is done, as it is written there, in a copy of the repository."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tools.scratch import copy_of_the_repository

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "howto" / "peer.md"


def block(kind: str) -> tuple[str, str]:
    """The page's block of this language: the file that its first line names ("" for none), and the text."""
    [text] = re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    named = re.match(r"# (\S+\.py)\n", text)
    return (named[1], text[named.end() :]) if named else ("", text)


def test_the_page_about_peers_adds_one_that_is_measured(tmp_path: Path) -> None:
    copy = copy_of_the_repository(tmp_path)
    for built in (ROOT / "daybreak").glob("_core*.so"):
        (copy / "daybreak" / built.name).symlink_to(built)
    name, text = block("python")
    (copy / name).write_text(text.replace('["numpy", "cloudpickle"]', "[]"))  # what our own environment has
    name, command = block("sed")
    subprocess.run(["sed", "-i", command.strip(), name], cwd=copy, check=True)
    assert '"threads"' in (copy / name).read_text()
    words = block("sh")[1].split()
    assert words[:2] == ["./dev", "bench"]
    done = subprocess.run(
        [sys.executable, "-m", "bench.harness", *words[2:], "--rounds", "1"],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    written = copy / "out" / "bench" / "runtime.json"
    assert written.exists(), done.stdout + done.stderr
    [row] = json.loads(written.read_text())["rows"]
    assert (row["name"], row["peer"]) == ("tasks_sync", "threads") and row["theirs"] > 0 and row["ours"] > 0, row

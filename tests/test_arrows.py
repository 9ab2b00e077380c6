"""The layer check itself: what it must find."""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location("arrows", ROOT / "tools" / "arrows.py")
assert spec and spec.loader
arrows = importlib.util.module_from_spec(spec)
sys.modules["arrows"] = arrows
spec.loader.exec_module(arrows)


def tree(root: Path, files: dict[str, str]) -> list[str]:
    for name, text in files.items():
        path = root / "daybreak" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return arrows.problems_of(root)


def test_declared_arrows_that_go_down_are_fine(tmp_path: Path) -> None:
    files = {
        "base/CMakeLists.txt": "daybreak_room(base LINK fmt::fmt)",
        "rl/CMakeLists.txt": "daybreak_room(rl USES base tensor LINK x::y)",
        "tensor/CMakeLists.txt": "# a comment\ndaybreak_room(tensor USES base)",
        "rl/ppo.cc": '#include "daybreak/rl/ppo.h"\n#include "daybreak/tensor/view.h"\n#include <vector>\n',
        "rl/bind.cc": '#include <nanobind/nanobind.h>\n#include "daybreak/base/bind.h"\n',
        "sealed/CMakeLists.txt": "daybreak_room(sealed USES frame)",
    }
    assert tree(tmp_path, files) == []


def test_an_undeclared_include_is_found_with_its_line(tmp_path: Path) -> None:
    files = {"rl/CMakeLists.txt": "daybreak_room(rl USES base)", "rl/ppo.cc": '\n#include "daybreak/tensor/view.h"\n'}
    (problem,) = tree(tmp_path, files)
    assert problem.startswith("daybreak/rl/ppo.cc:2: daybreak/tensor/view.h: 'rl' does not say USES tensor")


def test_an_arrow_up_or_sideways_is_found(tmp_path: Path) -> None:
    up, sideways = tree(
        tmp_path,
        {
            "base/CMakeLists.txt": "daybreak_room(base USES rl)",
            "track/CMakeLists.txt": "daybreak_room(track USES tune)",
            "tune/CMakeLists.txt": "daybreak_room(tune USES track)",
        },
    )
    assert "'base' (floor 1) uses 'rl' (floor 4)" in up
    assert "'track' (floor 4) uses 'tune' (floor 4)" in sideways


def test_python_in_the_core_and_private_headers_are_found(tmp_path: Path) -> None:
    files = {
        "rl/CMakeLists.txt": "daybreak_room(rl USES tensor)",
        "rl/a.cc": "#include <Python.h>\n",
        "rl/b.cc": '#include "daybreak/tensor/internal/x.h"\n',
        "rl/python/c.cc": "#include <nanobind/nanobind.h>\n",
    }
    python, private = tree(tmp_path, files)
    assert "Python.h outside bind.cc" in python
    assert "private to 'tensor'" in private


def test_a_room_without_a_declaration_is_found(tmp_path: Path) -> None:
    assert len(tree(tmp_path, {"odd/x.cc": ""})) == 1
    assert len(tree(tmp_path, {"named/CMakeLists.txt": "daybreak_room(other)"})) == 3

"""The layer check itself: what it must find."""

import builtins
import importlib.util
import subprocess
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
            "track/CMakeLists.txt": "daybreak_room(track USES serve)",
            "tune/CMakeLists.txt": "daybreak_room(tune USES track)",
        },
    )
    assert "'base' (floor 1) uses 'rl' (floor 4)" in up
    assert "'track' (floor 4) uses 'serve' (floor 4)" in sideways


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


def test_python_arrows_that_go_down_are_fine(tmp_path: Path) -> None:
    files = {
        "serve/__init__.py": "from daybreak import runtime\nfrom daybreak.base import errors\nfrom .a import b\n",
        "serve/a.py": "import daybreak\n\n\ndef b():\n    return daybreak.init, daybreak.__version__, daybreak._core\n",
        "demo/x.py": "from daybreak import serve, track\nfrom daybreak._core import net\n",
        "base/errors.py": "from .. import _core\n",
    }
    assert tree(tmp_path, files) == []


def test_a_python_arrow_up_or_sideways_is_found_wherever_it_hides(tmp_path: Path) -> None:
    files = {
        "base/a.py": "from daybreak import Error, get\n",
        "grant/b.py": "def f():\n    from daybreak.serve import gate\n",
        "rl/c.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..track import Run\n",
        "serve/d.py": "def f():\n    import daybreak as d\n    return d.track.run\n",
        "tensor/e.py": "from daybreak._core import net\n",
        "net/f.py": "import daybreak.runtime.api\n",
    }
    found = tree(tmp_path, files)
    assert [(problem.split(": ")[0], problem.split("'")[3]) for problem in found] == [
        ("daybreak/base/a.py:1", "runtime"),
        ("daybreak/grant/b.py:2", "serve"),
        ("daybreak/net/f.py:1", "runtime"),
        ("daybreak/rl/c.py:3", "track"),
        ("daybreak/serve/d.py:3", "track"),
        ("daybreak/tensor/e.py:1", "net"),
    ]


def test_a_circle_inside_a_room_is_found_also_when_types_alone_close_it(tmp_path: Path) -> None:
    files = {
        "rl/a.py": "from daybreak.rl import b\n",
        "rl/b.py": "from .c import thing\n",
        "rl/c.py": "TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from daybreak.rl.a import A\n",
        "track/a.py": "from daybreak.track.b import x\n",
        "track/b.py": "def later():\n    from daybreak.track import a\n",
    }
    (problem,) = tree(tmp_path, files)
    assert problem.startswith("a circle of imports: daybreak.rl.a -> daybreak.rl.b -> daybreak.rl.c -> daybreak.rl.a")


def test_every_other_list_of_rooms_is_held_against_the_floors(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.importlinter]\n[[tool.importlinter.contracts]]\nlayers = ["rl", "base"]\n'
    )
    (tmp_path / "ARCHITECTURE.md").write_text("```\n1  base\n```\n")
    init = "_ROOMS = ('rl',)\nif False:\n    from daybreak import rl\n"
    found = tree(tmp_path, {"rl/__init__.py": "", "base/__init__.py": "", "__init__.py": init})
    assert [problem.split(":")[0] for problem in found] == [
        "daybreak/__init__.py",
        "daybreak/__init__.py",
        "pyproject.toml",
        "ARCHITECTURE.md",
        "ARCHITECTURE.md",
        "ARCHITECTURE.md",
    ]
    assert "among the rooms, - `rl`: and what it holds" in found[-1]
    assert 'write _ROOMS = ("base", "rl")' in found[0]
    assert arrows.list_problems(ROOT) == []


def test_cmake_adds_the_rooms_in_the_order_of_the_floors(tmp_path: Path) -> None:
    """By the lines of CMakeLists.txt themselves."""
    text = (ROOT / "CMakeLists.txt").read_text()
    lines = [line for line in text.splitlines() if "floors" in line and line.startswith(("file(", "string("))]
    assert len(lines) == 2
    script = tmp_path / "order.cmake"
    read = lines[0].replace("tools/floors.txt", str(ROOT / "tools" / "floors.txt"))
    script.write_text(f'{read}\n{lines[1]}\nforeach(room ${{floors}})\nmessage("${{room}}")\nendforeach()\n')
    done = subprocess.run(["cmake", "-P", str(script)], capture_output=True, text=True, check=True)
    assert done.stderr.split() == [room for rooms in arrows.STORIES for room in rooms]


def test_a_star_import_replaces_no_builtin_and_no_module_of_the_standard_library() -> None:
    namespace: dict[str, object] = {}
    exec("from daybreak import *", namespace)
    brought = set(namespace) - {"__builtins__"}
    assert {"init", "rl", "net"} <= brought
    assert not brought & (set(dir(builtins)) | set(sys.stdlib_module_names))
    assert not {"os", "map"} & brought

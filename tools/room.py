"""Makes the skeleton of a room, which builds, tests and lints as it is: `./dev room NAME --floor N`.

It writes daybreak/NAME/ (README, CMakeLists.txt, C++ with its binding, the Python face, a test of each) and NAME into every list of
rooms: tools/floors.txt, daybreak/__init__.py, pyproject.toml, ARCHITECTURE.md, daybreak/_core/. Then replace what it says.
"""

from __future__ import annotations

import argparse
import builtins
import json
import keyword
import re
import sys
from pathlib import Path

from tools import arrows

ROOT = Path(__file__).resolve().parent.parent
MAX_LINE = 120  # of code, as ruff formats it

FILES = {
    "README.md": """\
# NAME: what it is for, in one line

What it does and for whom. How it is used:

```python
from daybreak import NAME

print(NAME.greeting("world"))
```

## How it works

## Numbers

## Limits

- A name has 1 to 100 bytes.
""",
    "CMakeLists.txt": "daybreak_room(NAME USES base)\n",
    "__init__.py": '''\
"""What NAME is for, in one line.

>>> from daybreak import NAME
>>> NAME.greeting("world")
'hello, world'
"""

from daybreak._core.NAME import greeting

__all__ = ["greeting"]
''',
    "greeting.h": """\
// What is in this file, who owns what it holds, and which thread may call it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "daybreak/base/error.h"

namespace daybreak::NAME {

inline constexpr std::size_t kMaxNameBytes = 100;

// "hello, " and the name. kInvalidArgument unless the name has 1 to kMaxNameBytes bytes. Any thread.
base::Result<std::string> greeting(std::string_view name);

}  // namespace daybreak::NAME
""",
    "greeting.cc": """\
#include "daybreak/NAME/greeting.h"

#include <fmt/format.h>

namespace daybreak::NAME {

base::Result<std::string> greeting(std::string_view name) {
  if (name.empty() || name.size() > kMaxNameBytes) {
    return base::fail(base::Code::kInvalidArgument, "a name of {} bytes: 1 to {} expected", name.size(), kMaxNameBytes);
  }
  return fmt::format("hello, {}", name);
}

}  // namespace daybreak::NAME
""",
    "bind.cc": """\
// NAME's part of daybreak._core.
#include "daybreak/base/bind.h"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>

#include <string_view>

#include "daybreak/NAME/greeting.h"

namespace nb = nanobind;
namespace base = daybreak::base;

void bind_NAME(nb::module_& m) {
  m.def(
      "greeting", [](std::string_view name) { return base::value_or_raise(daybreak::NAME::greeting(name)); },
      nb::arg("name"), "A greeting. InvalidArgumentError unless the name has 1 to 100 bytes.");
}
""",
    "tests/greeting_test.cc": """\
#include "daybreak/NAME/greeting.h"

#include <gtest/gtest.h>

#include <string>

namespace daybreak::NAME {
namespace {

TEST(Greeting, is_of_the_name) {
  EXPECT_EQ(*greeting("world"), "hello, world");
}

TEST(Greeting, of_no_name_or_one_beyond_the_limit_is_refused) {
  EXPECT_TRUE(greeting(std::string(kMaxNameBytes, 'x')).has_value());
  for (const std::size_t size : {std::size_t{0}, kMaxNameBytes + 1}) {
    const auto refused = greeting(std::string(size, 'x'));
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code(), base::Code::kInvalidArgument);
  }
}

}  // namespace
}  // namespace daybreak::NAME
""",
    "tests/test_NAME.py": """\
import pytest

from daybreak import NAME
from daybreak.base import errors


def test_a_greeting_is_of_the_name() -> None:
    assert NAME.greeting("world") == "hello, world"


def test_a_name_beyond_the_limit_is_refused_with_the_limit() -> None:
    with pytest.raises(errors.InvalidArgumentError, match="101 bytes: 1 to 100"):
        NAME.greeting("x" * 101)
""",
}
# As tools/stubs.py writes it.
STUB = '''\
def greeting(name: str) -> str:
    """A greeting. InvalidArgumentError unless the name has 1 to 100 bytes."""
'''


def problem_of(name: str, floor: int | None, root: Path) -> str:
    """Why there can be no such room, "" when there can."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{1,30}", name) or name.startswith("_") or keyword.iskeyword(name):
        return f"{name!r}: a room's name is 2 to 31 of a-z, 0-9 and _, and no keyword"
    planned = arrows.FLOORS.get(name)
    if planned is None and (name in sys.stdlib_module_names or hasattr(builtins, name)):
        return (
            f"{name!r} is a builtin or a module of the standard library, which `from daybreak import *` would replace"
        )
    if (root / "daybreak" / name).exists():
        return f"daybreak/{name} is there"
    if planned is None and floor is None:
        return f"on which floor? --floor 2 to {len(arrows.STORIES)}: one above all rooms that it will use"
    if planned is not None and floor not in (None, planned):
        return f"tools/floors.txt has {name!r} on floor {planned}, not {floor}"
    if not 2 <= (planned or floor or 0) <= len(arrows.STORIES):
        return f"--floor {floor}: 2 to {len(arrows.STORIES)} expected; the ground floor is base"
    return ""


def replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    if text.count(old) != 1:
        raise SystemExit(
            f"{path}: {old!r} is there {text.count(old)} times, once expected: write {new!r} there yourself"
        )
    path.write_text(text.replace(old, new))


def add_to_lists(name: str, floor: int, root: Path) -> None:
    floors = root / "tools" / "floors.txt"
    before = arrows.read_floors(floors.read_text())
    after = [list(rooms) for rooms in before]
    if name not in after[floor - 1]:
        after[floor - 1].append(name)
        replaced(floors, "\n" + " ".join(before[floor - 1]) + "\n", "\n" + " ".join(after[floor - 1]) + "\n")
        for old, new in zip(arrows.layers(before), arrows.layers(after), strict=True):
            if old != new:
                replaced(root / "pyproject.toml", json.dumps(old), json.dumps(new))
        old_house, new_house = (arrows.house(rooms)[len(before) - floor] for rooms in (before, after))
        replaced(root / "ARCHITECTURE.md", f"\n{old_house}\n", f"\n{new_house}\n")
    replaced(root / "ARCHITECTURE.md", "\n\n## Errors\n", f"\n- `{name}`: what it holds\n\n## Errors\n")
    init = root / "daybreak" / "__init__.py"
    there = [room for rooms in after for room in rooms if (root / "daybreak" / room / "__init__.py").exists()]
    text = re.sub(r"^_ROOMS = \(.*?\)$", lambda _: arrows.rooms_line(there), init.read_text(), flags=re.M | re.S)
    types = f"    from daybreak import {', '.join(sorted(there))}"
    if len(types) > MAX_LINE:
        types = "\n".join(["    from daybreak import (", *(f"        {each}," for each in sorted(there)), "    )"])
    there_now = re.compile(r"^    from daybreak import (\(.*?\)|[^(\n]*)$", re.M | re.S)
    init.write_text(there_now.sub(lambda _: types, text))
    stubs = root / "daybreak" / "_core"
    names = sorted({name, *(path.stem for path in stubs.glob("[a-z]*.pyi"))})
    lines = ",\n".join(f"    {one} as {one}" for one in names)
    (stubs / "__init__.pyi").write_text(f"from daybreak._core import (\n{lines}\n)\n")
    (stubs / f"{name}.pyi").write_text(STUB)


def make(name: str, floor: int | None, root: Path = ROOT) -> None:
    wrong = problem_of(name, floor, root)
    if wrong:
        raise SystemExit(f"room: {wrong}")
    for file, text in FILES.items():
        path = root / "daybreak" / name / file.replace("NAME", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("NAME", name))
    add_to_lists(name, arrows.FLOORS.get(name) or floor or 0, root)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="./dev room", description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument(
        "--floor", type=int, help="one above all rooms that it will use; not needed for one that is planned"
    )
    arguments = parser.parse_args()
    make(arguments.name, arguments.floor)
    print(f"daybreak/{arguments.name}/ is there: ./dev test {arguments.name}, ./dev lint, and commit it")
    print("say what it holds in ARCHITECTURE.md, and which rooms it USES in its CMakeLists.txt")

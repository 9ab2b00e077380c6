"""Takes the compiled part of Daybreak from a wheel instead of compiling it: who works on Python alone needs no compiler.

python tools/core.py WHEEL     _core and what it needs beside it, into this checkout; the mark below says where it came from
python tools/core.py --forget  takes it out again

The wheel must be for this Python, and of sources with the same bindings: the stubs in it are held against the committed ones.
"""

from __future__ import annotations

import shutil
import sys
import sysconfig
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MARK = Path("daybreak") / ".core-from-wheel"
LIBRARIES = "daybreak.libs/"  # auditwheel's folder, which _core knows by a path from where it lies itself


def is_compiled(name: str, extension: str) -> bool:
    parts = name.split("/")
    return (
        name == extension
        or name.startswith(LIBRARIES)
        or (len(parts) == 4 and parts[0] == "daybreak" and parts[2] == "bin")
    )


def problem_of(wheel: Path, root: Path, suffix: str) -> str:
    """Why this checkout cannot take it; "" when it can."""
    if not wheel.is_file() or not zipfile.is_zipfile(wheel):
        return f"{wheel} is no wheel: ./dev wheel makes one where there is a compiler"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        if f"daybreak/_core{suffix}" not in names:
            there = [name for name in names if name.startswith("daybreak/_core.")]
            return f"{wheel.name} holds {there or 'no _core'}, this Python loads _core{suffix}: take the wheel of this Python"
        outside = [name for name in names if name.startswith("/") or ".." in name.split("/")]
        if outside:
            return f"{wheel.name} holds {outside[0]!r}, a path that leaves its folder"
        stubs = {
            name: archive.read(name) for name in names if name.startswith("daybreak/_core/") and name.endswith(".pyi")
        }
    ours = {
        path.relative_to(root).as_posix(): path.read_bytes() for path in (root / "daybreak" / "_core").glob("*.pyi")
    }
    differ = sorted(Path(name).stem for name in stubs.keys() | ours.keys() if stubs.get(name) != ours.get(name))
    if differ:
        return (
            f"the bindings of {', '.join(differ)} differ between {wheel.name} and this checkout: take a wheel of this commit, or "
            "compile"
        )
    return ""


def forget(root: Path) -> None:
    """Takes out what `take` put in."""
    mark = root / MARK
    if not mark.exists():
        return
    for line in mark.read_text().splitlines()[1:]:
        (root / line).unlink(missing_ok=True)
    shutil.rmtree(root / LIBRARIES, ignore_errors=True)
    mark.unlink()


def take(wheel: Path, root: Path, suffix: str) -> list[str]:
    """The paths of what was written."""
    forget(root)
    with zipfile.ZipFile(wheel) as archive:
        taken = [
            name
            for name in archive.namelist()
            if is_compiled(name, f"daybreak/_core{suffix}") and not name.endswith("/")
        ]
        (root / MARK).write_text("\n".join([wheel.name, *taken]) + "\n")
        for name in taken:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)  # a process may have the old one mapped
            path.write_bytes(archive.read(name))
            path.chmod(0o755)
    return taken


def main() -> int:
    if sys.argv[1:] == ["--forget"]:
        forget(ROOT)
        return 0
    if len(sys.argv) != 2:
        sys.exit("core: which wheel? ./dev core dist/daybreak-*.whl")
    wheel = Path(sys.argv[1])
    suffix = str(sysconfig.get_config_var("EXT_SUFFIX"))
    if why := problem_of(wheel, ROOT, suffix):
        sys.exit(f"core: {why}")
    taken = take(wheel, ROOT, suffix)
    print(f"_core of {wheel.name} is in place ({len(taken)} files); ./dev build compiles your own again")
    return 0


if __name__ == "__main__":
    sys.exit(main())

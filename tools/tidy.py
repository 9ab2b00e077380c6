"""clang-tidy over every source of the compile database but the tests, two at a time. A file whose text, headers, flags and checks
did not change since it was clean is not looked at again."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATABASE = ROOT / "build" / "tidy" / "compile_commands.json"
CLEAN = ROOT / "build" / "tidy" / "clean"
TIDY = "clang-tidy-19"
OUR_INCLUDE = re.compile(r'^\s*#\s*include\s*"(daybreak/[^"]+)"', re.MULTILINE)


def with_headers(path: Path, seen: dict[Path, bytes]) -> None:
    """Adds the file and every header of ours that it reaches."""
    if path in seen or not path.exists():
        return
    seen[path] = path.read_bytes()
    for include in OUR_INCLUDE.findall(seen[path].decode(errors="replace")):
        with_headers(ROOT / include, seen)


def key_of(entry: dict[str, str], version: str) -> str:
    files: dict[Path, bytes] = {}
    with_headers(Path(entry["file"]), files)
    digest = hashlib.sha256(version.encode() + (ROOT / ".clang-tidy").read_bytes() + entry["command"].encode())
    for path in sorted(files):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + files[path] + b"\0")
    return digest.hexdigest()


def check(entry: dict[str, str], version: str) -> tuple[str, str]:
    """The file and what clang-tidy found, "" for nothing."""
    mark = CLEAN / key_of(entry, version)
    name = str(Path(entry["file"]).relative_to(ROOT))
    if mark.exists():
        return name, ""
    headers = f"--header-filter=^{re.escape(str(ROOT / 'daybreak'))}/"
    command = [TIDY, "-p", str(DATABASE.parent), "--quiet", headers, entry["file"]]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        mark.touch()
        return name, ""
    return name, done.stdout + ("" if done.stdout.strip() else done.stderr)


def main() -> int:
    version = subprocess.run([TIDY, "--version"], capture_output=True, text=True, check=True).stdout
    CLEAN.mkdir(parents=True, exist_ok=True)
    ours = re.compile(re.escape(str(ROOT / "daybreak")) + r"/(?!.*/(tests|bench)/)")
    entries = [entry for entry in json.loads(DATABASE.read_text()) if ours.match(entry["file"])]
    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        found = [(name, text) for name, text in pool.map(lambda entry: check(entry, version), entries) if text]
    for name, text in found:
        print(f"{name}\n{text}")
    print(f"{len(entries)} files, {len(found)} with findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

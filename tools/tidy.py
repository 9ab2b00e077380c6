"""clang-tidy over every source of the compile database but the tests, and every header alone, so that each includes what it uses.

Headers of the libraries cost most of the time, so the sources of a room are looked at eight at a time. What was clean is
written down by its content: text, our headers that it reaches, flags, checks and clang-tidy's version; it is not looked at
again, in no clone. The record is a folder of empty files below ${XDG_CACHE_HOME:-~/.cache}/daybreak/tidy: delete it to look at
all again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATABASE = ROOT / "build" / "tidy" / "compile_commands.json"
CLEAN = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "daybreak" / "tidy"
TIDY = "clang-tidy-19"
BATCH = 8
OURS = ROOT / "daybreak"
NOT_LOOKED_AT = {"tests", "bench", "interleave"}
OUR_INCLUDE = re.compile(r'^\s*#\s*include\s*"(daybreak/[^"]+)"', re.MULTILINE)


@dataclass(frozen=True)
class Source:
    path: Path
    room: str
    flags: tuple[str, ...]  # of the compiler

    def key(self, version: str) -> str:
        files: dict[Path, bytes] = {}
        with_headers(self.path, files)
        flags = " ".join(self.flags).replace(str(ROOT), "")
        digest = hashlib.sha256(version.encode() + (ROOT / ".clang-tidy").read_bytes() + flags.encode())
        for path in sorted(files):
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + files[path] + b"\0")
        return digest.hexdigest()


def with_headers(path: Path, seen: dict[Path, bytes]) -> None:
    """Adds the file and every header of ours that it reaches."""
    if path in seen or not path.exists():
        return
    seen[path] = path.read_bytes()
    for include in OUR_INCLUDE.findall(seen[path].decode(errors="replace")):
        with_headers(ROOT / include, seen)


def sources(entries: list[dict[str, str]]) -> list[Source]:
    """Those of the database, and the headers of each room with the flags of its first source."""
    found: list[Source] = []
    flags_of: dict[tuple[str, bool], tuple[str, ...]] = {}
    for entry in entries:
        path = Path(entry["file"])
        if not path.is_relative_to(OURS) or NOT_LOOKED_AT & set(path.relative_to(OURS).parts):
            continue
        words = shlex.split(entry["command"])
        if "-DDAYBREAK_INTERLEAVE" in words:  # the runtime once more, under the interleaver
            continue
        compiler = next(i for i, word in enumerate(words) if "clang++" in word)
        flags = tuple(words[compiler + 1 : words.index("-o")])
        room = path.relative_to(OURS).parts[0]
        found.append(Source(path, room, flags))
        flags_of.setdefault((room, is_bound(path)), flags)
    for path in sorted(OURS.rglob("*.h")):
        if path.stem.endswith("_impl"):  # the inside of another file, once for each instruction level
            continue
        room, bound = path.relative_to(OURS).parts[0], is_bound(path)
        flags_here = flags_of.get((room, bound))
        if flags_here and not NOT_LOOKED_AT & set(path.relative_to(OURS).parts):
            found.append(Source(path, room, flags_here))
    return found


def is_bound(path: Path) -> bool:
    """A part of the extension module: with Python's headers."""
    return path.stem == "bind" or "python" in path.parts


def batches(dirty: list[Source]) -> Iterator[list[Source]]:
    """Sources of one room with equal flags, eight at a time; a header by itself."""
    for source in dirty:
        if source.path.suffix == ".h":
            yield [source]
    files = sorted((s for s in dirty if s.path.suffix != ".h"), key=lambda s: (s.room, s.flags, s.path))
    for (_, _, bound), group in groupby(files, key=lambda s: (s.room, s.flags, is_bound(s.path))):
        all_of = list(group)
        size = 1 if bound else BATCH  # bindings of one room share names
        yield from (all_of[i : i + size] for i in range(0, len(all_of), size))


def check(batch: list[Source], scratch: Path) -> str:
    """What clang finds in these files, "" for nothing."""
    unit = scratch / f"{batch[0].path.relative_to(ROOT)}".replace("/", "_")
    unit = unit.with_name(unit.name + ".cc")
    unit.write_text("".join(f'#include "{source.path.relative_to(ROOT)}"\n' for source in batch))
    flags = [*batch[0].flags, "-Wno-pragma-once-outside-header"]
    if batch[0].path.suffix == ".h":  # its findings come with the sources that include it; here: does it stand alone?
        command = ["clang++-19", *flags, "-fsyntax-only", "-w", str(unit)]
    else:
        ours = f"--header-filter=^{re.escape(str(OURS))}/"
        command = [TIDY, f"--config-file={ROOT / '.clang-tidy'}", "--quiet", ours, str(unit), "--", *flags]
    done = subprocess.run(command, capture_output=True, text=True, cwd=DATABASE.parent)
    if done.returncode == 0:
        return ""
    return done.stdout + ("" if done.stdout.strip() else done.stderr)


def main() -> int:
    version = subprocess.run([TIDY, "--version"], capture_output=True, text=True, check=True).stdout
    CLEAN.mkdir(parents=True, exist_ok=True)
    marks = {source: CLEAN / source.key(version) for source in sources(json.loads(DATABASE.read_text()))}
    dirty = [source for source, mark in marks.items() if not mark.exists()]
    findings = 0
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        work = list(batches(dirty))
        # Written down as it comes: who interrupts it goes on from there.
        for batch, text in zip(work, pool.map(lambda batch: check(batch, Path(scratch)), work), strict=True):
            findings += bool(text)
            if text:
                print(f"{' '.join(str(source.path.relative_to(ROOT)) for source in batch)}\n{text}")
            else:
                for source in batch:
                    marks[source].touch()
    print(f"{len(marks)} files, {len(dirty)} looked at, {findings} with findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())

"""Is the interleaver any good? Plants bugs in the runtime, one at a time, and says how soon each was found.

    python tools/interleave.py planted [--seconds=60]     known bugs, as changes of the source
    python tools/interleave.py mutations [--seconds=20]   every atomic operation weakened, dropped, torn; no compiler needed

A mutation that nothing notices is listed with the reason that daybreak/runtime/interleave/survivors.txt gives, or as unexplained.
Ends with 1 when a planted bug was not found or a survivor has no reason.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "dev"
FOLDER = ROOT / "daybreak" / "runtime" / "interleave"
TARGET = "daybreak_runtime_interleave"
MODELLED = "daybreak_runtime_modelled"  # the sources under test
PROGRAM = BUILD / "daybreak" / "runtime" / TARGET
# A load or read-modify-write whose order is weakened without anybody noticing.
SAME_INSTRUCTION = (
    "one instruction on x86-64 whatever the order; what C11 allows beyond was explored and had no consequence"
)
FOUND = 3  # exit status of the program when a mutated run fails
FILES = (
    "queue.cc process.cc references.cc process.h layout.h update.h sweep.cc client.cc heap.cc worker_loop.cc spinlock.h"
)
FILES += " scheduler.cc tasks.cc actors.cc processes.cc resources.cc stream.cc spill.cc drivers.cc"


def planted_bugs() -> list[tuple[str, ...]]:
    spec = importlib.util.spec_from_file_location("planted", FOLDER / "planted.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    bugs: list[tuple[str, ...]] = module.PLANTED
    return bugs


def misplaced(bugs: list[tuple[str, ...]]) -> list[str]:
    """Bugs whose text is not in its file exactly once."""
    wrong = []
    for name, file, before, *_ in bugs:
        times = (ROOT / "daybreak" / "runtime" / file).read_text().count(before)
        if times != 1:
            wrong.append(f"{name}: its text is {times} times in {file}")
    return wrong


def compile_command(source: Path) -> tuple[list[str], str]:
    """How the interleaver's build compiles a source, and the object that comes of it."""
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        command = shlex.split(entry["command"])
        if entry["file"] == str(source) and MODELLED in (output := command[command.index("-o") + 1]):
            return command, output
    raise SystemExit(f"{source} is not in the build: run ./dev build first")


def link_command() -> list[str]:
    commands = subprocess.run(
        ["ninja", "-C", str(BUILD), "-t", "commands", TARGET], capture_output=True, text=True, check=True
    )
    last = commands.stdout.strip().splitlines()[-1]
    return shlex.split(last.removeprefix(": && ").removesuffix(" && :"))


def plant(file: str, before: str, after: str, scratch: Path) -> Path:
    """The interleaver with one bug in it."""
    source = ROOT / "daybreak" / "runtime" / file
    changed = scratch / file
    changed.write_text(source.read_text().replace(before, after))
    command, built = compile_command(source)
    made = scratch / "changed.o"
    command = [str(changed) if part == str(source) else part for part in command]
    command[command.index("-o") + 1] = str(made)
    subprocess.run([*command, "-w"], cwd=BUILD, check=True)
    program = scratch / "program"
    link = [str(made) if part == built else part for part in link_command()]
    link[link.index("-o") + 1] = str(program)
    subprocess.run(link, cwd=BUILD, check=True)
    return program


def hunt(command: list[str], seconds: float) -> tuple[bool, float, str]:
    started = time.monotonic()
    done = subprocess.run(
        [*command, f"--seconds={seconds}"], capture_output=True, text=True, timeout=20 * seconds + 120
    )
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    return done.returncode != 0, time.monotonic() - started, failed[0][:110] if failed else ""


def planted(seconds: float, first: int) -> int:
    bugs = planted_bugs()[first:]
    if wrong := misplaced(bugs):
        print("\n".join(wrong))
        return 1
    missed = 0
    for name, file, before, after, *only in bugs:
        with tempfile.TemporaryDirectory() as scratch:
            program = plant(file, before, after, Path(scratch))
            # "--mutate" of nothing: a failure is reported without a replay.
            found, took, how = hunt(
                [str(program), "--mutate=none:none:0:0", *(f"--program={p}" for p in only)], seconds
            )
        missed += not found
        print(f"{'found' if found else 'MISSED'} after {took:5.1f} s  {name}\n      {how}", flush=True)
    print(f"{len(bugs) - missed} of {len(bugs)} planted bugs found")
    return 1 if missed else 0


def reasons() -> dict[str, str]:
    """What survivors.txt says: "FILE FUNCTION KIND: reason", for all places of a function at once."""
    path = FOLDER / "survivors.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    return {
        k.strip(): v.strip()
        for k, _, v in (line.partition(": ") for line in lines if line and not line.startswith("#"))
    }


def mutation_runs(listed: str) -> list[tuple[str, str, str, list[str]]]:
    """(letter, kind, what to print of the place, command) of each; see the program's --places."""
    runs = []
    for line in listed.splitlines():
        if not line.startswith("place "):
            continue
        where, kinds, function, *_ = line.removeprefix("place ").split(" ")
        file, row, column = where.split(":")
        if file not in FILES.split():
            continue
        for letter, kind in (("w", "weaken"), ("c", "weaken"), ("d", "drop"), ("t", "tear")):
            if letter in kinds:
                command = [str(PROGRAM), f"--mutate={kind}:{file}:{row}:{column}"]
                command += ["--memory=c11"] if letter == "c" else []
                runs.append((letter, f"{file} {function} {kind}", f"{kind:6} {where:22} {function:32}", command))
    return runs


def mutations(seconds: float, jobs: int) -> int:
    listed = subprocess.run(
        [str(PROGRAM), "--seconds=5", "--places"], capture_output=True, text=True, check=True
    ).stdout
    known = reasons()
    found = explained = unexplained = 0
    runs = mutation_runs(listed)
    with ThreadPoolExecutor(jobs) as pool:
        results = pool.map(lambda run: hunt(run[3], seconds), runs)
        for (letter, what, text, _), (hit, took, how) in zip(runs, results, strict=True):
            if hit:
                found += 1
                print(f"found    {text} {took:5.1f} s {how[7:90]}", flush=True)
                continue
            reason = known.get(what, "") or (SAME_INSTRUCTION if letter == "c" else "")
            explained += bool(reason)
            unexplained += not reason
            print(f"survives {text} {reason or 'UNEXPLAINED'}", flush=True)
    print(f"{found} found, {explained} survive for a reason, {unexplained} unexplained")
    return 1 if unexplained else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["planted", "mutations"])
    parser.add_argument("--seconds", type=float, help="for each")
    parser.add_argument("--first", type=int, default=0, help="begin with this one of the planted")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="mutations side by side")
    arguments = parser.parse_args()
    subprocess.run(["ninja", "-C", str(BUILD), "--quiet", TARGET], check=True)
    if arguments.what == "planted":
        return planted(arguments.seconds or 60, arguments.first)
    return mutations(arguments.seconds or 20, arguments.jobs)


if __name__ == "__main__":
    sys.exit(main())

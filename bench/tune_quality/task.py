"""What samplers find, beside Optuna 5: the regret on functions with known optima, over seeds, one trial at a time and many in
flight.

`--quick` runs 6 seeds (minutes), without a flag 12, `--long` 30 of all. Optuna's results are in data/ with their versions;
`--peers optuna` runs them again. Rows are the cases of functions.py, spaces as underscores: `--rows tpe_branin,gp_branin`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
from pathlib import Path
from typing import Any

from bench.peers import OURS, ROOT, Peer
from bench.rows import Row
from bench.tune_quality.functions import CASES
from bench.tune_quality.judged import Verdict, verdicts

ROWS = [
    Row(case.name.replace(" ", "_"), "log10 regret", "lower", f"median at {case.budgets[-1]} trials") for case in CASES
]
PEERS = ["optuna"]
FOLDER = Path(__file__).parent
SEEDS = {"quick": 6, "": 12, "long": 30}


def measured(side: str, out: Path, names: list[str], seeds: int) -> dict[str, Any]:
    """Runs what is missing in the file."""
    peer = Peer.of(FOLDER / f"{side}.py")
    command = [peer.python(), "-P", str(FOLDER / "program.py"), str(peer.path), str(out), ",".join(names), str(seeds)]
    subprocess.run(
        command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0", **peer.environment}
    )
    return dict(json.loads(out.read_text()))


LEAST_SEEDS = 6  # of Optuna's results: with fewer nothing can be said


def values(found: dict[str, Any], name: str, what: str) -> list[float]:
    rows = found["cases"].get(name, {"seeds": []})["seeds"]
    return [math.log10(row["regret"][-1]) if what == "regret" else row["area"][-1] for row in rows]


def table(names: list[str], pairs: list[tuple[list[float], list[float]]], found: list[Verdict], what: str) -> str:
    lines = [
        f"{what:24} {'seeds':>7} {'ours':>7} {'optuna':>7} {'less':>6} {'95% interval':>15} {'p (Holm)':>8} {'A12':>5}"
    ]
    for name, (ours, theirs), v in zip(names, pairs, found, strict=True):
        interval, seeds = f"{v.low:+.2f} to {v.high:+.2f}", f"{len(ours)}, {len(theirs)}"
        lines.append(
            f"{name:24} {seeds:>7} {v.ours:7.2f} {v.theirs:7.2f} {v.difference:+6.2f} {interval:>15} {v.p:8.3f} {v.a12:5.2f}  "
            f"{v.word}"
        )
    return "\n".join(lines)


def optunas(names: list[str], again: bool, seeds: int) -> dict[str, Any]:
    """What is kept of Optuna, run again (and kept) when that is asked for."""
    path = FOLDER / "data" / "optuna.json"
    if again:
        kept = json.loads(path.read_text())
        kept["cases"] = {name: case for name, case in kept["cases"].items() if name not in names}
        path.write_text(json.dumps(kept))
        measured("optuna", path, names, seeds)
    return dict(json.loads(path.read_text()))


def run(arguments: argparse.Namespace) -> bool:
    """The harness calls this in place of timing rows; False where we are worse."""
    seeds = SEEDS["long" if arguments.long else "quick" if arguments.quick else ""]
    wanted = set(arguments.rows or [row.name for row in ROWS])
    names = [case.name for case in CASES if case.name.replace(" ", "_") in wanted]
    theirs = optunas(names, bool(arguments.peers), seeds)
    missing = [name for name in names if len(values(theirs, name, "area")) < LEAST_SEEDS]
    if missing:
        print(f"left out, as Optuna's results lack {', '.join(missing)}: --peers optuna runs them")
        names = [name for name in names if name not in missing]
    if not names:
        return True
    out = ROOT / "out" / "bench" / "tune_quality_ours.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.unlink(missing_ok=True)
    ours = measured(OURS, out, names, seeds)
    print(f"\ntune_quality: log10 of the regret (less is better), Optuna's by {theirs['versions']}\n")
    good = True
    for what, title in (("regret", "at the last budget"), ("area", "area under log10 regret")):
        pairs = [(values(ours, name, what), values(theirs, name, what)) for name in names]
        found = verdicts(pairs)
        print(table(names, pairs, found, title) + "\n")
        words = [v.word for v in found]
        print(", ".join(f"{words.count(word)} {word}" for word in ("better", "non-inferior", "open", "WORSE")) + "\n")
        good = good and "WORSE" not in words
    return good

"""``./dev bench [TASK...] [--quick]``: measures us and our peers in turns, checks that results agree, prints and writes the table.

Round by round, every peer runs its rows in a process of its own, which is gone before the next begins; the order turns with each
round, and a row that takes less than a second has at least ten of them. A value is the median of its rounds; a ratio above 1 means
that we are ahead. How sure a ratio is, its 95% interval says (percentile bootstrap over the rounds, Efron 1979); whether a bar is
reached is judged by the interval's worse end. ``--quick`` says what is likely: its few rounds have no interval worth the name.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import platform
import random
import statistics
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.peers import LONG_ROW_TIMEOUT_S, OURS, ROOT, ROW_TIMEOUT_S, Peer, PeerError, Run
from bench.rows import Row

RESULTS = ROOT / "bench" / "results"
SHORT_S = 1.0  # a row that takes less has at least
SHORT_ROUNDS = 10
SHARED_S = 0.005  # what takes less was measured together with another row, whose rounds it has
RESAMPLES = 2000


@dataclass
class Series:
    """What one peer answered for one row."""

    values: list[float] = field(default_factory=list)
    seconds: float = 0.0  # the longest that it took in a round
    check: Any = None
    info: dict[str, float] = field(default_factory=dict)
    problem: str = ""  # an error or the reason for a skip
    failed: bool = False

    def take(self, answer: dict[str, Any]) -> None:
        if "value" in answer:
            self.values.append(float(answer["value"]))
            self.check, self.info = answer["check"], answer["info"]
        elif "skipped" in answer:
            self.problem = answer["skipped"]
        else:
            self.problem, self.failed = answer["error"].strip(), True


def agree(ours: Any, theirs: Any, tolerance: float) -> bool:
    """Equal, or for numbers equal within the relative tolerance; None says that a side has nothing to compare."""
    if ours is None or theirs is None:
        return True
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(agree(a, b, tolerance) for a, b in zip(ours, theirs, strict=True))
    numbers = all(isinstance(side, int | float) and not isinstance(side, bool) for side in (ours, theirs))
    if tolerance > 0 and numbers:
        return math.isclose(ours, theirs, rel_tol=tolerance)
    return bool(ours == theirs)


def ratio(row: Row, ours: float, theirs: float) -> float:
    """How many times better we are."""
    above, below = (ours, theirs) if row.better == "higher" else (theirs, ours)
    return above / below if below else math.inf


def their_value(row: Row, values: list[float]) -> float:
    if row.theirs == "best":
        return max(values) if row.better == "higher" else min(values)
    return statistics.median(values)


def interval(row: Row, ours: list[float], theirs: list[float]) -> tuple[float, float]:
    """The 95% interval of a ratio: both sides' rounds are drawn with replacement. The same rounds have the same interval."""
    draw = random.Random(f"{row.name} {ours} {theirs}")
    ratios = sorted(
        ratio(
            row,
            statistics.median(draw.choices(ours, k=len(ours))),
            their_value(row, draw.choices(theirs, k=len(theirs))),
        )
        for _ in range(RESAMPLES)
    )
    return ratios[round(0.025 * (RESAMPLES - 1))], ratios[round(0.975 * (RESAMPLES - 1))]


def own_interval(row: Row, values: list[float]) -> tuple[float, float]:
    """The 95% interval of our own median."""
    draw = random.Random(f"{row.name} {values}")
    medians = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return medians[round(0.025 * (RESAMPLES - 1))], medians[round(0.975 * (RESAMPLES - 1))]


def measure(rows: list[Row], peers: list[Peer], quick: bool, rounds: int | None) -> dict[tuple[str, str], Series]:
    """All rounds of all peers. A peer that fails in a row is not asked for it again."""
    series: dict[tuple[str, str], Series] = defaultdict(Series)
    wanted = {row.name: rounds or (row.quick_rounds if quick else row.rounds) for row in rows}
    grows = not (quick or rounds)

    def ask(peer: Peer, asked: list[Row]) -> None:
        if not asked:
            return
        left = list(asked)
        try:
            with Run(peer, quick) as run:
                while left:
                    now = series[left[0].name, peer.name]
                    started = time.monotonic()
                    now.take(run.measure(left[0].name, LONG_ROW_TIMEOUT_S if left[0].long else ROW_TIMEOUT_S))
                    now.seconds = max(now.seconds, time.monotonic() - started)
                    left.pop(0)
        except PeerError as error:
            for row in left:
                series[row.name, peer.name].take({"error": str(error)})

    turn = 0
    while turn < max(wanted.values(), default=0):
        shift = turn % len(peers)
        for peer in peers[shift:] + peers[:shift]:
            due = [row for row in rows if wanted[row.name] > turn and not series[row.name, peer.name].problem]
            if due:
                print(
                    f"· round {turn + 1}: {peer.name}: {' '.join(row.name for row in due)}", file=sys.stderr, flush=True
                )
            ask(peer, [row for row in due if not row.fresh])
            for row in due:
                if row.fresh:
                    ask(peer, [row])
        turn += 1
        for row in rows if grows and turn == 1 else []:
            if SHARED_S < max(series[row.name, peer.name].seconds for peer in peers) < SHORT_S:
                wanted[row.name] = max(wanted[row.name], SHORT_ROUNDS)
    return series


def judge(row: Row, mine: Series, value: float | None, least_ratio: float | None) -> bool | None:
    """Whether the row's bars are reached, by the worse ends of intervals; None when it has none or nothing to hold against them."""
    verdicts = []
    if row.must is not None and least_ratio is not None:
        verdicts.append(least_ratio >= row.must)
    if row.must_value is not None and value is not None:
        low, high = own_interval(row, mine.values)
        verdicts.append(low >= row.must_value if row.better == "higher" else high <= row.must_value)
    if value is not None:
        verdicts += [mine.info.get(name, -math.inf) >= least for name, least in row.floors.items()]
    return all(verdicts) if verdicts else None


def hardest(against: list[dict[str, Any]]) -> dict[str, Any]:
    """The peer that we are ahead of the least; the first when there is no ratio at all."""
    return min(against, key=lambda mark: math.inf if mark["ratio"] is None else mark["ratio"])


def results(rows: list[Row], peers: list[Peer], series: dict[tuple[str, str], Series]) -> list[dict[str, Any]]:
    """One line for each row and peer that offers it; one without a peer when none does."""
    lines = []
    for row in rows:
        mine = series[row.name, OURS]
        ours = statistics.median(mine.values) if mine.values else None
        line: dict[str, Any] = {
            "name": row.name,
            "what": row.what,
            "unit": row.unit,
            "better": row.better,
            "ours": ours,
            "ours_rounds": mine.values,
            "info": mine.info,
            "must": row.must,
            "must_value": row.must_value,
            "goal": row.goal,
        }
        if mine.problem:
            line["problem"] = mine.problem
        against = []
        for peer in peers:
            other = series[row.name, peer.name]
            if peer.name == OURS or other.problem == "not offered":
                continue
            mark: dict[str, Any] = {"peer": peer.name, "theirs": None, "ratio": None, "interval": None, "reached": None}
            if other.values:
                mark["theirs"] = their_value(row, other.values)
                mark["theirs_rounds"] = other.values
                mark["theirs_info"] = other.info
            if other.problem:
                mark["problem"] = other.problem
            elif ours is not None and not agree(mine.check, other.check, row.tolerance):
                mark["problem"] = f"results differ: ours {mine.check!r}, {peer.name} {other.check!r}"
            elif ours is not None and other.values:
                mark["ratio"] = ratio(row, ours, mark["theirs"])
                mark["interval"] = interval(row, mine.values, other.values)
            against.append(mark)
        if not against:
            against = [{"peer": None, "theirs": None, "ratio": None, "interval": None}]
        held = hardest(against) if row.against == "best" else against[0]
        held["reached"] = judge(row, mine, ours, held["interval"] and held["interval"][0])
        if row.against == "best" and held["reached"] and any(mark["ratio"] is None for mark in against):
            held["reached"] = None  # one of them could not be measured: it may be the best
        lines += [{**line, **mark} for mark in against]
    return lines


def number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def table(lines: list[dict[str, Any]]) -> str:
    head = ["row", "unit", "ours", "peer", "theirs", "ratio", "95% interval", "must", "goal", ""]
    body = []
    for line in lines:
        must = f"{number(line['must'])} x" if line["must"] is not None else number(line["must_value"])
        verdict = {True: "reached", False: "MISSED", None: ""}[line["reached"]]
        if "problem" in line:
            verdict = line["problem"].splitlines()[-1][:70]
        rate = "-" if line["ratio"] is None else f"{number(line['ratio'])} x"
        sure = "-" if not line["interval"] else " to ".join(number(end) for end in line["interval"])
        cells = [
            line["name"],
            line["unit"],
            number(line["ours"]),
            line["peer"] or "-",
            number(line["theirs"]),
            rate,
            sure,
        ]
        body.append([*cells, must, "-" if line["goal"] is None else f"{number(line['goal'])} x", verdict])
    widths = [max(len(cells[column]) for cells in [head, *body]) for column in range(len(head))]

    def text(cells: list[str]) -> str:
        left = {0, 1, 3, 9}
        return "  ".join(
            c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()

    return "\n".join([text(head), text(["-" * w for w in widths]), *map(text, body)])


def host() -> dict[str, Any]:
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text()
        cpu = next(line.split(":", 1)[1].strip() for line in cpuinfo.splitlines() if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.processor()
    return {"cpu": cpu, "cores": len(os.sched_getaffinity(0)), "python": platform.python_version()}


def run_task(task: str, arguments: argparse.Namespace) -> bool:
    """Measures one task, prints its table, writes its file; False when we failed or results differ."""
    folder = ROOT / "bench" / task
    of_its_own = getattr(importlib.import_module(f"bench.{task}.task"), "run", None)
    if of_its_own is not None:  # a task that measures something other than times
        return bool(of_its_own(arguments))
    rows: list[Row] = importlib.import_module(f"bench.{task}.task").ROWS
    order: list[str] = importlib.import_module(f"bench.{task}.task").PEERS
    unknown = set(arguments.rows or []) - {row.name for row in rows}
    if unknown:
        raise SystemExit(f"bench {task}: no row {', '.join(sorted(unknown))}: {', '.join(row.name for row in rows)}")
    rows = [row for row in rows if (row.name in arguments.rows if arguments.rows else arguments.long or not row.long)]
    names = [OURS, *(name for name in order if not arguments.peers or name in arguments.peers)]
    peers = [Peer.of(folder / f"{name}.py") for name in names]
    lines = results(rows, peers, measure(rows, peers, arguments.quick, arguments.rounds))
    print(f"\n{task}\n{table(lines)}\n", flush=True)
    told = {line["name"]: line["info"] for line in lines if line.get("info")}
    for name, info in told.items():
        print(f"{name}: " + ", ".join(f"{key.replace('_', ' ')} {number(value)}" for key, value in info.items()))
    every: list[Row] = importlib.import_module(f"bench.{task}.task").ROWS
    complete = len(rows) == len(every) and not (
        arguments.quick or arguments.rows or arguments.peers or arguments.rounds
    )
    path = RESULTS / f"{task}.json" if complete else ROOT / "out" / "bench" / f"{task}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"task": task, "host": host(), "rows": lines}, indent=1) + "\n")
    print(f"written: {path.relative_to(ROOT)}", flush=True)
    for line in lines:
        if "problem" in line and "\n" in line["problem"]:
            print(f"\n{line['name']} ({line['peer'] or OURS}):\n{line['problem']}", file=sys.stderr)
    differ = any("results differ" in line.get("problem", "") for line in lines)
    return not differ and all(line["ours"] is not None for line in lines)


def tasks() -> list[str]:
    return sorted(path.parent.name for path in (ROOT / "bench").glob("*/task.py"))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="./dev bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("tasks", nargs="*", help=f"default: all ({', '.join(tasks())})")
    parser.add_argument("--quick", action="store_true", help="few rounds, small sizes; written to out/bench/ instead")
    parser.add_argument("--long", action="store_true", help="also the rows that take minutes")
    parser.add_argument("--rows", type=lambda text: text.split(","), help="only these, comma-separated")
    parser.add_argument("--peers", type=lambda text: text.split(","), help="only these beside us")
    parser.add_argument("--rounds", type=int, help="instead of each row's own number")
    arguments = parser.parse_args()
    for task in arguments.tasks:
        if task not in tasks():
            parser.error(f"no task '{task}': {', '.join(tasks()) or 'there is none yet'}")
    return 0 if all([run_task(task, arguments) for task in arguments.tasks or tasks()]) else 1


if __name__ == "__main__":
    sys.exit(main())

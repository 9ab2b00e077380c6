"""The README's tables of figures, from `bench/results/`: `python -m bench.readme --write`; without it, fails when they differ.

Two tables: the rows that Daybreak was made for, beside the peer that its bar is a ratio to; and those that a sceptic asks for,
where both sides promise, or settle for, the same, beside the peer that we are ahead of the least.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from bench.harness import RESULTS, number
from bench.peers import ROOT

BEGIN, END = "<!-- figures: written by bench/readme.py -->", "<!-- figures end -->"
NAMES = {
    "ray": "Ray",
    "pool": "ProcessPoolExecutor",
    "fastapi": "FastAPI + uvicorn",
    "uvicorn_2": "FastAPI, 2 workers",
    "sb3": "Stable-Baselines3",
    "mlflow": "MLflow",
    "biscuit": "Biscuit",
    "tensorboard": "TensorBoard",
    "torch": "PyTorch",
}
MADE_FOR = {
    "runtime": (
        "tasks_sync tasks_pipelined actor_sync actor_pipelined nested_tasks put_small put_800mib_first put_800mib"
        " init_to_first_result"
    ),
    "rl": (
        "cartpole_env_python cartpole_env_native ppo_cartpole_100k ppo_cartpole_seconds_to_475 ppo_pong_seconds_to_1000"
        " ppo_pendulum_100k dqn_cartpole policy_infer_batch1"
    ),
    "track": "log_metric_python search_2000_runs store_20_checkpoints store_20_checkpoints_seconds",
    "grant": "verify_5_hops_cold verify_warm encrypt_1mib",
    "serve": "noop_http noop_http_cpu noop_http_p50_c1 noop_native",
}
SCEPTIC = {
    "runtime": "metg_50_independent metg_95_independent metg_50_stencil metg_95_stencil metg_50_tree metg_95_tree",
    "rl": "ppo_cartpole_475_zoo ppo_cartpole_475_ours learner_flops",
    "track": "log_metric_synced log_metric_files log_metric_files_closed",
    "grant": "verify_with_possession",
    "serve": "noop_http_2 open_1k_p50 open_1k_p99 open_1k_p999 open_4k_p99 input_2mb model_5ms model_5ms_p99",
}
HEAD = "| row | unit | Daybreak | peer | theirs | times better | 95% of the times |\n|---|---|---|---|---|---|---|\n"


def held(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """The peer that the row's bar is a ratio to."""
    return next((line for line in lines if line["reached"] is not None), lines[0])


def hardest(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """The peer that we are ahead of the least; the first that was measured where there is no ratio."""
    known = [line for line in lines if line["ratio"] is not None]
    return min(known, key=lambda line: float(line["ratio"])) if known else lines[0]


def table(wanted: dict[str, str], tasks: dict[str, dict[str, Any]], chosen: Callable[..., dict[str, Any]]) -> str:
    text = HEAD
    for task, names in wanted.items():
        for name in names.split():
            lines = [line for line in tasks[task]["rows"] if line["name"] == name]
            if not lines:
                continue  # not measured yet in a complete run
            line = chosen(lines)
            interval = line.get("interval")
            cells = [
                f"`{name}`",
                line["unit"],
                number(line["ours"]),
                NAMES.get(line["peer"], line["peer"]) or "-",
                number(line["theirs"]),
                number(line["ratio"]),
                " to ".join(number(end) for end in interval) if interval else "-",
            ]
            text += "| " + " | ".join(cells) + " |\n"
    return text


def figures() -> str:
    tasks = {task: json.loads((RESULTS / f"{task}.json").read_text()) for task in MADE_FOR}
    hosts: dict[str, list[str]] = {}
    for task, found in tasks.items():
        hosts.setdefault(f"{found['host']['cores']} cores of an {found['host']['cpu']}", []).append(task)
    where = "; ".join(f"{', '.join(names)} on {host}" for host, names in hosts.items())
    return (
        f"Medians of complete runs ({where}):\n\n{table(MADE_FOR, tasks, held)}\n"
        "What a sceptic asks for: both sides promise, or settle for, the same; the peer is the one that we are least ahead of.\n\n"
        f"{table(SCEPTIC, tasks, hardest)}"
    )


def rewritten(readme: str) -> str:
    before, rest = readme.split(BEGIN)
    return f"{before}{BEGIN}\n{figures()}{END}{rest.split(END)[1]}"


def main() -> int:
    path = ROOT / "README.md"
    old = path.read_text()
    new = rewritten(old)
    if "--write" in sys.argv:
        path.write_text(new)
    elif new != old:
        print("README.md: its figures are not those of bench/results/: python -m bench.readme --write")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

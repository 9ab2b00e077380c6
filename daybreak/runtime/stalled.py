"""What a `get` or `wait` that has lasted ten seconds waits for, on the standard error, once: which resource, which reference.

Nothing is said of a task that runs: it may be a long one. What it waits for in its turn is looked up from there.
"""

from __future__ import annotations

import sys
from typing import Any

from daybreak._core import runtime as _native

__all__ = ["explain", "say"]

MAX_LINES = 8
_SCANNED = 1 << 16  # objects that are looked at: this is for people, and may be said while millions are queued


class _Look:
    """One look into the engine of this process."""

    def __init__(self) -> None:
        view = _native._view(None)
        session = len(view.session())
        self.tasks = {row["task_id"][session:]: row for row in view.tasks(_SCANNED)[0]}
        self.actors = {row["actor_id"]: row for row in view.actors()}
        self.workers = [row for row in view.workers() if row["is_alive"]]
        self.blocked = {row["pid"] for row in self.workers if row["blocked"]}
        self.resources = view.resources()
        self.children: dict[str, list[str]] = {}
        for task_id, row in self.tasks.items():
            if row["parent_task_id"] is not None and row["state"] not in ("FINISHED", "FAILED"):
                self.children.setdefault(row["parent_task_id"][session:], []).append(task_id)
        self.lines: list[str] = []
        self.seen: set[str] = set()

    def of(self, task_id: str, depth: int = 1) -> None:
        if task_id in self.seen or len(self.lines) >= MAX_LINES:
            return
        self.seen.add(task_id)
        row = self.tasks.get(task_id)
        if row is None or row["state"] in ("FINISHED", "FAILED"):
            return
        what, further = self._waits(task_id, row)
        if what:
            self.lines.append(f"{'  ' * depth}{row['name']} ({task_id}) {what}")
        for other in further:
            self.of(other, depth + 1)

    def _waits(self, task_id: str, row: dict[str, Any]) -> tuple[str, list[str]]:
        """What it waits for, "" when it runs; and the tasks that this depends on."""
        if row["waits_for"]:
            return f"waits for its arguments: {self._references(row['waits_for'])}", row["waits_for"]
        if row["state"] == "RUNNING":
            waits = self.children.get(task_id, [])
            if row["worker_pid"] not in self.blocked or not waits:
                return "", []
            return f"runs in process {row['worker_pid']}, and waits in get() or wait() for tasks of its own", waits
        if row["type"] == "ACTOR_TASK":
            return self._call(row)
        return f"waits for {self._lacks(row['required_resources'])}", []

    def _call(self, row: dict[str, Any]) -> tuple[str, list[str]]:
        actor = self.actors.get(row["actor_id"])
        if actor is None or actor["state"] == "DEAD":
            return "", []
        if actor["state"] != "ALIVE":
            lacks = f": it waits for {self._lacks(actor['required_resources'])}" if not actor["pid"] else ""
            return f"waits for actor {actor['class_name']}, which is {actor['state']}{lacks}", []
        before = [
            task_id
            for task_id, other in self.tasks.items()
            if other["state"] == "RUNNING" and other["worker_pid"] == actor["pid"]
        ]
        if not before:
            return f"waits for its turn in actor {actor['class_name']} (process {actor['pid']})", []
        names = ", ".join(sorted({self.tasks[task_id]["name"] for task_id in before}))
        return f"waits behind {names} in actor {actor['class_name']} (process {actor['pid']})", before

    def _references(self, refs: list[str]) -> str:
        return ", ".join(f"{ref} of {self.tasks[ref]['name']}" if ref in self.tasks else ref for ref in refs)

    def _lacks(self, asked: dict[str, float]) -> str:
        """Of what it asks for, what is not free; and who runs meanwhile."""
        parts = []
        for name, amount in asked.items():
            total, free = self.resources.get(name, (0, 0))
            if amount > free:
                parts.append(f"{name}: {amount:g} ({free:g} free of {total:g})")
        if not parts:
            return f"a worker ({', '.join(f'{name}: {amount:g}' for name, amount in asked.items()) or 'no resources'})"
        running = sorted(
            {f"{row['name']} ({row['worker_pid']})" for row in self.tasks.values() if row["state"] == "RUNNING"}
        )
        holders = ", ".join(running[:4]) + (f" and {len(running) - 4} more" if len(running) > 4 else "")
        actors = sum(actor["state"] == "ALIVE" for actor in self.actors.values())
        held = [f"running: {holders}"] if running else []
        held += [f"actors alive: {actors}"] if actors else []
        return f"{', '.join(parts)}{'; ' if held else ''}{'; '.join(held)}"


def explain(task_ids: list[str]) -> list[str]:
    """A line for each task that does not run, and for what it waits for; none when all run."""
    look = _Look()
    for task_id in task_ids:
        look.of(task_id)
    return look.lines


def say(verb: str, seconds: float, task_ids: list[str]) -> bool:
    """Called by `get` and `wait`. Whether something was said."""
    lines = explain(task_ids)
    if lines:
        what = f"daybreak: {verb}() has waited {seconds:g} s:"
        print(what, *lines, sep="\n", file=sys.stderr, flush=True)
    return bool(lines)

"""``daybreak status``, ``list``, ``summary``, ``memory``: a look into a running engine, from any terminal of its user."""

from __future__ import annotations

import json
import sys
import warnings
from enum import StrEnum
from typing import Annotated, Any

import typer

from daybreak.base.terminal import Json, json_out, table
from daybreak.runtime import history, state
from daybreak.runtime import logs as kept_logs

__all__ = ["listing", "logs", "memory", "stack", "status", "summary", "timeline"]

Address = Annotated[
    str | None,
    typer.Option("--address", help="Which engine: its process number or its directory; the default is the only one."),
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many rows.")]
Filters = Annotated[
    list[str] | None,
    typer.Option("--filter", help="KEY=VALUE or KEY!=VALUE; may be given several times."),
]
_LARGEST = 20  # objects that `memory` shows

status = typer.Typer(help="What an engine has and does, at a glance.")
listing = typer.Typer(help="The tasks, actors, objects or workers of an engine.")
summary = typer.Typer(help="How many there are of each kind.")
stack = typer.Typer(help="What each process of an engine executes, as Python stacks.")
logs = typer.Typer(help="What the workers of an engine have printed.")
timeline = typer.Typer(help="What has run where and when, as a trace for chrome://tracing or ui.perfetto.dev.")
memory = typer.Typer(help="The largest objects, and who holds them.")

_COLUMNS = {
    "tasks": ("task_id", "name", "type", "state", "worker_pid", "error_type"),
    "actors": ("actor_id", "class_name", "name", "state", "pid", "num_restarts"),
    "objects": ("object_id", "type", "state", "object_size", "pins", "pids"),
    "workers": ("worker_id", "worker_type", "pid", "is_alive", "blocked", "task_id"),
    "nodes": ("node_id", "node_name", "state", "resources_total"),
}


class What(StrEnum):
    tasks = "tasks"
    actors = "actors"
    objects = "objects"
    workers = "workers"
    nodes = "nodes"


class Summed(StrEnum):
    tasks = "tasks"
    actors = "actors"
    objects = "objects"


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        return ", ".join(f"{key} {amount}" for key, amount in value.items())
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    return str(value)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items())) or "none"


def _bytes(size: int) -> str:
    amount = float(size)
    for unit in ("bytes", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def _spilled(spilled: dict[str, Any]) -> str:
    if not spilled["folder"]:
        return "nothing: there is no folder for it"
    return (
        f"{_bytes(spilled['bytes'])} of {spilled['objects']} objects in {spilled['folder']} "
        f"(so far written {_bytes(spilled['spilled_bytes_total'])}, read back {_bytes(spilled['restored_bytes_total'])})"
    )


@status.command()
def show_status(address: Address = None, as_json: Json = False) -> None:
    """What an engine has and does, at a glance. Without --address: of every engine that runs here."""
    addresses = [address] if address else [engine["path"] for engine in state.engines()]
    found = [(each, state.status(each)) for each in addresses]
    if as_json:
        json_out([{"address": each, **row} for each, row in found])
        return
    if not found:
        print("no engine of this user runs here")
    for each, row in found:
        used, size = row.store
        print(f"engine {each}")
        for name, (total, free) in row.resources.items():
            print(f"  {name:10} {total - free:g} of {total:g} in use")
        print(f"  store      {_bytes(used)} of {_bytes(size)} in use")
        print(f"  spilled    {_spilled(row.spilled)}")
        for kind in ("workers", "actors", "tasks"):
            print(f"  {kind:10} {_counts(row[kind])}")


def _filter(text: str) -> tuple[str, str, str]:
    for operator in ("!=", "="):
        key, found, value = text.partition(operator)
        if found:
            return key, operator, value
    raise typer.BadParameter(f"{text!r}: KEY=VALUE or KEY!=VALUE is needed")


@listing.command()
def show_list(
    what: What, address: Address = None, filters: Filters = None, limit: Limit = 100, as_json: Json = False
) -> None:
    """The tasks, actors, objects or workers of an engine."""
    with warnings.catch_warnings(record=True) as cut:
        warnings.simplefilter("always")
        rows = getattr(state, f"list_{what.value}")(address, [_filter(each) for each in filters or ()], limit)
    for warning in cut:  # of how many rows these are the first
        print(f"{warning.message}", file=sys.stderr)
    if as_json:
        json_out(rows)
        return
    heads = _COLUMNS[what.value]
    table([[_text(row[head]) for head in heads] for row in rows], heads)
    if not rows:
        print(f"no {what.value}")


@summary.command()
def show_summary(what: Summed, address: Address = None, as_json: Json = False) -> None:
    """How many there are of each kind."""
    found = getattr(state, f"summarize_{what.value}")(address)
    if as_json:
        json_out(found)
        return
    for name, counts in sorted(found.items()):
        of_state = counts.get("state_counts")
        said = _counts(of_state) if of_state is not None else (
            f"{counts['total_objects']} objects, {_bytes(counts['total_size_bytes'])}, {counts['spilled_objects']} of them on disk"
        )  # fmt: skip
        print(f"{name or '(unnamed)'}: {said}")
    if not found:
        print(f"no {what.value}")


@memory.command()
def show_memory(address: Address = None, as_json: Json = False) -> None:
    """The largest objects, and who holds them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # these are the largest: nobody misses the rest
        rows = state.list_objects(address, limit=_LARGEST)
    if as_json:
        json_out(rows)
        return
    glance = state.status(address)
    used, size = glance.store
    print(f"{_bytes(used)} of {_bytes(size)} in use; spilled: {_spilled(glance.spilled)}")
    heads = ("object_id", "type", "size", "where", "pins", "held by")
    table(
        [
            [
                row.object_id,
                row.type,
                _bytes(row.object_size),
                "disk" if row.spilled else "memory",
                str(row.pins),
                _text(row.pids),
            ]
            for row in rows
            if row.object_size
        ],
        heads,
    )


@timeline.command()
def write_timeline(
    output: Annotated[str, typer.Option("--output", "-o", help="The file that is written.")] = "timeline.json",
    address: Address = None,
) -> None:
    """What has run where and when, as a trace for chrome://tracing or ui.perfetto.dev: the last 2,048 tasks of each process."""
    history.timeline(output, address)
    print(f"written: {output}")


@stack.command()
def show_stack(
    pids: Annotated[list[int] | None, typer.Argument(help="Only these processes.")] = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """What each process of an engine executes, as Python stacks; one that hangs answers, too."""
    rows = state.list_stacks(address, pids or ())
    if as_json:
        json_out(rows)
        return
    for row in rows:
        print(f"== {row.worker_type.lower()} {row.pid}{f', {row.task}' if row.task else ''}")
        print(row.error or row.stack)


@logs.command()
def show_logs(
    pids: Annotated[list[int] | None, typer.Argument(help="Only of these processes.")] = None,
    address: Address = None,
    actor: Annotated[str | None, typer.Option("--actor", help="Only of the actor with this id or name.")] = None,
    tail: Annotated[int, typer.Option("--tail", min=-1, help="The last so many lines; -1: all that are kept.")] = 1000,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until the engine ends.")
    ] = False,
    stderr_alone: Annotated[bool, typer.Option("--err", help="Only what went to stderr.")] = False,
    as_json: Json = False,
) -> None:
    """What the workers of an engine have printed: the last 4 to 8 MiB are kept as long as it runs."""
    folder = kept_logs.folder_of(address)
    wanted = set(pids or ())
    if actor is not None:
        rows = state.list_actors(folder, limit=10_000)
        found = [row.pid for row in rows if actor in (row.actor_id, row.name) and row.pid]
        if not found:
            raise typer.BadParameter(f"no actor {actor!r} has a process; `daybreak list actors` shows those there are")
        wanted.update(found)
    lines = kept_logs.chosen(folder, wanted, {2} if stderr_alone else {1, 2}, tail, follow)
    if as_json and not follow:
        json_out([line._asdict() for line in lines if line is not None])
        return
    for line in lines:
        if line is None:
            sys.stdout.flush()
        elif as_json:
            print(json.dumps(line._asdict()))
        else:
            print(line.shown())

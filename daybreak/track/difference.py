"""What differs between two runs: parameters, tags, metrics, code, environment, and artifacts at the level of their content."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from daybreak.track import reading
from daybreak.track.reading import Artifact, RunRecord
from daybreak.track.roots import root as _root

if TYPE_CHECKING:
    from daybreak.store import Diff, Store, TensorDiff
    from daybreak.track.writing import Run

__all__ = ["ArtifactDiff", "RunDiff", "diff"]

MAX_TEXT_BYTES = 64 << 20  # of an artifact that is compared line by line
MAX_CODE_BYTES = 1 << 20  # of a unified diff
MAX_SHOWN = 30  # of each kind in summary()
_LOOKED_AT_BYTES = 64 << 10  # to see whether it is text

Pair = tuple[Any, Any]
Range = tuple[int, int, int, int]  # [a_begin, a_end) became [b_begin, b_end)


@dataclass(frozen=True)
class ArtifactDiff:
    """How the newest artifact of one name differs.

    ``change`` is "equal", "changed", "added" (only the second run has it) or "removed". ``tensors``: those that differ, each
    with ``change``, ``max_abs`` (the greatest difference) and ``elements`` (how many differ). ``rows_added``, ``rows_removed``,
    ``rows_changed``: lines of a text or rows of a data frame. ``summary`` says it in a sentence.
    """

    name: str
    change: str
    summary: str
    tensors: tuple[TensorDiff, ...] = ()
    rows_added: int = 0
    rows_removed: int = 0
    rows_changed: int = 0
    a: Artifact | None = None
    b: Artifact | None = None

    def __bool__(self) -> bool:
        return self.change != "equal"

    def __str__(self) -> str:
        return self.summary


@dataclass(frozen=True)
class RunDiff:
    """What ``track.diff`` found; true when something differs. ``str()`` and ``summary`` say it for people.

    ``params``, ``tags``, ``metrics`` (last values), ``environment`` (packages, and "python", "host", "system", "processor"):
    name -> (of a, of b) for what differs, None where it is missing. ``code``: (path, "added" | "changed" | "deleted"), by the
    snapshots that the runs captured. ``artifacts``: name -> ArtifactDiff, equal ones too. ``notes``: what could not be compared.
    """

    a: RunRecord
    b: RunRecord
    params: dict[str, Pair] = field(default_factory=dict)
    tags: dict[str, Pair] = field(default_factory=dict)
    metrics: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)
    code: list[tuple[str, str]] = field(default_factory=list)
    environment: dict[str, Pair] = field(default_factory=dict)
    artifacts: dict[str, ArtifactDiff] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _snapshots: tuple[str, str, str] | str = ""  # directory and both; or why not

    def __bool__(self) -> bool:
        found = self.params or self.tags or self.metrics or self.code or self.environment
        return bool(found) or any(self.artifacts.values())

    def code_text(self, max_bytes: int = MAX_CODE_BYTES) -> str:
        """The unified diff of the code, cut at ``max_bytes``; empty when it is the same, a sentence when it was not kept."""
        from daybreak.track.capture import code_text

        if isinstance(self._snapshots, str):
            return self._snapshots
        try:
            return code_text(*self._snapshots, max_bytes)
        except LookupError as missing:
            return f"The code cannot be compared: {missing}."

    @property
    def summary(self) -> str:
        lines = [f"a: {self.a.name} {self.a.id} ({self.a.status})", f"b: {self.b.name} {self.b.id} ({self.b.status})"]
        for title, pairs in (
            ("parameters", self.params),
            ("tags", self.tags),
            ("environment", self.environment),
            ("metrics (last)", self.metrics),
        ):
            lines += _listed(title, (f"{name}: {_shown(x)} -> {_shown(y)}" for name, (x, y) in pairs.items()))
        lines += _listed("code", (f"{change} {path}" for path, change in self.code))
        lines += _listed("artifacts", (str(artifact) for artifact in self.artifacts.values() if artifact))
        if not self:
            lines.append("nothing differs")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def __str__(self) -> str:
        return self.summary


def _listed(title: str, items: Iterable[str]) -> list[str]:
    every = list(items)
    more = [f"  ... and {len(every) - MAX_SHOWN} more"] if len(every) > MAX_SHOWN else []
    return [f"{title}:", *(f"  {item}" for item in every[:MAX_SHOWN]), *more] if every else []


def _shown(value: object) -> str:
    if value is None:
        return "-"
    text = f"{value:g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _same(x: object, y: object) -> bool:
    if isinstance(x, float) and isinstance(y, float) and math.isnan(x) and math.isnan(y):
        return True
    return type(x) is type(y) and (x == y or (isinstance(x, (list, dict)) and json.dumps(x) == json.dumps(y)))


def _pairs(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Pair]:
    names = sorted(a.keys() | b.keys())
    return {name: (a.get(name), b.get(name)) for name in names if not _same(a.get(name), b.get(name))}


def diff(a: str | Run | RunRecord, b: str | Run | RunRecord) -> RunDiff:
    """What differs from run ``a`` to run ``b`` (ids, records or runs).

    NotFoundError when there is no such run, DataLossError when one of them is damaged. Artifacts are compared by name, the
    newest of each; texts beyond 64 MiB only as bytes.

    >>> import tempfile
    >>> from daybreak import track
    >>> _ = track.init(tempfile.mkdtemp())
    >>> for rows, lr in ((b"a,b\\n1,2\\n", 0.1), (b"a,b\\n1,2\\n3,4\\n", 0.2)):
    ...     with track.run("pong", params={"lr": lr, "seed": 0}) as run:
    ...         _ = run.artifact("recording", rows)
    >>> second, first = track.runs()
    >>> difference = track.diff(first, second)
    >>> difference.params, difference.artifacts["recording"].summary
    ({'lr': (0.1, 0.2)}, 'recording: 1 row added at line 3 of 3')
    """
    root = _root()
    first, second = reading.get(reading.id_of(a)), reading.get(reading.id_of(b))
    came_from = first.captured, second.captured
    snapshots, code, notes = _code(first, second, *came_from)
    environments = [_environment(captured) for captured in came_from]
    for record, captured in zip((first, second), came_from, strict=True):
        if not captured.get("python"):
            notes.append(f"the environment of run {record.id} was not captured")
    comparable = all(captured.get("python") for captured in came_from)
    return RunDiff(
        first,
        second,
        _pairs(first.params, second.params),
        _pairs(first.tags, second.tags),
        _pairs(dict(first.metrics), dict(second.metrics)),
        code,
        _pairs(*environments) if comparable else {},
        _artifacts(root, first, second),
        notes,
        snapshots,
    )


def _environment(captured: Mapping[str, Any]) -> dict[str, Any]:
    python, host = captured.get("python", {}), captured.get("host", {})
    about = {"python": python.get("version"), "host": host.get("name")}
    about |= {name: host.get(name) for name in ("system", "processor")}
    return {**python.get("packages", {}), **about}


def _code(
    a: RunRecord, b: RunRecord, captured_a: Mapping[str, Any], captured_b: Mapping[str, Any]
) -> tuple[tuple[str, str, str] | str, list[tuple[str, str]], list[str]]:
    """The snapshots (or why they cannot be compared), the changes, notes."""
    from daybreak.track.capture import code_changes

    found = []
    for record, captured in ((a, captured_a), (b, captured_b)):
        snapshot = captured.get("git", {}).get("snapshot")
        if not snapshot:
            why = f"the code of run {record.id} was not captured"
            return f"The code cannot be compared: {why}.", [], [why]
        found.append(str(snapshot))
    if found[0] == found[1]:
        directory = str(captured_b.get("command", {}).get("directory", "."))
        return (directory, found[0], found[1]), [], []
    why = ""
    for captured in (captured_b, captured_a, {"command": {"directory": "."}}):
        directory = str(captured.get("command", {}).get("directory", "."))
        try:
            return (directory, found[0], found[1]), code_changes(directory, *found), []
        except LookupError as missing:
            why = why or str(missing)
    return f"The code cannot be compared: {why}.", [], [f"the code cannot be compared: {why}"]


# -- artifacts


def _artifacts(root: str, a: RunRecord, b: RunRecord) -> dict[str, ArtifactDiff]:
    first = {artifact.name: artifact for artifact in a.artifacts}
    second = {artifact.name: artifact for artifact in b.artifacts}
    found = {}
    for name in sorted(first.keys() | second.keys()):
        x, y = first.get(name), second.get(name)
        if x is None or y is None:
            there = x or y
            assert there is not None
            change = "added" if x is None else "removed"
            found[name] = ArtifactDiff(name, change, f"{name}: {change} ({there.size_bytes:,} bytes)", a=x, b=y)
        elif x.id == y.id:
            found[name] = ArtifactDiff(name, "equal", f"{name}: equal", a=x, b=y)
        else:
            found[name] = _changed(reading.store(root), name, x, y)
    return found


def _changed(store: Store, name: str, x: Artifact, y: Artifact) -> ArtifactDiff:
    content = store.diff(x.id, y.id)
    both = {x.kind, y.kind}
    if both == {"table"}:
        rows = [(r.a_begin, r.a_end, r.b_begin, r.b_end) for r in content.rows]
        sizes = [store.table_shape(artifact.id) for artifact in (x, y)]
        columns = _columns_text([shape[1] for shape in sizes])
        return _by_rows(name, x, y, rows, sizes[0][0], sizes[1][0], "row", columns)
    if content.tensors:
        return _by_tensors(name, x, y, content)
    if both <= {"bytes", "file"} and max(x.size_bytes, y.size_bytes) <= MAX_TEXT_BYTES:
        texts = store.read(x.id), store.read(y.id)
        if not any(b"\0" in text[:_LOOKED_AT_BYTES] for text in texts):
            places = [(r.a_begin, r.a_end, r.b_begin, r.b_end) for r in content.bytes]
            hunks = _lines(*texts, places)
            totals = [text.count(b"\n") + (not text.endswith(b"\n") and bool(text)) for text in texts]
            return _by_rows(name, x, y, hunks, totals[0], totals[1], "line", "")
    differing = sum(max(r.a_end - r.a_begin, r.b_end - r.b_begin) for r in content.bytes)
    text = f"{name}: {differing:,} bytes differ in {_count(len(content.bytes), 'place')}"
    if x.size_bytes != y.size_bytes:
        text += f", {x.size_bytes:,} bytes became {y.size_bytes:,}"
    if x.kind != y.kind:
        text += f", a {x.kind} became a {y.kind}"
    return ArtifactDiff(name, "changed", text, a=x, b=y)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _by_tensors(name: str, x: Artifact, y: Artifact, content: Diff) -> ArtifactDiff:
    differing = tuple(tensor for tensor in content.tensors if tensor.change != "equal")
    parts = []
    changed = [tensor for tensor in differing if tensor.change == "changed"]
    if changed:
        most = max(changed, key=lambda tensor: tensor.max_abs)
        of = f"of {_count(len(content.tensors), 'tensor')}"
        named = f" ({most.name})" if most.name else ""
        parts.append(f"{len(changed):,} {of} changed, by at most {most.max_abs:g}{named}")
    for change, words in (("added", "added"), ("removed", "removed"), ("retyped", "of another dtype or shape")):
        names = [tensor.name for tensor in differing if tensor.change == change]
        if names:
            shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            parts.append(f"{_count(len(names), 'tensor')} {words} ({shown})")
    text = "; ".join(parts) or "the same tensors, other bytes around them"
    return ArtifactDiff(name, "changed", f"{name}: {text}", differing, a=x, b=y)


def _columns_text(columns: list[list[str]]) -> str:
    before, after = columns
    parts = []
    for words, names in (
        ("added", [column for column in after if column not in before]),
        ("removed", [column for column in before if column not in after]),
    ):
        if names:
            shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            parts.append(f"{_count(len(names), 'column')} {words} ({shown})")
    return ", ".join(parts)


def _by_rows(
    name: str, x: Artifact, y: Artifact, hunks: list[Range], total_a: int, total_b: int, place: str, also: str
) -> ArtifactDiff:
    added = removed = changed = 0
    for a_begin, a_end, b_begin, b_end in hunks:
        both = min(a_end - a_begin, b_end - b_begin)
        changed += both
        added += b_end - b_begin - both
        removed += a_end - a_begin - both
    parts = [
        (number, word) for number, word in ((added, "added"), (removed, "removed"), (changed, "changed")) if number
    ]
    words = [
        f"{_count(number, 'row')} {word}" if i == 0 else f"{number:,} {word}" for i, (number, word) in enumerate(parts)
    ]
    text = ", ".join(words)
    if parts:
        only_removed = not added and not changed
        at, total = (hunks[0][0], total_a) if only_removed else (hunks[0][2], total_b)
        first = 1 if place == "line" else 0  # lines are counted from 1, rows of a frame from 0
        if len(hunks) == 1 and len(parts) == 1:
            text += f" at {place} {at + first} of {total:,}"
        else:
            text += f", the first at {place} {at + first} of {total:,}"
    text = ", ".join(part for part in (text, also) if part) or "the same rows, other bytes around them"
    return ArtifactDiff(name, "changed", f"{name}: {text}", (), added, removed, changed, a=x, b=y)


def _lines(a: bytes, b: bytes, places: list[Range]) -> list[Range]:
    """Ranges of lines, from 0, out of ranges of bytes: what lies between those is the same."""
    import numpy as np

    from daybreak.store.tables import changed_ranges

    whole: list[list[int]] = []
    for a_begin, a_end, b_begin, b_end in places:
        begins = [text.rfind(b"\n", 0, begin) + 1 for text, begin in ((a, a_begin), (b, b_begin))]
        if not all(end == 0 or text[end - 1] == 10 for text, end in ((a, a_end), (b, b_end))):
            newline = a.find(b"\n", a_end)  # what follows is the same in both
            step = (len(a) if newline < 0 else newline + 1) - a_end
            a_end, b_end = a_end + step, min(len(b), b_end + step)
        if whole and (begins[0] < whole[-1][1] or begins[1] < whole[-1][3]):
            whole[-1][1], whole[-1][3] = max(whole[-1][1], a_end), max(whole[-1][3], b_end)
        else:
            whole.append([begins[0], a_end, begins[1], b_end])
    newlines = [np.flatnonzero(np.frombuffer(text, np.uint8) == 10) for text in (a, b)]
    hunks: list[Range] = []
    for a_begin, a_end, b_begin, b_end in whole:
        at_a, at_b = (int(np.searchsorted(n, begin)) for n, begin in zip(newlines, (a_begin, b_begin), strict=True))
        left, right = (
            np.asarray([hash(line) for line in _split(text[begin:end])], np.int64)
            for text, begin, end in ((a, a_begin, a_end), (b, b_begin, b_end))
        )
        hunks += [(at_a + i, at_a + j, at_b + k, at_b + m) for i, j, k, m in changed_ranges(left, right)]
    return hunks


def _split(text: bytes) -> list[bytes]:
    lines = text.split(b"\n")
    if not lines[-1]:
        lines.pop()  # behind the last newline
    return lines

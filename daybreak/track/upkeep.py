"""The keeping of a tracking root: is all of it readable, what is no longer needed, how much is there."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass

from daybreak._core import track as _core
from daybreak.base import errors
from daybreak.track import reading
from daybreak.track.catalog import Catalog
from daybreak.track.roots import root as _root

__all__ = ["GcReport", "Stats", "VerifyReport", "gc", "stats", "verify"]

PURGE_AFTER = datetime.timedelta(days=30)
_PURGED = "purged"  # folder of runs that are on their way out
_RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class VerifyReport:
    """What ``track.verify`` looked at; ``damage`` names run or pack, file and place, a sentence each. True when all is well.

    ``notices``: ends that a loss of power cut. Nothing that was synced is missing there.
    """

    runs: int
    files: int
    points: int
    objects: int
    blocks: int
    bytes: int
    damage: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.damage

    def __bool__(self) -> bool:
        return self.ok


@dataclass(frozen=True)
class GcReport:
    """What ``track.gc`` did: the ids of the runs that it purged, the artifacts that it removed, the bytes of all packs."""

    purged: tuple[str, ...]
    objects_removed: int
    objects_kept: int
    bytes_before: int
    bytes_after: int


@dataclass(frozen=True)
class Stats:
    """How much a root holds. ``stored_bytes`` is what the store takes for artifacts of ``artifact_bytes``."""

    root: str
    runs: int
    by_status: dict[str, int]
    deleted: int
    points: int
    artifacts: int
    objects: int
    artifact_bytes: int
    stored_bytes: int
    log_bytes: int


def _runs(root: str) -> list[str]:
    return sorted(name for name in os.listdir(os.path.join(root, "runs")) if _RUN_ID.fullmatch(name))


def verify() -> VerifyReport:
    """Reads everything: each run's logs and columns with their checksums, each artifact with its hash.

    Also finds artifacts that a run names and the store lacks. Nothing is changed; runs may be written meanwhile.
    """
    root = _root()
    damage: list[str] = []
    notices: list[str] = []
    files = points = runs = 0
    named: dict[str, str] = {}
    for run in _runs(root):
        try:
            opened = _core.RunFiles.open(root, run)
            run_files, run_points, problems = opened.verify()
        except errors.NotFoundError:
            continue  # purged meanwhile, or its first file is in the making
        except errors.Error as error:
            runs, damage = runs + 1, [*damage, f"run {run}: {error}"]
            continue
        runs, files, points = runs + 1, files + run_files, points + run_points
        for text, torn in problems:
            (notices if torn else damage).append(f"run {run}: {text}")
        for name, object_id, *_ in opened.state()["artifacts"]:
            named.setdefault(object_id, f"run {run}: artifact {name!r}")
    store = reading.store(root)
    report = store.verify()
    for found in report.damage:
        holders = sorted({named[i] for i in found.objects if i in named})
        whose = f" ({len(found.objects)} artifacts, among them {'; '.join(holders[:3])})" if holders else ""
        damage.append(f"store: {found.file}, byte {found.offset}: {found.what}{whose}")
    there = set(store.objects())
    lost = {i for found in report.damage for i in found.objects}
    damage += [f"{who}: {i} is not in the store" for i, who in named.items() if i not in there and i not in lost]
    return VerifyReport(runs, files, points, report.objects, report.blocks, report.bytes, tuple(damage), tuple(notices))


def gc(*, purge_deleted_after: datetime.timedelta | float | None = PURGE_AFTER) -> GcReport:
    """Removes for good the runs that have been deleted for so long (a timedelta or seconds; None: none), then every artifact
    that no run holds.

    What a run in progress holds stays, what is being put meanwhile stays, two at once are safe. DataLossError, and nothing is
    collected, when a run is damaged: what it holds is not known. The private git ref of a purged run goes with it.
    """
    root = _root()
    purged: list[str] = []
    if purge_deleted_after is not None:
        after = purge_deleted_after
        seconds = after.total_seconds() if isinstance(after, datetime.timedelta) else float(after)
        if not seconds >= 0:
            raise errors.InvalidArgumentError(
                f"purge_deleted_after={after!r}: not negative, please; None purges nothing"
            )
        purged = [run.id for run in reading.runs(deleted=True) if _purge(root, run.id, seconds)]
    _sweep(root)
    report = reading.store(root).gc(lambda: reading.live_objects(root))
    return GcReport(tuple(purged), report.objects_removed, report.objects_kept, report.bytes_before, report.bytes_after)


def _purge(root: str, run: str, seconds: float) -> bool:
    try:
        with reading.locked(root, run):
            state = _core.RunFiles.open(root, run).state()
            if not state["deleted"] or state["open"] or _core.living_writers(root, run):
                return False  # restored, or someone still writes
            if time.time_ns() - state["deleted_ns"] < seconds * 1e9 or any(not torn for _, torn in state["problems"]):
                return False
            refs = _refs(root, run)
            away = os.path.join(root, _PURGED)
            os.makedirs(away, mode=0o700, exist_ok=True)
            os.rename(os.path.join(root, "runs", run), os.path.join(away, run))  # all of it at once
    except errors.NotFoundError:
        return False  # another collection was faster
    with contextlib.suppress(OSError):
        shutil.rmtree(os.path.join(root, "open", run))
    if refs:
        from daybreak.track.capture import forget_git

        for directory, ref in refs:
            forget_git(directory, ref)
    return True


def _refs(root: str, run: str) -> list[tuple[str, str]]:
    captured = reading.captured(root, run)
    found = []
    for session in [captured, *captured.get("resumed", [])]:
        directory, ref = session.get("command", {}).get("directory"), session.get("git", {}).get("ref")
        if isinstance(directory, str) and isinstance(ref, str):
            found.append((directory, ref))
    return found


def _sweep(root: str) -> None:
    """What purging left, also one that was killed."""
    away = os.path.join(root, _PURGED)
    if os.path.isdir(away):
        shutil.rmtree(away, ignore_errors=True)


def _file_sizes(folder: str) -> Iterator[int]:
    for directory, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                yield os.lstat(os.path.join(directory, name)).st_size


def stats() -> Stats:
    """How much there is: runs by status, points, artifacts, bytes."""
    root = _root()
    by_status, deleted, points, artifacts = Catalog(root).ask(
        lambda db: (
            dict(db.execute("SELECT status, count(*) FROM runs WHERE deleted = 0 GROUP BY status").fetchall()),
            db.execute("SELECT count(*) FROM runs WHERE deleted").fetchone()[0],
            db.execute("SELECT coalesce(sum(count), 0) FROM metrics").fetchone()[0],
            db.execute("SELECT count(*) FROM artifacts").fetchone()[0],
        )
    )
    store = reading.store(root).stats()
    return Stats(
        root=root,
        runs=sum(by_status.values()),
        by_status=by_status,
        deleted=deleted,
        points=points,
        artifacts=artifacts,
        objects=store["objects"],
        artifact_bytes=store["logical_bytes"],
        stored_bytes=store["pack_bytes"] + store["manifest_bytes"],
        log_bytes=sum(_file_sizes(os.path.join(root, "runs"))),
    )

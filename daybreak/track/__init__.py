"""Record every run, keep its data.

>>> import tempfile
>>> from daybreak import track
>>> _ = track.init(tempfile.mkdtemp())
>>> with track.run("pong", params={"lr": 0.01}) as run:
...     run.log({"return": 3.2}, step=7)
>>> [(run.name, run.status, run.metrics["return"]) for run in track.runs("params.lr < 0.1")]
[('pong', 'finished', 3.2)]
"""

from daybreak.track.asking import sql
from daybreak.track.difference import ArtifactDiff, RunDiff, diff
from daybreak.track.exporting import export
from daybreak.track.reading import Artifact, History, Metrics, RunRecord, Table, find, get, live_objects, load, runs
from daybreak.track.roots import init, root
from daybreak.track.upkeep import GcReport, Stats, VerifyReport, gc, stats, verify
from daybreak.track.writing import Run, delete, restore, run

TYPE_CHECKING = False
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name in ("log", "start_run", "set_experiment", "autolog") or name.startswith(("log_", "set_tag")):
            raise AttributeError(
                f"daybreak.track has no {name!r}, since no run is the current one: with track.run(name) as run: run.log(...)"
            )
        raise AttributeError(f"module 'daybreak.track' has no attribute {name!r}")


__all__ = [
    "Artifact",
    "ArtifactDiff",
    "GcReport",
    "History",
    "Metrics",
    "Run",
    "RunDiff",
    "RunRecord",
    "Stats",
    "Table",
    "VerifyReport",
    "delete",
    "diff",
    "export",
    "find",
    "gc",
    "get",
    "init",
    "live_objects",
    "load",
    "restore",
    "root",
    "run",
    "runs",
    "sql",
    "stats",
    "verify",
]

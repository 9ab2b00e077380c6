"""Record every run, keep its data.

>>> import tempfile
>>> from daybreak import track
>>> _ = track.init(tempfile.mkdtemp())
>>> with track.run("pong", params={"lr": 0.01}) as run:
...     run.log({"return": 3.2}, step=7)
>>> [(run.name, run.status, run.metrics["return"]) for run in track.runs("params.lr < 0.1")]
[('pong', 'finished', 3.2)]
"""

from daybreak.track.reading import Artifact, History, Metrics, RunRecord, Table, get, live_objects, load, runs
from daybreak.track.roots import init, root
from daybreak.track.writing import Run, delete, restore, run

__all__ = [
    "Artifact",
    "History",
    "Metrics",
    "Run",
    "RunRecord",
    "Table",
    "delete",
    "get",
    "init",
    "live_objects",
    "load",
    "restore",
    "root",
    "run",
    "runs",
]

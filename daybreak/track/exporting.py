"""A run as files that anyone reads: run.json, its metrics as one table, its artifacts under their names."""

from __future__ import annotations

import csv
import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daybreak.base import errors, paths
from daybreak.track import reading
from daybreak.track.names import checked_path
from daybreak.track.reading import Artifact, RunRecord
from daybreak.track.roots import root as _root

if TYPE_CHECKING:
    from daybreak.track.writing import Run

__all__ = ["described", "export", "plain"]

MAX_FILE_NAME_BYTES = 255
_SUFFIXES = {"array": ".npy", "dict": ".npz"}


def plain(value: Any) -> Any:
    """As what JSON holds: "NaN", "Infinity" and "-Infinity" for what is no number there."""
    if isinstance(value, float):
        return value if math.isfinite(value) else {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def described(record: RunRecord, *, only_brief: bool = False) -> dict[str, Any]:
    """Everything about a run but its series, as ``plain`` values; in brief what needs none of its files."""
    brief = {
        "id": record.id,
        "name": record.name,
        "status": record.status,
        "reason": record.reason,
        "start": record.start.isoformat() if record.start else None,
        "end": record.end.isoformat() if record.end else None,
        "parent": record.parent,
        "deleted": record.deleted,
        "params": plain(record.params),
        "tags": record.tags,
        "metrics": plain(dict(record.metrics)),
    }
    if only_brief:
        return brief
    return brief | {
        "artifacts": [
            {
                "name": artifact.name,
                "id": artifact.id,
                "size_bytes": artifact.size_bytes,
                "kind": artifact.kind,
                "meta": plain(dict(artifact.meta)),
                "time": artifact.time.isoformat(),
            }
            for artifact in record.artifacts
        ],
        "children": [child.id for child in record.children],
        "captured": plain(record.captured),
        "notices": record.notices,
    }


def export(run: str | Run | RunRecord, folder: str | os.PathLike[str], *, format: str = "csv") -> Path:
    """Writes a run into ``folder``, which is new or empty, and returns its path.

    ``run.json`` (all but the series), ``metrics.csv`` or, with ``format="parquet"``, ``metrics.parquet`` (name, step, time in ns
    since 1970, value; Parquet needs pyarrow), ``output.txt``, and the newest artifact of each name under ``artifacts/``: bytes and
    files as they are (streamed), arrays as .npy and .npz, data frames as CSV or Parquet, with
    their index where it is more than 0, 1, 2. A name that is also the folder of another
    gets a ``~``; ``run.json`` says where each one lies. Nothing is ever written outside the folder.
    """
    if format not in ("csv", "parquet"):
        raise errors.InvalidArgumentError(f"format={format!r}: 'csv' or 'parquet' expected")
    record = reading.get(reading.id_of(run))
    target = Path(paths.given(folder, "export"))
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise errors.AlreadyExistsError(f"{target} is there and not an empty folder: name a new one")
    newest: dict[str, Artifact] = {artifact.name: artifact for artifact in record.artifacts}
    places = _places(newest, format)  # before anything is written: a name that leads out is refused
    target.mkdir(parents=True, exist_ok=True)
    for name, place in places.items():
        path = target / "artifacts" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_artifact(newest[name], path)
    (_write_csv if format == "csv" else _write_parquet)(record, target / f"metrics.{format}")
    output = record.output()
    if output:
        (target / "output.txt").write_text(output, encoding="utf-8", errors="replace")
    about = described(record) | {"files": {name: f"artifacts/{place}" for name, place in places.items()}}
    text = json.dumps(about, indent=2, ensure_ascii=False)
    if not _is_unicode(text):  # a parameter that names a file of other bytes: by its escapes
        text = json.dumps(about, indent=2)
    (target / "run.json").write_text(text + "\n", "utf-8")
    return target


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _places(artifacts: dict[str, Artifact], format: str) -> dict[str, str]:
    folders = {name[:at] for name in map(checked_path, artifacts) for at, char in enumerate(name) if char == "/"}
    places: dict[str, str] = {}
    taken: set[str] = set()
    for name in sorted(artifacts):
        suffix = f".{format}" if artifacts[name].kind == "table" else _SUFFIXES.get(artifacts[name].kind, "")
        place = _fitting(name if name.endswith(suffix) else name + suffix, suffix)
        while place in folders or place in taken:
            place = _fitting(place + "~", suffix)
        taken.add(place)
        places[name] = place
    return places


def _fitting(place: str, suffix: str) -> str:
    """Its last part as long as a file's name may be, the end kept."""
    folder, slash, name = place.rpartition("/")
    while len(name.encode()) > MAX_FILE_NAME_BYTES:
        stem = name.rstrip("~")
        marks = name[len(stem) :]
        stem = stem.removesuffix(suffix)
        name = f"{stem[:-1]}{suffix}{marks}"
    return folder + slash + name


def _write_artifact(artifact: Artifact, path: Path) -> None:
    store = reading.store(_root())
    if artifact.kind not in ("array", "dict", "table"):
        store.write_to(artifact.id, path)
        return
    value = store.load(artifact.id)
    if artifact.kind == "table":
        parquet = path.suffix.rstrip("~") == ".parquet"
        if type(value).__module__.partition(".")[0] == "pyarrow":
            if parquet:
                from pyarrow.parquet import write_table

                write_table(value, path)
                return
            value = value.to_pandas()
        if parquet:
            value.to_parquet(path)
        else:
            index = value.index
            counted = type(index).__name__ == "RangeIndex" and (index.start, index.step, index.name) == (0, 1, None)
            returns = any(
                "\r" in str(text)
                for column in value.select_dtypes(["object", "string"])
                for text in value[column].dropna()
            )
            # A lone carriage return is a line's end to some readers, and csv quotes it in some versions alone.
            value.to_csv(path, index=not counted, quoting=csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL)
        return
    import numpy as np

    with path.open("wb") as file:  # numpy would add its suffix to a name
        if artifact.kind == "array":
            np.save(file, value, allow_pickle=False)
        else:
            np.savez(file, **{f"{name}": array for name, array in value.items()})


def _write_csv(record: RunRecord, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["name", "step", "time_ns", "value"])
        for name in sorted(record.metrics):
            series = record.history(name)
            for begin in range(0, len(series), 65_536):
                part = slice(begin, begin + 65_536)
                columns = (series.steps[part].tolist(), series.times[part].tolist(), series.values[part].tolist())
                table.writerows((name, step, time, repr(value)) for step, time, value in zip(*columns, strict=True))


def _write_parquet(record: RunRecord, path: Path) -> None:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise errors.FailedPreconditionError(
            "format='parquet' needs pyarrow: pip install 'daybreak[track]', or ask for 'csv'"
        ) from None
    reader = pyarrow.RecordBatchReader.from_stream(record.metrics(as_="arrow"))
    with pyarrow.parquet.ParquetWriter(path, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)

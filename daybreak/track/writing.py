"""Runs as they are written: ``with track.run(...) as run``."""

from __future__ import annotations

import atexit
import builtins
import contextlib
import datetime
import json
import os
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping
from numbers import Number
from types import TracebackType
from typing import TYPE_CHECKING, Any

from daybreak._core import track as _core
from daybreak._core.track import EventKind
from daybreak.base import errors, numbers, paths
from daybreak.track import reading
from daybreak.track.catalog import Catalog
from daybreak.track.names import checked_artifact_name, checked_name
from daybreak.track.reading import Artifact, History, Metrics, RunRecord
from daybreak.track.redact import redact, redact_text
from daybreak.track.roots import root as _root
from daybreak.track.values import with_text_keys

__all__ = ["Run", "delete", "restore", "run"]

MAX_VALUE_BYTES = 32 * 1024
MAX_REASON_BYTES = 8 * 1024

# How people write it elsewhere, and how here.
_ELSEWHERE = {
    "log_metric": "run.log(name, value, step=step)",
    "log_metrics": "run.log({name: value}, step=step)",
    "log_param": "run.param(name, value)",
    "log_params": "run.params({name: value})",
    "set_tag": "run.tag(name, value)",
    "set_tags": "run.tags({name: value})",
    "log_artifact": "run.artifact(name, pathlib.Path(file))",
    "log_artifacts": "run.artifact(name, pathlib.Path(file)), file by file",
    "log_dict": "run.artifact(name, json.dumps(value).encode())",
    "log_text": "run.artifact(name, text.encode())",
    "log_table": "run.artifact(name, data_frame)",
    "end_run": "run.finish()",
    "info": "run.id, run.name",
    "run_id": "run.id",
}

_unchanging: dict[str, Any] = {}  # captured once in a process

_handles: weakref.WeakValueDictionary[tuple[int, str, str], Run] = weakref.WeakValueDictionary()
_owned: set[Run] = set()  # until they are finished: a run does not end because nobody looks at it
_handles_lock = threading.Lock()


def _checked_text(what: str, name: str, text: str) -> bytes:
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise errors.InvalidArgumentError(
            f"{what} {name!r} is no Unicode (a lone surrogate, as in a file name that is no UTF-8): give its repr()"
        ) from None
    if len(data) > MAX_VALUE_BYTES:
        raise errors.InvalidArgumentError(
            f"{what} {name!r} has {len(data):,} bytes, the limit is {MAX_VALUE_BYTES:,}: keep it as an artifact"
        )
    return data


def _mapping(what: str, values: object) -> Mapping[str, Any]:
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        hint = ": give vars(it)" if hasattr(values, "__dict__") else ""
        raise errors.InvalidArgumentError(f"{what} are a dict, not a {type(values).__name__}{hint}")
    return values


def _unchanged(known: Mapping[str, str], texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        if known.get(name, text) != text:
            raise errors.AlreadyExistsError(
                f"parameter {name!r} is {known[name][:200]} already and cannot become {text[:200]}: "
                "use a tag for what changes"
            )


def _json(what: str, name: str, value: object) -> str:
    what = f"{what} {name!r}"

    def plain(other: object) -> object:
        if (
            hasattr(other, "dtype") and hasattr(other, "tolist") or hasattr(other, "as_py")
        ):  # of numpy, torch, Arrow, ...
            return numbers.plain(other, what, nan=True, wide=True)
        if isinstance(other, Number):  # a Decimal, a Fraction: a number where JSON has the very one
            with contextlib.suppress(ValueError):
                return numbers.plain(other, what, nan=True, wide=True)
        return redact_text(str(other))

    try:
        kept = with_text_keys(redact(name, value), what, 0)
        return json.dumps(kept, default=plain, separators=(",", ":"), sort_keys=isinstance(value, dict))
    except errors.InvalidArgumentError:
        raise
    except (TypeError, ValueError, RecursionError) as error:
        raise errors.InvalidArgumentError(f"{what}: {error}") from None


def _param_texts(values: object) -> dict[str, str]:
    texts = {
        checked_name("parameter", name): _json("parameter", name, value)
        for name, value in _mapping("params", values).items()
    }
    for name, text in texts.items():
        _checked_text("parameter", name, text)
    return texts


def _tag_texts(values: object) -> dict[str, bytes]:
    return {
        checked_name("tag", name): _checked_text("tag", name, str(redact(name, str(value))))
        for name, value in _mapping("tags", values).items()
    }


class Run:
    """A run that is being written, made by ``track.run`` (which see) or by unpickling a handle.

    Any thread may call any method. The handle may be pickled and sent to other processes, such as tasks and actors: all
    write to the one run, each to files of its own. The run's status is decided by the process that made it: it runs while
    that process lives.

    ``log`` is native: ``log(metrics, step=None)`` or ``log(name, value, step=None)``; see its own help. It is also what a
    trainer's ``on_result`` may be: numeric leaves are logged, others named once in a warning.
    """

    def __init__(self, root: str, run_id: str, name: str, *, owner: bool, session: int, next_step: int) -> None:
        self.id = run_id
        self.name = name
        self._root = root
        self._pid = os.getpid()
        self._owner_pid = self._pid if owner else 0
        self._log = _core.RunLog(root, run_id, owner, session, next_step)
        self.log = self._log.log
        self._lock = threading.Lock()
        self._params: dict[str, str] = {}
        self._objects: dict[str, str] = {}
        self._finished = False
        self._output: Any = None  # capture.Output of the process that made it
        if owner:
            _owned.add(self)

    if not TYPE_CHECKING:  # or every attribute would be one

        def __getattr__(self, name: str) -> Any:
            hint = f": use {_ELSEWHERE[name]}" if name in _ELSEWHERE else ""
            raise AttributeError(f"a run has no {name!r}{hint}")

    def __repr__(self) -> str:
        return f"<Run {self.name!r} {self.id}>"

    def __reduce__(self) -> Any:
        return _attach, (self._root, self.id, self.name)

    def _event(self, kind: int, *fields: str | bytes) -> None:
        self._log.event(kind, [f if isinstance(f, bytes) else f.encode("utf-8", "backslashreplace") for f in fields])

    def _capture(self, session: int) -> None:
        """Writes down what the run comes from and begins to copy the output. Never in the run's way."""
        try:
            from daybreak.track import capture

            name = self.id if session == 1 else f"{self.id}-{session}"
            capture.capture_all(
                name,
                lambda topic, text: self._event(EventKind.CAPTURE, topic, text),
                lambda text: self._event(EventKind.NOTICE, text),
                _unchanging,
            )
            self._output = capture.Output(lambda stream, text: self._event(EventKind.TEXT, stream, text)).start()
        except Exception as error:
            with contextlib.suppress(Exception):
                self._event(
                    EventKind.NOTICE, redact_text(f"nothing was captured: {type(error).__name__}: {error}")[:1000]
                )

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process changes the run's parameters meanwhile."""
        with self._lock, reading.locked(self._root, self.id):
            yield

    # -- what a run is told

    def log_array(self, name: str, values: Any, steps: Any = None) -> None:
        """Logs a point for each of ``values`` (N numbers: an array or a sequence), at ``steps`` (N integers) or the next N.

        What a loop over ``log(name, value, step)`` does, in C++ and without the GIL, with one look at the clock for 64 points:
        tens of nanoseconds each. InvalidArgumentError names the first value that is no real number (complex, text, masked) and the
        first step that is no whole number of 64 bits with a sign: nothing is rounded, cut or wrapped.
        """
        import numpy as np

        array = numbers.reals(values, f"log_array({name!r}): values")
        places = None if steps is None else numbers.integers(steps, f"log_array({name!r}): steps")
        if array.ndim != 1 or (places is not None and places.shape != array.shape):
            raise errors.InvalidArgumentError(
                f"log_array: values of one dimension and as many steps expected, shapes {array.shape}"
                + ("" if places is None else f" and {places.shape}")
            )
        self._log.log_array(name, np.ascontiguousarray(array), None if places is None else np.ascontiguousarray(places))

    def params(self, values: Mapping[str, Any]) -> None:
        """Sets parameters. A parameter never changes: the same value again is fine, another one is AlreadyExistsError.

        A value whose name looks like a secret's ("api_key", "db.password", also within dicts) is written as "[redacted]".

        Values are what JSON holds (numbers, NaN too, text, booleans, None, lists and dicts of them; arrays and tensors as
        lists; other objects as their text), at most 32 KiB each.
        """
        texts = _param_texts(values)
        encoded = {name: _checked_text("parameter", name, text) for name, text in texts.items()}
        if not texts:
            return
        with self._alone():
            if any(name not in self._params for name in texts):
                self._params.update(_core.RunFiles.open(self._root, self.id).state()["params"])
            _unchanged(self._params, texts)
            for name, data in encoded.items():
                if name not in self._params:
                    self._event(EventKind.PARAM, name, data)
                    self._params[name] = texts[name]

    def param(self, name: str, value: Any) -> None:
        """``params({name: value})``."""
        self.params({name: value})

    def tags(self, values: Mapping[str, Any]) -> None:
        """Sets tags: text, which may be set anew. Values whose names look like secrets are written as "[redacted]"."""
        encoded = _tag_texts(values)
        for name, data in encoded.items():
            self._event(EventKind.TAG, name, data)

    def tag(self, name: str, value: Any) -> None:
        """``tags({name: value})``."""
        self.tags({name: value})

    def goal(self, metric: str, best: str) -> None:
        """Says which value of a metric is best, "min" or "max"; without it the greatest is."""
        if best not in ("min", "max"):
            raise errors.InvalidArgumentError(f"goal({metric!r}, {best!r}): 'min' or 'max' expected")
        self._event(EventKind.GOAL, checked_name("metric", metric), best)

    def artifact(self, name: str, value: Any, *, meta: Mapping[str, Any] | None = None) -> Artifact:
        """Keeps ``value`` (bytes, a path, an array, a DataFrame, ...: what the store takes) under ``name`` and returns its
        record.

        It is stored as a change of the artifact of the same name that came before it in this run, else in the newest
        finished run of the same name. A name is a relative path without ``.`` and ``..``. ``meta``: what JSON holds, at
        most 32 KiB. A file is read as a stream, so its size does not matter. What is kept is kept as it is: no secret is
        taken out of an artifact.
        """
        name = checked_artifact_name(name)
        if isinstance(value, os.PathLike) and os.path.isdir(paths.given(value)):
            raise errors.InvalidArgumentError(
                f"{paths.given(value)} is a folder: keep its files one by one, or an archive"
            )
        description = _checked_text(
            "meta of artifact", name, _json("meta of artifact", name, dict(_mapping("meta", meta)))
        )
        store = reading.store(self._root)
        stored = store.put(value, name=name, parent=self._parent_object(name))
        try:
            self._event(EventKind.ARTIFACT, name, stored.id, str(stored.size_bytes), stored.kind, description)
        finally:
            store.release(stored.id)  # from here on the log's record keeps it
        self._objects[name] = stored.id
        kept_at = datetime.datetime.now(datetime.UTC)
        return Artifact(name, stored.id, stored.size_bytes, stored.kind, json.loads(description), kept_at, self.id)

    def _parent_object(self, name: str) -> str | None:
        if name in self._objects:
            return self._objects[name]
        sql = (
            "SELECT a.object FROM artifacts a JOIN runs r ON r.n = a.run WHERE a.name = ?1 AND r.deleted = 0"
            " AND (r.id = ?2 OR (r.name = ?3 AND r.status = 'finished'))"
            " ORDER BY r.id = ?2 DESC, r.id DESC, a.n DESC LIMIT 1"
        )
        row = Catalog(self._root).ask(lambda db: db.execute(sql, (name, self.id, self.name)).fetchone())
        return None if row is None else str(row[0])

    def child(self, name: str, params: Mapping[str, Any] | None = None, tags: Mapping[str, Any] | None = None) -> Run:
        """A run within this one, with a status of its own; a context manager like this."""
        made = _begin(self._root, name, params, tags, parent=self.id)
        self._event(EventKind.CHILD, made.id, name)
        return made

    # -- its end

    def finish(self, status: str = "finished", reason: str = "") -> None:
        """Ends the run: "finished", "failed" or "killed".

        In a process that did not make it, closes this process's part. Once. ResourceExhaustedError when the disk has no room for
        the end: what was logged stays as it is, and the next reader finishes what it can.
        """
        if status not in ("finished", "failed", "killed"):
            raise errors.InvalidArgumentError(f"status {status!r}: 'finished', 'failed' or 'killed' expected")
        with self._lock:
            if self._finished:
                return
            self._finished = True
            _owned.discard(self)
        try:
            if self._owner_pid == os.getpid():
                if self._output is not None:
                    self._output.stop()
                self._event(
                    EventKind.STATUS, status, redact_text(reason).encode("utf-8", "backslashreplace")[:MAX_REASON_BYTES]
                )
        finally:  # also when the disk is full: or the run would seem to run until the process ends
            with _handles_lock:
                _handles.pop((os.getpid(), self._root, self.id), None)
            self._log.close()

    def _end_with_process(self, reason: str) -> None:
        with self._lock:
            if self._finished:
                return
            self._finished = True
        if self._output is not None:
            self._output.stop()
        data = redact_text(reason).encode("utf-8", "backslashreplace")[:MAX_REASON_BYTES]
        self._log.end_with_process(data.decode("utf-8", "ignore"))

    def sync(self) -> None:
        """What was logged before the call survives a loss of power after it; by itself that takes a second."""
        self._log.sync()

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None or _is_good_end(error):
            self.finish()
        elif isinstance(error, SystemExit):
            code = int(error.code) if isinstance(error.code, int) else 1
            self.finish(
                "failed", f"exit status {code}" if isinstance(error.code, int) else f"exit status 1: {error.code}"
            )
        else:
            try:
                text = str(error)
            except Exception as another:  # which would take the place of the error
                text = f"its str() raises {type(another).__name__}"
            self.finish("failed", f"{kind.__name__}: {text}" if text else kind.__name__)

    # -- reading it while it is written

    @property
    def metrics(self) -> Metrics:
        """The last value of each metric; called, it gives the series: ``run.metrics(names=None, as_="pandas")``."""
        state = reading._opened(self._root, self.id)[1]
        return Metrics({name: values[0] for name, values in state["metrics"].items()}, self._root, self.id)

    def history(self, name: str, first_step: int | None = None, last_step: int | None = None) -> History:
        """All points of a metric (from ``first_step`` to ``last_step``, both included)."""
        return reading.history(self._root, self.id, name, first_step, last_step)

    def preview(self, name: str, points: int = reading.DEFAULT_PREVIEW) -> History:
        """At most ``points`` (3 to 256) of a metric, chosen to look like all of them."""
        return reading.preview(self._root, self.id, name, points)

    @property
    def artifacts(self) -> list[Artifact]:
        """In the order in which they were kept."""
        return reading.artifacts(self._root, self.id)


def _kept(run: Run) -> Run:
    with _handles_lock:
        _handles[(os.getpid(), run._root, run.id)] = run
    return run


def _begin(
    root: str, name: str, params: Mapping[str, Any] | None, tags: Mapping[str, Any] | None, parent: str = ""
) -> Run:
    checked_name("run", name)
    _tag_texts(tags)
    texts = _param_texts(params)
    made = _kept(Run(root, _core.new_run_id(), name, owner=True, session=1, next_step=0))
    made._event(EventKind.START, name, parent)
    for key, text in texts.items():
        made._event(EventKind.PARAM, key, text)
    made._params = texts
    made.tags(tags or {})
    return made


def _attach(root: str, run_id: str, name: str) -> Run:
    """A handle's twin in another process; the same one for all handles of the run in this process."""
    with _handles_lock:
        known = _handles.get((os.getpid(), root, run_id))
    if known is not None and not known._finished:
        return known
    state = _core.RunFiles.open(root, run_id).state()
    return _kept(Run(root, run_id, name, owner=False, session=state["session"], next_step=_next_step(state)))


def _next_step(state: Mapping[str, Any]) -> int:
    return min(2**63 - 1, 1 + max((values[1] for values in state["metrics"].values()), default=-1))


def run(
    name: str | None = None,
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
    *,
    resume: str | Run | RunRecord | None = None,
    capture: bool | None = None,
) -> Run:
    """Begins a run, or goes on with one (``resume=id``), in ``track.root()``.

    Use it in a ``with``: leaving it (also by ``sys.exit(0)``) makes the run finished, an exception makes it failed with the
    exception or the exit status as the reason, and when the process dies the run is killed, whoever reads it next. Without
    ``with``, call ``finish()``, or it ends with the process: finished when its exit status is 0, else failed.

    ``name`` groups runs of one experiment. ``params`` never change, ``tags`` may. A run that is resumed keeps both, may be
    given more, and continues its steps. Values of parameters and tags whose names look like secrets are redacted.

    ``capture``: writes down by itself the code (git commit and dirty tree, under a private ref), the Python environment, the
    command line, the host and what Python prints to stdout and stderr (the first 1 MiB, the last 64 KiB); see
    ``record.captured`` and ``record.output()``. Without a word it is on, unless ``DAYBREAK_TRACK_CAPTURE=0``. What cannot be
    captured is a notice (``record.notices``), never an error. Child runs have none of their own.

    FailedPreconditionError when the run to be resumed still runs or is deleted,
    NotFoundError when there is none.

    >>> import tempfile
    >>> from daybreak import track
    >>> _ = track.init(tempfile.mkdtemp())
    >>> with track.run("pong", params={"lr": 0.01}, tags={"machine": "lab"}) as run:
    ...     for step in range(3):
    ...         run.log({"return": step * 1.5}, step=step)
    >>> track.get(run.id).metrics["return"]
    3.0
    >>> run.history("return").values.tolist()
    [0.0, 1.5, 3.0]
    """
    root = _root()
    if resume is None:
        if name is None:
            raise errors.InvalidArgumentError(
                "track.run(name): a name is missing; it groups the runs of one experiment"
            )
        made = _begin(root, name, params, tags)
        if _wanted(capture):
            made._capture(1)
        return made
    resume = reading.id_of(resume)
    state = _core.RunFiles.open(root, resume).state()
    if name is not None and name != state["name"]:
        raise errors.InvalidArgumentError(f"run {resume} is called {state['name']!r}, not {name!r}")
    texts = _param_texts(params)  # what is wrong is said before the run goes on
    _tag_texts(tags)
    with reading.locked(root, resume):  # of two that resume at once one finds it running
        state = _core.RunFiles.open(root, resume).state()
        if state["status"] == "running":
            raise errors.FailedPreconditionError(
                f"run {resume} still runs: send its handle to the process that wants to write to it, or end it first"
            )
        if state["deleted"]:
            raise errors.FailedPreconditionError(f"run {resume} is deleted: track.restore(id) first")
        _unchanged(state["params"], texts)
        next_step, session = _next_step(state), state["session"] + 1
        made = _kept(Run(root, resume, state["name"], owner=True, session=session, next_step=next_step))
        made._event(EventKind.STATUS, "running", "")
    made._params = dict(state["params"])
    try:
        made.params(params or {})
        made.tags(tags or {})
    except BaseException as error:  # nobody has the handle: the run must not seem to run until the process ends
        made.finish("failed", f"{type(error).__name__}: {error}")
        raise
    if _wanted(capture):
        made._capture(session)
    return made


def _wanted(capture: bool | None) -> bool:
    if capture is None and os.environ.get("DAYBREAK_TRACK_CAPTURE") == "0":
        return False  # without the modules that capture
    from daybreak.track.capture import wanted

    return wanted(capture)


def _mark_deleted(run_id: str, deleted: bool) -> None:
    root = _root()
    _core.RunFiles.open(root, run_id)  # there is one, and it is an id
    with reading.locked(root, run_id):
        state = _core.RunFiles.open(root, run_id).state()
        if state["status"] == "running":
            raise errors.FailedPreconditionError(f"run {run_id} still runs: end it first")
        if state["deleted"] == deleted:
            return
        log = _core.RunLog(root, run_id, False, state["session"], 0)
        log.event(EventKind.DELETED, [b"1" if deleted else b"0"])
        log.close()


def delete(run: str | Run | RunRecord) -> None:
    """Takes a run out of what ``track.runs`` gives; its data stays, and ``restore`` brings it back.

    ``track.gc`` removes it for good when it has been deleted for long enough. Its child runs stay. FailedPreconditionError
    while it runs.
    """
    _mark_deleted(reading.id_of(run), True)


def restore(run: str | Run | RunRecord) -> None:
    """Undoes ``delete``."""
    _mark_deleted(reading.id_of(run), False)


def _is_good_end(error: BaseException | None) -> bool:
    """``sys.exit(0)``, a command line's Exit with status 0, a generator that is closed: an end and no failure."""
    if isinstance(error, SystemExit):
        return error.code is None or (isinstance(error.code, int) and error.code & 0xFF == 0)
    exits = any(kind.__name__ == "Exit" and hasattr(error, "exit_code") for kind in type(error).__mro__)
    return isinstance(error, GeneratorExit) or (exits and getattr(error, "exit_code", None) == 0)


def _is_interactive() -> bool:
    """A shell or a notebook, which goes on after an error: the last one says nothing about the end."""
    return hasattr(sys, "ps1") or bool(sys.flags.interactive) or hasattr(builtins, "__IPYTHON__")


def _forked() -> None:
    """In a forked child: locks of the parent may be held by threads that are not here."""
    global _handles_lock
    _handles_lock = threading.Lock()
    for handle in list(_handles.values()):
        handle._lock = threading.Lock()


os.register_at_fork(after_in_child=_forked)


@atexit.register
def _finish_all() -> None:
    """The interpreter ends in an orderly way: runs that nobody ended are finished, or failed when it ends by an exception or with
    another exit status than 0, which is known when Python is gone."""
    with _handles_lock:
        left = [handle for handle in _handles.values() if not handle._finished and handle._pid == os.getpid()]
    error = None if _is_interactive() else getattr(sys, "last_value", None)
    for handle in left:
        try:
            if handle._owner_pid != handle._pid:
                handle.finish()
            elif isinstance(error, KeyboardInterrupt):  # the process ends by the signal, which nothing sees
                handle.finish("failed", type(error).__name__)
            else:
                handle._end_with_process("" if error is None else f"{type(error).__name__}: {error}")
        except Exception as failure:  # nobody is there to catch it
            print(f"daybreak: run {handle.id} could not be ended: {failure}", file=sys.stderr)

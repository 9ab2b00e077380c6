"""The process of a trial: one thread trains, the actor's calls fetch what it has reported and bring answers.

Trials that are over in no time are handed over several at once: the thread begins the next by itself, and what is fetched says so.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Sequence
from typing import Any

from . import session as _session
from .files import begin_folder
from .session import Ended, Session
from .trainable import Steps, is_class, run_function

__all__ = ["TrialActor"]

_MESSAGE_S = 0.02  # how long short trials are gathered for one message
_MESSAGE_TRIALS = 32  # and how many


class TrialActor:
    """Threads of calls: `start` and `poll` one after the other, `ask` and `take_back` beside them."""

    def __init__(self, trainable: Any) -> None:
        self._trainable = trainable
        self._steps = Steps()
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()
        self._waiting: deque[Any] = deque()  # a Session that is ready, specs of those that were handed over behind it
        self._begun: deque[Session] = deque()  # of which not all is fetched
        self._fetched: Session | None = None  # whose results were fetched last, and wait for an answer
        self._common: dict[str, Any] = {}
        self._closed = False
        self._failed = False  # nothing begins here any more

    def start(self, spec: dict[str, Any], handed: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
        """Begins a trial, and its first poll. ``handed``: trials that begin when those before have ended."""
        self._common = spec
        session = Session(spec)
        with self._changed:
            self._begun.append(session)
            self._waiting.extend([session, *handed])
            self._changed.notify_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="trial", daemon=True)
            self._thread.start()
        return self._take()

    def poll(self, counted: int, next_time: float, asked: str, handed: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
        """Answers what was fetched before, and waits for more."""
        if self._fetched is not None:
            self._fetched.answer(counted, next_time, asked)
        with self._changed:
            if handed and not self._failed:  # else they come too late, and go back when its failure is known
                self._waiting.extend(handed)
                self._changed.notify_all()
        return self._take()

    def ask(self, what: str) -> None:
        """The trial ends at its next report."""
        with self._changed:
            session = self._begun[0] if self._begun else None
        if session is not None:
            session.answer(0, session.next, what)

    def take_back(self) -> list[str]:
        """The ids of those that were handed over and have not begun: they do not begin here."""
        with self._changed:
            given = [spec["id"] for spec in self._waiting if not isinstance(spec, Session)]
            self._waiting = deque(item for item in self._waiting if isinstance(item, Session))
            return given

    def close(self) -> None:
        """No trial will come any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        self._steps.end()

    # -- what is fetched

    def _take(self) -> dict[str, Any]:
        parts: list[dict[str, Any]] = []
        until = time.monotonic() + _MESSAGE_S
        while (session := self._fetching()) is not None:
            part = session.take(-1.0 if not parts else 0.0)
            left = until - time.monotonic()
            if parts and not part and left > 0 and len(parts) < _MESSAGE_TRIALS:
                part = session.take(left)  # a short one that has just begun
            parts.append({**part, "id": session.spec["id"]})
            if "end" not in part:
                break
            with self._changed:
                self._begun.popleft()
        message = parts[0]
        if len(parts) > 1:
            message["after"] = parts[1:]
        return message

    def _fetching(self) -> Session | None:
        """Whose results are next: None when all have ended."""
        with self._changed:
            while not self._begun and self._waiting:  # it is about to begin
                self._changed.wait()
            self._fetched = self._begun[0] if self._begun else None
            return self._fetched

    # -- the thread

    def _work(self) -> None:
        session = self._next(None, {})
        while session is not None:
            session = self._next(session, self._trained(session))

    def _next(self, ended: Session | None, end: dict[str, Any]) -> Session | None:
        """Its end and the next one's beginning are seen together."""
        with self._changed:
            if end.get("kind") == "error":
                self._failed = True
                self._waiting.clear()
            following = self._begin() if self._waiting else None
            if ended is not None:
                ended.finish(**end)
            while following is None and not self._closed:
                self._changed.wait()
                following = self._begin() if self._waiting else None
            return following

    def _begin(self) -> Session:
        item = self._waiting.popleft()
        if not isinstance(item, Session):
            item = Session(
                {**self._common, "restore": "", "iteration": 0, "next_checkpoint": 0, "begins": True, **item}
            )
            self._begun.append(item)
            self._changed.notify_all()
        _session.enter(item)
        return item

    def _trained(self, session: Session) -> dict[str, Any]:
        """How it ended."""
        spec = session.spec
        try:
            if spec.get("begins"):
                begin_folder(spec["folder"], spec["config"])
            with _session.in_folder(spec["folder"]):
                try:
                    if is_class(self._trainable):
                        self._steps.run(self._trainable, spec["config"], session)
                    else:
                        run_function(self._trainable, spec["config"], session)
                except Ended:
                    return {"kind": session.asked or "stopped", "saved": session.saved}
            return {"kind": "finished"}
        except SystemExit as error:
            what = f"the trainable called sys.exit({error.code!r}): return instead"
            return {"kind": "error", "text": traceback.format_exc(), "what": what}
        except BaseException as error:
            what = "".join(traceback.format_exception_only(error)).strip()
            return {"kind": "error", "text": traceback.format_exc(), "what": what}

"""The process of a trial: one thread trains, the actor's calls fetch what it has reported and bring answers."""

from __future__ import annotations

import threading
import traceback
from typing import Any

from . import session as _session
from .session import Ended, Session
from .trainable import Steps, is_class, run_function

__all__ = ["TrialActor"]


class TrialActor:
    """Threads of calls: `start` and `poll` one after the other, `ask` beside them."""

    def __init__(self, trainable: Any) -> None:
        self._trainable = trainable
        self._steps = Steps()
        self._thread: threading.Thread | None = None
        self._session: Session | None = None

    def start(self, spec: dict[str, Any]) -> dict[str, Any]:
        """Begins a trial, and its first poll."""
        if self._thread is not None:
            self._thread.join()
        self._session = Session(spec)
        _session.enter(self._session)
        self._thread = threading.Thread(target=self._train, args=(self._session,), name="trial", daemon=True)
        self._thread.start()
        return self._session.take()

    def poll(self, counted: int, next_time: float, asked: str) -> dict[str, Any]:
        """Answers what was fetched before, and waits for more."""
        assert self._session is not None
        self._session.answer(counted, next_time, asked)
        return self._session.take()

    def ask(self, what: str) -> None:
        """The trial ends at its next report."""
        assert self._session is not None
        self._session.answer(0, self._session.next, what)

    def close(self) -> None:
        """No trial will come any more."""
        if self._thread is not None:
            self._thread.join()
        self._steps.end()

    def _train(self, session: Session) -> None:
        try:
            with _session.in_folder(session.spec["folder"]):
                try:
                    if is_class(self._trainable):
                        self._steps.run(self._trainable, session.spec["config"], session)
                    else:
                        run_function(self._trainable, session.spec["config"], session)
                except Ended:
                    session.finish(kind=session.asked or "stopped", saved=session.saved)
                    return
            session.finish(kind="finished")
        except SystemExit as error:
            what = f"the trainable called sys.exit({error.code!r}): return instead"
            session.finish(kind="error", text=traceback.format_exc(), what=what)
        except BaseException as error:
            what = "".join(traceback.format_exception_only(error)).strip()
            session.finish(kind="error", text=traceback.format_exc(), what=what)

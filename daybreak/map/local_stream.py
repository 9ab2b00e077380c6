"""A job of this machine's engine whose results somebody reads one after the other, with nothing between him and the runtime."""

from __future__ import annotations

import threading
import weakref

from daybreak.runtime import batch as _batch
from daybreak.runtime import exceptions

from .engine import Completion
from .errors import CallCancelled
from .local_calls import USER, Calls, started
from .retrying import Inputs, error_of, may_try_again, with_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .engine import Job, Tell
    from .local_calls import Host

__all__ = ["LocalStream"]


class LocalStream:
    """Results of a job in the order of its inputs, for one reader; see `told`."""

    def __init__(self, engine: Host, job: Job) -> None:
        started()
        self.engine, self.job = engine, job
        self._inputs = Inputs(job)
        self._source = self._inputs if job.again is None else job.inputs
        self._function = _batch.export(job.function)
        self._main = engine.calls(job, self._function, star=job.star, ordered=True)
        self.native = self._main.native
        self._lock = threading.RLock()
        self._closed = False
        self._fed: int = 0
        self._tell: Tell | None = None
        self._spare: Calls | None = None

    @property
    def taken(self) -> int:
        return self._fed

    def take(self, most: int) -> int:
        before: int = self.native.fed
        try:
            if not self._main.feed(self._source, most, told=self._tell is not None):
                self.end()
        except BaseException:
            self.end()
            raise
        finally:
            self._fed = int(self.native.fed)
        return self._fed - before

    def end(self) -> None:
        self.native.end_inputs()

    def next(self, timeout: float | None = None) -> Any:
        """As Batch.next(); _MORE_INPUTS: `take` is to be called first."""
        native = self.native
        try:
            value = native.next(timeout)
        except StopIteration:
            problem = native.take_problem()
            if problem is None:
                raise
        except BaseException as error:
            if type(error) is TimeoutError or isinstance(error, KeyboardInterrupt):
                raise
            if native.lost:
                return self._alone(native.index, error)
            self._inputs.forget(native.index)
            with_place(error, self.job, native.index)
            raise
        else:
            if self._inputs.kept:
                self._inputs.forget(native.index)
            return value
        raise problem

    def _alone(self, index: int, error: BaseException) -> Any:
        """A call whose process died is run again by itself, so that it takes no other along."""
        tries = 1
        while may_try_again(self.job, error, tries):
            if self._spare is None:
                self._spare = self.engine.calls(self.job, self._function, star=self.job.star, ordered=True, most=1)
            self._spare.feed(iter([self._inputs.again(index)]), 1)
            try:
                value = self._spare.native.next(None)
                self._inputs.forget(index)
                return value
            except (exceptions.WorkerCrashedError, exceptions.OutOfMemoryError) as again:
                error = again
            tries += 1
        self._inputs.forget(index)
        raise with_place(error_of(self.job, index, error, tries), self.job, index) from None

    # ---- or told

    def told(self, tell: Tell) -> LocalStream:
        """From now on what is done is told, in whatever order, and `next` is not to be called any more."""
        self._tell = tell
        self._numbers: dict[int, int] = {}  # of the spare's calls
        self._tries: dict[int, int] = {}
        self._hear(self.native)
        self.native.unorder()
        self.engine.news_of(self)
        return self

    def _hear(self, native: Any) -> None:
        me, engine = weakref.ref(self), self.engine

        def on_done() -> None:
            run = me()
            if run is not None:
                engine.news_of(run)

        native.on_done = on_done
        _batch.go_on_with(native)

    def look(self) -> bool:
        told: list[Completion] = []
        with self._lock:
            if self._closed:
                return False
            for number, how, content in self.native.read_ready():
                self._settle(number, how, content, told)
            if self._spare is not None:
                for number, how, content in self._spare.native.read_ready():
                    self._settle(self._numbers.pop(number), how, content, told)
        if told and self._tell is not None:
            self._tell(told)
        return False

    def _settle(self, index: int, how: int, content: Any, told: list[Completion]) -> None:
        error = None
        if how == 1:
            error, content = exceptions._from_object(USER, content), None
        elif how == 2:
            error, content = content, None
            tries = self._tries.get(index, 0) + 1
            if may_try_again(self.job, error, tries):
                self._tries[index] = tries
                self._again(index)
                return
            error = error_of(self.job, index, error, tries)
        completion = Completion(index, content, error)
        if error is not None:
            with_place(error, self.job, index)
            completion.input = self._inputs.of_failed(index)
        self._inputs.forget(index)
        told.append(completion)

    def _again(self, index: int) -> None:
        if self._spare is None:
            self._spare = self.engine.calls(self.job, self._function, star=self.job.star, most=1)
            self._hear(self._spare.native)
        self._numbers[self._spare.native.fed] = index
        self._spare.feed(iter([self._inputs.again(index)]), 1)

    def fail_all(self, error: BaseException) -> None:
        """The runtime is gone. Who waits is told so by what he waits for: a call that is not known to be done."""
        with self._lock:
            self._closed = True
            text = f"{self.job.callset_id}: {error}"
            told = [Completion(index, error=RuntimeError(f"call {index} of {text}")) for index in range(self._fed)]
        if self._tell is not None:
            self._tell(told)

    def counts(self) -> tuple[int, int]:
        queued, running, *_ = self.native.counts()
        return queued, running

    def cancel(self, indices: Sequence[int] | None = None, *, force: bool = False) -> None:
        if self._closed:
            return
        if indices is not None and self._tell is not None:
            if force:
                for index in indices:
                    self.native.cancel_one(index, True)
            of = self.job.callset_id
            self._tell([Completion(i, error=CallCancelled(f"call {i} of {of} was cancelled")) for i in indices])
            return
        self.end()
        self.native.cancel(force)
        self.native.pump()
        _batch.go_on_with(self.native)

    def close(self) -> None:
        self._closed = True
        self.native.close()
        if self._spare is not None:
            self._spare.native.close()

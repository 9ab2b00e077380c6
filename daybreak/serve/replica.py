"""The process of a replica: an actor of the runtime that loads a model, warms it up and answers its batches.

Here, and nowhere else in the room, bytes of a model are unpickled.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from daybreak.serve import results

__all__ = ["Job", "Replica"]


@dataclass(frozen=True)
class Job:
    """What a replica needs to know. address is a secret, good once; data or path (and the hash of what lies there) is the model."""

    address: str
    output_pipe: str
    sha256: str
    path: str = ""
    data: bytes = b""
    batch: str = "list"
    output: str = "json"

    def __repr__(self) -> str:
        return f"Job({self.sha256[:12]})"


class Replica:
    """Made by the server with `daybreak.remote`; `run` is its life."""

    def __init__(self, job: Job) -> None:
        self._job = job
        _redirect(job.output_pipe)

    def run(self) -> str:
        """Loads, warms up, serves until the server ends it. Gives back how it ended; raises what the model raised."""
        job = self._job
        try:
            predict = _load(job)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            raise
        from daybreak._core import serve as _core

        channel = _core.replica_attach(job.address)
        channel.ready()
        channel.serve(predict, job.batch, job.output)
        return "ended"


def _redirect(pipe: str) -> None:
    """Standard output and error into the server's log, also those of C code."""
    descriptor = os.open(pipe, os.O_WRONLY | os.O_CLOEXEC)
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        for target in (1, 2):
            os.dup2(descriptor, target)
    finally:
        os.close(descriptor)


def _load(job: Job) -> Callable[[Any], Any]:
    data = job.data
    if not data:
        with open(job.path, "rb") as file:
            data = file.read()
    if hashlib.sha256(data).hexdigest() != job.sha256:
        raise ValueError("the bytes of the model were altered: deploy it again")
    import cloudpickle

    model = cloudpickle.loads(data)
    del data
    warm_up = getattr(model, "warm_up", None)
    if callable(warm_up):
        warmed = warm_up()
        if inspect.isawaitable(warmed):
            results.completed(warmed)
    return predict_of(model)


# Of libraries whose objects take something else than a batch of arrays: (package, class).
_WAYS = {
    ("torch", "Module"): (
        "it takes tensors; give a function, def f(rows): return module(torch.tensor(rows)), with "
        "input_type='floats', batch='array'"
    ),
    ("onnxruntime", "InferenceSession"): (
        "it stays in its process; give an object that holds the model's bytes, makes the session in warm_up() and runs it in "
        "predict(rows) (daybreak/serve/README.md has it)"
    ),
    (
        "xgboost",
        "Booster",
    ): "it takes a DMatrix; give a function, def f(rows): return booster.predict(xgboost.DMatrix(rows))",
}


def predict_of(model: Any) -> Callable[[Any], Any]:
    """Its method `predict`, or the callable itself. TypeError for anything else, and for a generator, which gives no results."""
    predict = getattr(model, "predict", None)
    if isinstance(model, type):
        raise TypeError(
            f"a model is a function or an object with predict(); this is a type: give {model.__name__}(...), an object of it"
        )
    if not callable(predict):
        for base in type(model).__mro__:
            way = _WAYS.get((base.__module__.partition(".")[0], base.__name__))
            if way is not None:
                raise TypeError(f"a {type(model).__name__} is no model as it is: {way}")
        predict = model
    if not callable(predict):
        raise TypeError(f"a model is a function or an object with predict(); this is a {type(model).__name__}")
    for function in (predict, type(predict).__call__):
        for is_one, what in (
            (inspect.isgeneratorfunction, "a generator"),
            (inspect.isasyncgenfunction, "an async generator"),
        ):
            if is_one(function):
                raise TypeError(
                    f"the model is {what}, which gives no sequence of results: return a list of one for each input"
                )
    return predict  # type: ignore[no-any-return]

"""Counters, gauges and histograms that tasks, actors and the driver share, read out as Prometheus text.

>>> from daybreak.util.metrics import Counter, prometheus_text
>>> answered = Counter("answered_total", "Questions answered.", tag_keys=("route",))
>>> answered.inc(2, tags={"route": "/a"})
>>> print(prometheus_text(), end="")
# HELP answered_total Questions answered.
# TYPE answered_total counter
answered_total{route="/a"} 2

A process sends what it has counted every half second, at `flush`, and where it reads the text; what it counts in the half second
before it is killed is lost. One process keeps the sums, an actor that starts with the first record.
"""

from __future__ import annotations

import bisect
import math
import re
import threading

from daybreak.runtime import get, is_initialized, remote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["Counter", "Gauge", "Histogram", "Metric", "flush", "prometheus_text"]

MAX_SERIES = 1000  # tag values of one metric; what comes after them is counted under "_other" in every tag
MAX_TAG_KEYS = 8
MAX_BOUNDARIES = 64
_EVERY_S = 0.5
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_TAG = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class _Sums:
    """What has been counted: of this process since it last sent, or of all."""

    def __init__(self) -> None:
        self.described: dict[str, tuple[str, str, tuple[str, ...], tuple[float, ...]]] = {}
        self.series: dict[str, dict[tuple[str, ...], list[float]]] = {}

    def add(self, name: str, tags: tuple[str, ...], amounts: list[float], replace: bool) -> None:
        of_name = self.series.setdefault(name, {})
        if tags not in of_name and len(of_name) >= MAX_SERIES:
            tags = ("_other",) * len(tags)
        held = of_name.get(tags)
        if held is None or replace:
            of_name[tags] = list(amounts)
        else:
            for i, amount in enumerate(amounts):
                held[i] += amount

    def merge(self, other: _Sums) -> None:
        self.described.update(other.described)
        for name, of_name in other.series.items():
            for tags, amounts in of_name.items():
                self.add(name, tags, amounts, self.described[name][0] == "gauge")

    def text(self) -> str:
        """Prometheus' format 0.0.4, sorted."""
        lines = []
        for name in sorted(self.series):
            kind, description, keys, bounds = self.described[name]
            lines += [f"# HELP {name} {_escaped(description)}", f"# TYPE {name} {kind}"]
            for tags, amounts in sorted(self.series[name].items()):
                labels = [f'{key}="{_quoted(value)}"' for key, value in zip(keys, tags, strict=True)]
                if kind != "histogram":
                    lines.append(f"{name}{_braced(labels)} {_number(amounts[0])}")
                    continue
                total = 0.0
                for bound, count in zip((*bounds, math.inf), amounts, strict=False):  # the sum is the last of them
                    total += count
                    lines.append(f"{name}_bucket{_braced([*labels, f'le={_le(bound)}'])} {_number(total)}")
                lines.append(f"{name}_sum{_braced(labels)} {_number(amounts[-1])}")
                lines.append(f"{name}_count{_braced(labels)} {_number(total)}")
        return "".join(f"{line}\n" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')


def _braced(labels: list[str]) -> str:
    return "{" + ",".join(labels) + "}" if labels else ""


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else str(int(value)) if value == int(value) else repr(value)


def _le(bound: float) -> str:
    return f'"{_number(bound)}"'


class _Collector:
    """The actor with the sums of all processes."""

    def __init__(self) -> None:
        self._sums = _Sums()

    def take(self, sums: _Sums) -> None:
        self._sums.merge(sums)

    def text(self) -> str:
        return self._sums.text()


_lock = threading.Lock()  # of the next three
_described: dict[str, Any] = {}  # what the names mean in this process
_unsent = _Sums()
_sender: threading.Thread | None = None


def _collector() -> Any:
    return (
        remote(_Collector)
        .options(name="metrics", namespace="_daybreak", get_if_exists=True, lifetime="detached", num_cpus=0)
        .remote()
    )


def _send_for_ever() -> None:
    pause = threading.Event()  # nobody sets it
    while True:
        pause.wait(_EVERY_S)
        try:
            flush()
        except Exception:  # the runtime is being shut down: they are sent to the next one
            pass


def flush() -> None:
    """Sends what this process has counted, if a runtime is running."""
    global _unsent
    if not is_initialized():
        return
    with _lock:
        sums, _unsent = _unsent, _Sums()
    if sums.series:
        try:
            get(_collector().take.remote(sums))
        except BaseException:
            with _lock:
                sums.merge(_unsent)
                _unsent = sums
            raise


def prometheus_text() -> str:
    """What has been counted in all processes of the runtime that is running; without one, in this process."""
    flush()
    if is_initialized():
        return str(get(_collector().text.remote()))
    with _lock:
        return _unsent.text()


class Metric:
    """What the three have in common.

    Args:
        name: letters, digits, underscores and colons, no digit first.
        description: a sentence.
        tag_keys: names of tags; each record says a value for each, unless it has a default.
    """

    _kind = ""

    def __init__(self, name: str, description: str = "", tag_keys: tuple[str, ...] | None = None) -> None:
        keys = tag_keys if tag_keys is not None else ()
        if not isinstance(keys, tuple):
            raise TypeError(f"tag_keys={keys!r}: a tuple of names expected")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"name={name!r}: letters, digits, '_' and ':' are possible, no digit first")
        if len(keys) > MAX_TAG_KEYS:
            raise ValueError(f"tag_keys: {len(keys)} of them, at most {MAX_TAG_KEYS} are possible")
        for key in keys:
            if not isinstance(key, str):
                raise TypeError(f"tag_keys={keys!r}: each must be a string")
            if not _TAG.fullmatch(key) or (key == "le" and self._kind == "histogram"):
                raise ValueError(
                    f"tag key {key!r}: letters, digits and '_' are possible, no digit first; 'le' is a histogram's own"
                )
        self._name = name
        self._description = description
        self._keys = keys
        self._defaults: dict[str, str] = {}
        self._boundaries: tuple[float, ...] = ()

    @property
    def info(self) -> dict[str, Any]:
        return {
            "name": self._name,
            "description": self._description,
            "tag_keys": self._keys,
            "default_tags": self._defaults,
        }

    def set_default_tags(self, default_tags: dict[str, str]) -> Metric:
        """Values for tags that a record does not name; gives the metric itself."""
        self._check_tags(default_tags)
        self._defaults = dict(default_tags)
        return self

    def _check_tags(self, tags: dict[str, str]) -> None:
        for key, value in tags.items():
            if key not in self._keys:
                raise ValueError(f"tag {key!r}: {self._name} has {', '.join(self._keys) or 'none'}")
            if not isinstance(value, str):
                raise TypeError(f"tag {key}={value!r}: its value must be a string")

    def _record(self, amounts: list[float], tags: dict[str, str] | None) -> None:
        global _sender
        tags = tags or {}
        self._check_tags(tags)
        merged = {**self._defaults, **tags}
        missing = [key for key in self._keys if key not in merged]
        if missing:
            raise ValueError(f"{self._name} needs a value for the tags {', '.join(missing)}")
        described = (self._kind, self._description, self._keys, self._boundaries)
        with _lock:
            known = _described.setdefault(self._name, described)
            if known[0] != self._kind or known[2:] != described[2:]:
                raise ValueError(f"{self._name} is a {known[0]} with the tags {known[2]} already: take another name")
            _unsent.described[self._name] = known
            _unsent.add(self._name, tuple(merged[key] for key in self._keys), amounts, self._kind == "gauge")
            if _sender is None:
                _sender = threading.Thread(target=_send_for_ever, name="daybreak-metrics", daemon=True)
                _sender.start()


def _checked(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"value={value!r}: a number expected")
    return value


class Counter(Metric):
    """Only goes up."""

    _kind = "counter"

    def __reduce__(self) -> Any:
        return _rebuilt, (Counter, (self._name, self._description, self._keys), self._defaults)

    def inc(self, value: float = 1.0, tags: dict[str, str] | None = None) -> None:
        """Adds `value`, which is above 0."""
        if _checked(value) <= 0:
            raise ValueError(f"value={value}: a counter goes up, by more than 0")
        self._record([value], tags)


class Gauge(Metric):
    """The last value that was set."""

    _kind = "gauge"

    def __reduce__(self) -> Any:
        return _rebuilt, (Gauge, (self._name, self._description, self._keys), self._defaults)

    def set(self, value: float, tags: dict[str, str] | None = None) -> None:
        self._record([_checked(value)], tags)


class Histogram(Metric):
    """How many values were at or under each of the boundaries, and their sum.

    Args:
        boundaries: at least one, above 0, rising.
    """

    _kind = "histogram"

    def __init__(
        self,
        name: str,
        description: str = "",
        boundaries: Sequence[float] | None = None,
        tag_keys: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__(name, description, tag_keys)
        bounds = tuple(boundaries or ())
        if not 0 < len(bounds) <= MAX_BOUNDARIES:
            raise ValueError(f"boundaries={boundaries!r}: 1 to {MAX_BOUNDARIES} numbers expected, as in [0.1, 1, 10]")
        if any(bound <= 0 for bound in bounds) or list(bounds) != sorted(set(bounds)):
            raise ValueError(f"boundaries={boundaries!r}: they must be above 0 and rise")
        self._boundaries = bounds

    @property
    def info(self) -> dict[str, Any]:
        return {**super().info, "boundaries": list(self._boundaries)}

    def __reduce__(self) -> Any:
        return _rebuilt, (Histogram, (self._name, self._description, self._boundaries, self._keys), self._defaults)

    def observe(self, value: float, tags: dict[str, str] | None = None) -> None:
        """Counts a value."""
        amounts: list[float] = [0.0] * (len(self._boundaries) + 2)  # the buckets, what is above them, the sum
        amounts[bisect.bisect_left(self._boundaries, _checked(value))] = 1.0
        amounts[-1] = value
        self._record(amounts, tags)


def _rebuilt(kind: type[Metric], arguments: tuple[Any, ...], defaults: dict[str, str]) -> Metric:
    return kind(*arguments).set_default_tags(defaults)

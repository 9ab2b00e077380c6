"""What tasks and actors count, in Prometheus' words."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from daybreak.util import metrics
from daybreak.util.metrics import Counter, Gauge, Histogram, prometheus_text

from .conftest import eventually


@pytest.fixture
def ray(two_cpus: Any) -> Iterator[Any]:
    metrics._unsent = metrics._Sums()
    metrics._described.clear()
    yield two_cpus
    metrics._unsent = metrics._Sums()
    metrics._described.clear()


def lines_of(name: str) -> list[str]:
    return [line for line in prometheus_text().splitlines() if line.partition("{")[0].split()[0].startswith(name)]


def test_a_counter_sums_what_all_processes_count(ray: Any) -> None:
    counter = Counter("answered_total", "Questions answered.", tag_keys=("route", "status"))
    assert counter.set_default_tags({"status": "200"}) is counter

    @ray.remote
    def count(n: int) -> None:
        counter.inc(n, tags={"route": "/a"})
        metrics.flush()

    ray.get([count.remote(n) for n in (1, 2, 3)])
    counter.inc(tags={"route": "/a"})
    counter.inc(0.5, tags={"route": '/"quoted"\n', "status": "404"})
    assert prometheus_text() == (
        "# HELP answered_total Questions answered.\n"
        "# TYPE answered_total counter\n"
        'answered_total{route="/\\"quoted\\"\\n",status="404"} 0.5\n'
        'answered_total{route="/a",status="200"} 7\n'
    )


def test_what_a_process_counts_arrives_without_being_asked_for(ray: Any) -> None:
    counter = Counter("arrives_total")
    ray.get(ray.remote(counter.inc).remote(4))
    assert eventually(lambda: lines_of("arrives_total") == ["arrives_total 4"])


def test_a_gauge_is_what_was_set_last(ray: Any) -> None:
    gauge = Gauge("depth", tag_keys=("queue",))
    for value in (3, -1.5):
        gauge.set(value, tags={"queue": "a"})
    gauge.set(math.inf, tags={"queue": "b"})
    assert lines_of("depth") == ['depth{queue="a"} -1.5', 'depth{queue="b"} +Inf']
    ray.get(ray.remote(lambda: (gauge.set(8, tags={"queue": "a"}), metrics.flush()) and None).remote())
    assert lines_of("depth")[0] == 'depth{queue="a"} 8'


def test_a_histogram_counts_what_is_at_or_under_each_boundary(ray: Any) -> None:
    histogram = Histogram("seconds", boundaries=[0.1, 1], tag_keys=("op",))
    for value in (0.05, 0.1, 0.5, 30):
        histogram.observe(value, tags={"op": "read"})
    assert lines_of("seconds") == [
        'seconds_bucket{op="read",le="0.1"} 2',
        'seconds_bucket{op="read",le="1"} 3',
        'seconds_bucket{op="read",le="+Inf"} 4',
        'seconds_sum{op="read"} 30.65',
        'seconds_count{op="read"} 4',
    ]


def test_metrics_cross_processes_with_their_defaults() -> None:
    for metric in (Counter("a", "b", ("c",)), Gauge("a", "b", ("c",)), Histogram("a", "b", [1, 2], ("c",))):
        metric.set_default_tags({"c": "d"})
        assert pickle.loads(pickle.dumps(metric)).info == metric.info
    assert Histogram("a", boundaries=[1, 2]).info == {
        "name": "a",
        "description": "",
        "tag_keys": (),
        "default_tags": {},
        "boundaries": [1, 2],
    }


def test_tag_values_beyond_the_limit_are_counted_together(ray: Any) -> None:
    counter = Counter("many_total", tag_keys=("user",))
    for i in range(metrics.MAX_SERIES + 5):
        counter.inc(tags={"user": str(i)})
    found = lines_of("many_total")
    assert len(found) == metrics.MAX_SERIES + 1 and 'many_total{user="_other"} 5' in found


@pytest.mark.parametrize(
    ("make", "error", "what"),
    [
        (lambda: Counter("1st"), ValueError, "no digit first"),
        (lambda: Counter("a b"), ValueError, "name='a b'"),
        (lambda: Counter("a", tag_keys=["b"]), TypeError, "a tuple of names"),  # type: ignore[arg-type]
        (lambda: Counter("a", tag_keys=(1,)), TypeError, "must be a string"),  # type: ignore[arg-type]
        (lambda: Counter("a", tag_keys=("b-c",)), ValueError, "tag key 'b-c'"),
        (lambda: Counter("a", tag_keys=tuple("abcdefghi")), ValueError, "at most 8"),
        (lambda: Counter("a").inc(0), ValueError, "more than 0"),
        (lambda: Counter("a").inc("1"), TypeError, "a number expected"),  # type: ignore[arg-type]
        (lambda: Counter("a", tag_keys=("b",)).inc(), ValueError, "needs a value for the tags b"),
        (lambda: Counter("a").inc(tags={"b": "c"}), ValueError, "tag 'b': a has none"),
        (lambda: Counter("a", tag_keys=("b",)).inc(tags={"b": 1}), TypeError, "must be a string"),  # type: ignore[dict-item]
        (lambda: Counter("a").set_default_tags({"b": "c"}), ValueError, "tag 'b'"),
        (lambda: Gauge("a").set(None), TypeError, "a number expected"),  # type: ignore[arg-type]
        (lambda: Histogram("a"), ValueError, "boundaries=None"),
        (lambda: Histogram("a", boundaries=[2, 1]), ValueError, "rise"),
        (lambda: Histogram("a", boundaries=[0, 1]), ValueError, "above 0"),
        (lambda: Histogram("a", boundaries=range(1, 100)), ValueError, "1 to 64"),
        (lambda: Histogram("a", boundaries=[1], tag_keys=("le",)), ValueError, "'le' is a histogram's own"),
    ],
)
def test_bad_metrics_are_refused_by_name(make: Any, error: type[Exception], what: str) -> None:
    with pytest.raises(error, match=what):
        make()


def test_a_name_means_one_metric(ray: Any) -> None:
    Counter("twice", tag_keys=("a",)).inc(tags={"a": "b"})
    metrics.flush()
    with pytest.raises(ValueError, match="twice is a counter"):
        Gauge("twice").set(1)
    with pytest.raises(ValueError, match="twice is a counter"):
        Counter("twice").inc()

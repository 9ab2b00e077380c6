"""Serving: requests, latencies and CPU beside FastAPI, Ray Serve and LitServe; overload; batching; the price of the gate."""

from bench.rows import Row

ROWS = [
    Row(
        "noop_http",
        "1/s",
        "higher",
        "POST of 8 doubles through one Python replica, wrk with 64 connections",
        must=12,
        rounds=5,
    ),
    Row(
        "noop_http_2",
        "1/s",
        "higher",
        "the same beside FastAPI under uvicorn with two workers: theirs use both cores, ours one replica",
        rounds=3,
    ),
    Row(
        "noop_http_cpu", "ms/1000", "lower", "CPU of all server processes for 1,000 of these requests", must=8, rounds=5
    ),
    Row("noop_http_p50_c1", "us", "lower", "median latency of one connection", must=3, rounds=5),
    Row(
        "noop_native",
        "1/s",
        "higher",
        "a policy of 4 doubles in the server's process (theirs: no model at all)",
        must=15,
        rounds=5,
    ),
    Row(
        "slo_at_2x_overload",
        "share",
        "higher",
        "2 ms + 0.5 ms x batch (at most 16), 50 ms SLO, Poisson arrivals at twice the capacity: real answers as a share of the"
        " capacity; every request is answered, p99.9 of all from the intended send within the SLO + 5 ms; median of 5 runs",
        must_value=0.9,
        floors={"answered": 1.0, "slack_ms": 0.0},
        rounds=1,
    ),
    Row(
        "batching_gain",
        "share",
        "higher",
        "a model of 1 ms a call, closed loop of 64: found batch size beside the best fixed one (info: beside size 1)",
        must_value=0.95,
        rounds=1,
    ),
    Row(
        "gate_cpu",
        "ms/1000",
        "lower",
        "what a warm session adds to the CPU of 1,000 requests, interleaved",
        must_value=10,
        rounds=1,
    ),
    Row("gate_check_native", "us", "lower", "one check of a warm session, called from Python", must_value=2, rounds=3),
]


def _open(rate, percentile):
    at = {"p50": "median", "p99": "99th percentile", "p999": "99.9th percentile"}[percentile]
    what = f"Poisson arrivals at {rate:,}/s, 64 connections, each request from its intended send: {at}"
    return Row(f"open_{rate // 1000}k_{percentile}", "us", "lower", what, rounds=3, against="best")


ROWS += [_open(rate, percentile) for rate in (1000, 4000) for percentile in ("p50", "p99", "p999")]
ROWS += [
    Row("input_2mb", "1/s", "higher", "2 MB of JSON a request, 4 connections", rounds=3, against="best"),
    Row(
        "model_5ms",
        "1/s",
        "higher",
        "a model that is busy for 5 ms an input, 8 connections; two processes have it, but FastAPI's one",
        rounds=3,
        against="best",
    ),
    Row("model_5ms_p99", "ms", "lower", "the same, 150 arrivals a second: 99th percentile", rounds=3, against="best"),
]
PEERS = ["fastapi", "uvicorn_2", "ray_serve", "litserve"]

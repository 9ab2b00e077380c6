REQUIREMENTS = ["ray[serve]==2.60.*"]
PACKAGES = ["wrk"]
ENV = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_SERVE_LOG_TO_STDERR": "0",
}
QUICK = False

import time  # noqa: E402
from itertools import count  # noqa: E402

import ray  # noqa: E402
from ray import serve  # noqa: E402

from bench.serve import client  # noqa: E402

port = client.free_port()
address = f"127.0.0.1:{port}"
rows = client.Rows(address, "/noop", lambda: QUICK)
noop_http, noop_http_cpu, noop_http_p50_c1 = rows.noop_http, rows.noop_http_cpu, rows.noop_http_p50_c1


@serve.deployment(ray_actor_options={"num_cpus": 0}, max_ongoing_requests=100)
class Noop:
    def __init__(self):
        self.ids = count()

    async def __call__(self, request):
        query = await request.json()
        return {"query_id": next(self.ids), "output": query["input"][0], "default": False}


def slow(queued):
    """What waits beyond `queued` is refused with 503, as Ray's manual advises under overload; -1: nothing is."""
    fixed_s, each_s, most = client.FIXED_S, client.EACH_S, client.MAX_BATCH

    class Slow:  # in here, so that it travels by value: its workers cannot import this file
        @serve.batch(max_batch_size=most, batch_wait_timeout_s=0.0)
        async def work(self, inputs):
            time.sleep(fixed_s + each_s * len(inputs))
            return [x[0] for x in inputs]

        async def __call__(self, request):
            query = await request.json()
            return {"query_id": 0, "output": await self.work(query["input"]), "default": False}

    options = {"ray_actor_options": {"num_cpus": 0}, "max_ongoing_requests": 2 * most, "max_queued_requests": queued}
    return serve.deployment(Slow, **options).bind()


def setup():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(Noop.bind(), name="noop", route_prefix="/noop")


def teardown():
    serve.shutdown()
    ray.shutdown()


def slo_at_2x_overload():
    serve.run(slow(-1), name="patient", route_prefix="/patient")
    serve.run(slow(client.MAX_BATCH), name="slow", route_prefix="/slow")
    return client.overload(address, "/patient", "/slow", QUICK)

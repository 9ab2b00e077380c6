REQUIREMENTS = ["fastapi==0.165.*", "uvicorn[standard]==0.54.*"]
PACKAGES = ["wrk"]
QUICK = False

import json  # noqa: E402
from contextlib import ExitStack  # noqa: E402

from bench.serve import client  # noqa: E402

running = ExitStack()
address = f"127.0.0.1:{client.free_port()}"
rows = client.Rows(address, "/noop/predict", lambda: QUICK)
noop_http, noop_http_cpu, noop_http_p50_c1 = rows.noop_http, rows.noop_http_cpu, rows.noop_http_p50_c1
globals().update({name: getattr(rows, name) for name in client.HONEST})


def setup():
    running.enter_context(client.fastapi(address, workers=1))


def teardown():
    running.close()


def noop_native():
    body = json.dumps({"input": client.INPUT[:4]})
    return client.wrk(address, "/noop/predict", 1 if QUICK else 3, body=body)["rate"]

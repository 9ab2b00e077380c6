"""FastAPI under uvicorn with two workers, one for each core."""

REQUIREMENTS = ["fastapi==0.165.*", "uvicorn[standard]==0.54.*"]
PACKAGES = ["wrk"]
QUICK = False

from contextlib import ExitStack  # noqa: E402

from bench.serve import client  # noqa: E402

running = ExitStack()
address = f"127.0.0.1:{client.free_port()}"
rows = client.Rows(address, "/noop/predict", lambda: QUICK)
noop_http_2 = rows.noop_http
globals().update({name: getattr(rows, name) for name in client.HONEST})


def setup():
    running.enter_context(client.fastapi(address, workers=2))


def teardown():
    running.close()

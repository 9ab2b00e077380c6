"""FastAPI under uvicorn with two workers, one for each core."""

REQUIREMENTS = ["fastapi==0.165.*", "uvicorn[standard]==0.54.*"]
PACKAGES = ["wrk"]
QUICK = False

import tempfile  # noqa: E402
from contextlib import ExitStack  # noqa: E402
from pathlib import Path  # noqa: E402

from bench.serve import client  # noqa: E402

APP = """
import time
from itertools import count
from fastapi import FastAPI
from pydantic import BaseModel

class Query(BaseModel):
    input: list[float]

class Answer(BaseModel):
    query_id: int
    output: float
    default: bool

app, ids = FastAPI(), count()

@app.post("/noop/predict")
async def predict(query: Query) -> Answer:
    return Answer(query_id=next(ids), output=query.input[0], default=False)

@app.post("/busy/predict")
async def busy(query: Query) -> Answer:
    end = time.perf_counter() + 0.005
    while time.perf_counter() < end: pass
    return Answer(query_id=next(ids), output=query.input[0], default=False)
"""
OPTIONS = ["--workers", "2", "--loop", "uvloop", "--http", "httptools", "--log-level", "warning", "--no-access-log"]

running = ExitStack()
address = f"127.0.0.1:{client.free_port()}"
rows = client.Rows(address, "/noop/predict", lambda: QUICK)
noop_http_2 = rows.noop_http
globals().update({name: getattr(rows, name) for name in client.HONEST})


def setup():
    folder = running.enter_context(tempfile.TemporaryDirectory())
    Path(folder, "two_workers.py").write_text(APP)
    command = ["-m", "uvicorn", "two_workers:app", "--app-dir", folder, "--port", address.rsplit(":", 1)[1], *OPTIONS]
    running.enter_context(client.process(command, address, "/noop/predict"))


def teardown():
    running.close()

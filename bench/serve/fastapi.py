REQUIREMENTS = ["fastapi==0.165.*", "uvicorn[standard]==0.54.*"]
PACKAGES = ["wrk"]
QUICK = False

import json  # noqa: E402
from contextlib import ExitStack  # noqa: E402

from bench.serve import client  # noqa: E402

SERVER = """
import sys
import time
from itertools import count
import uvicorn
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

uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), loop="uvloop", http="httptools", log_level="warning", access_log=False)
"""

running = ExitStack()
address = f"127.0.0.1:{client.free_port()}"
rows = client.Rows(address, "/noop/predict", lambda: QUICK)
noop_http, noop_http_cpu, noop_http_p50_c1 = rows.noop_http, rows.noop_http_cpu, rows.noop_http_p50_c1
globals().update({name: getattr(rows, name) for name in client.HONEST})


def setup():
    running.enter_context(client.process(["-c", SERVER, address.rsplit(":", 1)[1]], address, "/noop/predict"))


def teardown():
    running.close()


def noop_native():
    body = json.dumps({"input": client.INPUT[:4]})
    return client.wrk(address, "/noop/predict", 1 if QUICK else 3, body=body)["rate"]

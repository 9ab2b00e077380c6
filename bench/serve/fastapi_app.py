"""The application that FastAPI serves, under one worker of uvicorn (fastapi.py) or two (uvicorn_2.py)."""

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
    while time.perf_counter() < end:
        pass
    return Answer(query_id=next(ids), output=query.input[0], default=False)

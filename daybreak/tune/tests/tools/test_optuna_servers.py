"""Optuna's dashboard and its gRPC proxy over our Storage. `./dev test --suite=tune_tools`."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna_dashboard", reason="needs optuna-dashboard and others: ./dev test --suite=tune_tools")
pytest.importorskip("grpc", reason="needs grpcio and others: ./dev test --suite=tune_tools")

import optuna
import optuna_dashboard
from optuna.trial import TrialState

from daybreak.tune.optuna import Storage

CLIENTS, ENQUEUED, EACH = 8, 24, 8
CLIENT = """
import sys, optuna
optuna.logging.set_verbosity(optuna.logging.ERROR)
storage = optuna.storages.GrpcStorageProxy(host="127.0.0.1", port=int(sys.argv[1]))
storage.wait_server_ready(timeout=60)
study = optuna.load_study(study_name="shared", storage=storage, sampler=optuna.samplers.RandomSampler())
study.optimize(lambda trial: trial.suggest_float("x", 0, 1000), n_trials=int(sys.argv[2]))
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def asked(url: str) -> Any:
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def test_the_dashboard_shows_our_studies(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "studies.journal")
    study = optuna.create_study(storage=storage, study_name="shown", sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(
        lambda trial: trial.suggest_float("x", 0, 1) + (trial.suggest_categorical("k", ["a", "b"]) == "a"), 5
    )
    port = free_port()
    arguments = {"host": "127.0.0.1", "port": port}
    threading.Thread(target=optuna_dashboard.run_server, args=(storage,), kwargs=arguments, daemon=True).start()
    at = f"http://127.0.0.1:{port}/api/studies"
    [summary] = asked(at)["study_summaries"]
    assert summary["study_name"] == "shown"
    detail = asked(f"{at}/{summary['study_id']}?after=0")
    assert [trial["state"] for trial in detail["trials"]] == ["Complete"] * 5
    assert [trial["values"] for trial in detail["trials"]] == [trial.values for trial in study.trials]


def test_eight_processes_share_a_study_through_optunas_proxy_and_each_trial_runs_once(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "studies.journal")
    study = optuna.create_study(storage=storage, study_name="shared")
    for i in range(ENQUEUED):
        study.enqueue_trial({"x": float(i)})
    port = free_port()
    arguments = {"host": "127.0.0.1", "port": port}
    threading.Thread(
        target=optuna.storages.run_grpc_proxy_server, args=(storage,), kwargs=arguments, daemon=True
    ).start()
    clients = [subprocess.Popen([sys.executable, "-c", CLIENT, str(port), str(EACH)]) for _ in range(CLIENTS)]
    assert [client.wait(120) for client in clients] == [0] * CLIENTS
    trials = Storage(tmp_path / "studies.journal").get_all_trials(study._study_id)
    assert len(trials) == CLIENTS * EACH and {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert [trial.number for trial in trials] == list(range(CLIENTS * EACH))
    assert all(trial.value == trial.params["x"] for trial in trials)
    given = Counter(trial.value for trial in trials if "fixed_params" in trial.system_attrs)
    assert given == Counter(float(i) for i in range(ENQUEUED))

"""Worker halves of clouds on this machine, with functions that our engine has shipped. `./dev test --suite=map_workers`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lithops", reason="needs Lithops and others: ./dev test --suite=map_workers")
pytest.importorskip("awslambdaric", reason="needs awslambdaric and others: ./dev test --suite=map_workers")

import lithops
import relay
import servers
from functions import backend_of, fails
from test_inside_lithops import s3_section

from daybreak import map as dmap

BACKENDS = Path(lithops.__file__).parent / "serverless" / "backends"


def environment(endpoint: str) -> dict[str, str]:
    """Of a worker: without Daybreak on its path."""
    return {"PYTHONPATH": "", "AWS_ENDPOINT_URL": endpoint}


def run(config: dict[str, Any], name: str) -> None:
    with dmap.executor("lithops", config=config, retries=0) as made:
        assert list(made.map(backend_of, range(3))) == [(i * i, name) for i in range(3)]
        error = made.call_async(fails, 7).exception()
        assert type(error) is ValueError and str(error) == "no 7" and "raise ValueError" in str(error.__cause__)


def relayed(endpoint: str) -> dict[str, Any]:
    relay.install()
    common = {"backend": "relay", "storage": "minio", "monitoring_interval": 0.2}
    return {"lithops": common, "minio": s3_section(endpoint)}


def entry(backend: str, folder: Path, name: str) -> None:
    """The worker's entry point, as the cloud's zip or image has it: a file beside Lithops, under another name."""
    shutil.copy(BACKENDS / backend / "entry_point.py", folder / name)


def test_aws_lambdas_handler_under_its_runtime_client(s3: str, tmp_path: Path) -> None:
    host = relay.LambdaHost()
    entry("aws_lambda", tmp_path, "entry_point.py")
    command = [sys.executable, "-m", "awslambdaric", "entry_point.lambda_handler"]
    env = {**environment(s3), "AWS_LAMBDA_RUNTIME_API": host.address, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256"}
    with servers.process(command, tmp_path, lambda: True, env=env):
        relay.SEND.append(host.send)
        run(relayed(s3), "AWS Lambda")


def test_google_functions_main_under_the_functions_framework(s3: str, tmp_path: Path) -> None:
    [port] = servers.free_ports(1)
    entry("gcp_functions", tmp_path, "main.py")
    command = [
        str(Path(sys.executable).parent / "functions-framework"),
        "--target=main",
        f"--port={port}",
        "--host=127.0.0.1",
    ]
    with servers.process(command, tmp_path, lambda: servers.answers(port), env=environment(s3)):
        relay.SEND.append(lambda payload: relay.post(f"http://127.0.0.1:{port}/", payload))
        run(relayed(s3), "Google Cloud Run functions (v2)")


def test_google_cloud_runs_app(s3: str, tmp_path: Path) -> None:
    [port] = servers.free_ports(1)
    entry("gcp_cloudrun", tmp_path, "lithopsproxy.py")
    code = f"from lithopsproxy import proxy; proxy.run(host='127.0.0.1', port={port})"

    def send(payload: dict[str, Any]) -> Any:
        path = "metadata" if "get_metadata" in payload else ""
        return relay.post(f"http://127.0.0.1:{port}/{path}", payload)

    with servers.process([sys.executable, "-c", code], tmp_path, lambda: servers.answers(port), env=environment(s3)):
        relay.SEND.append(send)
        run(relayed(s3), "Google Cloud Run")


def test_singularitys_driver_and_worker_by_rabbitmq(s3: str, tmp_path: Path) -> None:
    entry("singularity", tmp_path, "lithopsentry.py")
    with servers.rabbitmq_server(tmp_path / "rabbitmq") as url:
        config = {
            "lithops": {"backend": "singularity", "storage": "minio", "monitoring": "rabbitmq"},
            "singularity": {"runtime": "an-image-of-this-test"},
            "rabbitmq": {"amqp_url": url},
            "minio": s3_section(s3),
        }
        with servers.process(
            [sys.executable, str(tmp_path / "lithopsentry.py"), url],
            tmp_path / "worker",
            lambda: True,
            env=environment(s3),
        ):
            run(config, "singularity")

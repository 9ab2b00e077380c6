"""The unmodified clipper_admin 0.4.1 drives a server, from an environment of its own."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import daybreak

ROOT = Path(daybreak.__file__).resolve().parent.parent
VENV = ROOT / ".venvs" / "serve-clipper"
CLIENT = "clipper_admin==0.4.1"
# Its dependencies, without its pins: that of cloudpickle is too old for Python 3.11.
OTHERS = [
    "docker", "kubernetes", "jinja2", "psutil", "requests", "redis", "prometheus_client", "pyyaml", "jsonschema",
    "numpy==2.4.6", "cloudpickle==3.1.2",
]  # fmt: skip
INSTALL_S = 280


def pip(*arguments: str) -> None:
    command = [str(VENV / "bin" / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_S)


@pytest.fixture(scope="module")
def client_python() -> str:
    """The interpreter of an environment that has the client; made once. Without a network the tests are skipped."""
    VENV.parent.mkdir(exist_ok=True)
    stamp, wanted = VENV / ".stamp", " ".join([sys.version, CLIENT, *OTHERS])
    with open(VENV.parent / ".serve-clipper.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            try:
                subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True, capture_output=True)
                pip("--no-deps", CLIENT)
                pip(*OTHERS)
            except (subprocess.SubprocessError, OSError) as error:
                detail = str(getattr(error, "stderr", "") or error).strip().splitlines()
                pytest.skip(f"no environment for {CLIENT} can be made here: {detail[-1] if detail else error}")
            stamp.write_text(wanted)
    return str(VENV / "bin" / "python")


class Driver:
    """Runs a program of the client; what it gives to `show()` comes back by name."""

    PRELUDE = """
import json, sys
import requests
from clipper_admin import ClipperConnection, ClipperException
from clipper_admin.deployers import python as deployer
from daybreak.serve import clipper

shown = {}

def show(name, value):
    shown[name] = value

def fails(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except ClipperException as error:
        return error.msg
    return None

def connection(**options):
    manager = clipper.ContainerManager("lab", **options)
    return clipper.connection_class(ClipperConnection)(manager)

def started(**options):
    made = connection(query_port=0, admin_port=0, metrics_port=0, **options)
    made.start_clipper()
    return made

def predict(conn, app, value, **more):
    url = "http://%s/%s/predict" % (conn.get_query_addr(), app)
    return requests.post(url, json=dict(input=value, **more), timeout=30).json()

def deploy(conn, name, version, func, input_type="doubles", **options):
    deployer.deploy_python_closure(conn, name, version, input_type, func, base_image="none", **options)
"""
    FINALE = "\nprint(json.dumps(shown))\n"

    def __init__(self, python: str, folder: Path) -> None:
        self.python, self.folder = python, folder

    def __call__(self, program: str, *arguments: str) -> dict[str, Any]:
        script = self.folder / "program.py"
        script.write_text(self.PRELUDE + program + self.FINALE)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
        done = subprocess.run(
            [self.python, str(script), *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found


@pytest.fixture
def drive(client_python: str, tmp_path: Path) -> Driver:
    return Driver(client_python, tmp_path)


pytestmark = pytest.mark.timeout(600)  # the environment is made once


def test_the_exercises_of_2018_from_start_to_stop(drive: Driver) -> None:
    """flowercat: register, deploy, link, a second version, back to the first, replicas, logs, delete, stop."""
    found = drive(
        """
conn = started()
conn.register_application("flowercat", "floats", "Default", 5000000)
show("before_linking", predict(conn, "flowercat", [1.5, 2.0]))

def model(inputs):
    print("asked for", len(inputs))
    return [x.sum() for x in inputs]

deploy(conn, "flowers", 1, model, "floats", labels=["a", "b"])
show("deployed_unlinked", predict(conn, "flowercat", [1.5, 2.0]))
conn.link_model_to_app("flowercat", "flowers")
show("linked", predict(conn, "flowercat", [1.5, 2.0]))
deploy(conn, "flowers", 2, lambda inputs: ["setosa" for _ in inputs], "floats", batch_size=8)
show("version_2", predict(conn, "flowercat", [1.5, 2.0]))
show("current", conn.get_current_model_version("flowers"))
conn.set_model_version("flowers", 1)
show("rolled_back", predict(conn, "flowercat", [1.5, 2.0]))
show("pinned", predict(conn, "flowercat", [1.5, 2.0], version="2"))
conn.set_num_replicas("flowers", 5)
show("five", [conn.get_num_replicas("flowers"), len(conn.get_all_model_replicas())])
conn.set_num_replicas("flowers", 1)
show("one", [conn.get_num_replicas("flowers"), conn.get_num_replicas("flowers", 2)])
show("still", predict(conn, "flowercat", [1.5, 2.0]))
show("apps", [conn.get_all_apps(), conn.get_all_apps(verbose=True), conn.get_app_info("flowercat")])
show("models", [conn.get_all_models(), conn.get_all_models(verbose=True), conn.get_model_info("flowers", 1)])
show("nothing", [conn.get_app_info("none"), conn.get_model_info("none", 1), conn.get_model_replica_info("none", 1, 0)])
show("replica", conn.get_model_replica_info("flowers", 2, 0))
show("links", conn.get_linked_models("flowercat"))
show("metrics", sorted(conn.inspect_instance()))
logs = conn.get_clipper_logs("logs")
show("logs", {path.rpartition("/")[2]: open(path).read() for path in logs})
conn.stop_inactive_model_versions(["flowers"])
show("active", conn.get_all_models())
conn.unlink_model_from_app("flowercat", "flowers")
show("unlinked", predict(conn, "flowercat", [1.5, 2.0])["default"])
conn.stop_models(["flowers"])
conn.unregister_application("flowercat")
show("gone", [conn.get_all_apps(), conn.get_all_models(), conn.get_all_model_replicas()])
conn.stop_all()
"""
    )
    assert found["before_linking"]["default"] is True and found["before_linking"]["output"] == "Default"
    assert "default_explanation" in found["before_linking"]
    assert found["deployed_unlinked"]["default"] is True
    assert (found["linked"]["output"], found["linked"]["default"]) == (3.5, False)
    assert found["version_2"]["output"] == "setosa" and found["current"] == "2"
    assert found["rolled_back"]["output"] == 3.5 == found["still"]["output"]
    assert found["pinned"]["output"] == "setosa"
    assert found["five"] == [5, 6] and found["one"] == [1, 1]
    app = {
        "name": "flowercat",
        "input_type": "floats",
        "default_output": "Default",
        "latency_slo_micros": 5_000_000,
        "linked_models": ["flowers"],
    }
    assert found["apps"] == [["flowercat"], [app], app]
    one = {
        "model_name": "flowers",
        "model_version": "1",
        "input_type": "floats",
        "labels": ["a", "b"],
        "container_name": "lab-flowers:1",
        "model_data_path": "DEPRECATED",
        "is_current_version": True,
    }
    two = {**one, "model_version": "2", "labels": [""], "container_name": "lab-flowers:2", "is_current_version": False}
    assert found["models"] == [["flowers:1", "flowers:2"], [one, two], one]
    assert found["nothing"] == [None, None, None]
    assert found["replica"]["model_id"] == "flowers:2" and found["replica"]["model_replica_id"] == 0
    assert found["links"] == ["flowers"]
    assert found["metrics"]
    assert "asked for" in found["logs"]["model_flowers_1_0.log"]
    assert found["active"] == ["flowers:1"] and found["unlinked"] is True
    assert found["gone"] == [[], [], []]


def test_every_input_type_reaches_a_closure_as_clipper_gives_it(drive: Driver) -> None:
    found = drive(
        """
conn = started()
values = {"doubles": [1.0, 2], "floats": [1.5], "integers": [1, 2], "strings": "word", "bytes": "aGk="}

def kind(inputs):
    return [getattr(x, "dtype", type(x).__name__) for x in inputs]

for input_type, value in values.items():
    deployer.create_endpoint(conn, input_type, input_type, kind, slo_micros=5000000, base_image="none")
    show(input_type, predict(conn, input_type, value)["output"])
conn.stop_all()
"""
    )
    assert found == {
        "doubles": "float64", "floats": "float32", "integers": "int32", "strings": "str", "bytes": "bytes",
    }  # fmt: skip


def test_mistakes_reach_the_client_as_its_exceptions(drive: Driver) -> None:
    found = drive(
        """
conn = started()
show("unconnected", None)
conn.register_application("a", "integers", "0", 100000)
show("again", fails(conn.register_application, "a", "integers", "0", 100000))
show("type", fails(conn.register_application, "b", "tensor", "0", 100000))
show("no_app", fails(conn.unregister_application, "none"))
show("no_model", fails(conn.link_model_to_app, "a", "none"))
conn.register_model("d", 1, "doubles")
show("clash", fails(conn.link_model_to_app, "a", "d"))
conn.register_model("m", 1, "integers")
show("twice", fails(conn.register_model, "m", 1, "integers"))
show("no_container", fails(conn.set_num_replicas, "m", 2))
conn.link_model_to_app("a", "m")
conn.register_model("m2", 1, "integers")
show("second_link", fails(conn.link_model_to_app, "a", "m2"))
show("no_version", fails(conn.set_model_version, "m", 9))
show("unregistered", fails(conn.set_num_replicas, "m", 2, 9))
show("bad_name", fails(deploy, conn, "Bad_Name", 1, lambda x: x))
show("bad_version", fails(deploy, conn, "m", "v.1:2", lambda x: x))
show("not_deleted", fails(conn.stop_versioned_models, {"m": ["7"]}))
show("models", conn.get_all_models())

def broken(inputs):
    raise ValueError("boom")

class Unpicklable(object):
    def __reduce__(self):
        return (int, ("not a number",))

unloadable = Unpicklable()
conn.register_application("e", "doubles", "sorry", 5000000)
deploy(conn, "e", 1, broken)
conn.link_model_to_app("e", "e")
show("raises", predict(conn, "e", [1.0]))
from daybreak.base.errors import Error
try:
    deploy(conn, "e", 2, lambda inputs: [unloadable for x in inputs])
except Error as error:
    show("unloadable", str(error))
show("kept", conn.get_all_models())
conn.stop_all(graceful=False)
"""
    )
    assert "already exists" in found["again"] and "400" in found["again"]
    assert "is none of" in found["type"]
    assert "No app with name none exists" in found["no_app"]
    assert "No model with name none exists" in found["no_model"]
    assert "takes integers" in found["clash"] and "takes doubles" in found["clash"]
    assert "already exists" in found["twice"]
    assert "containerless" in found["no_container"]
    assert "already linked to another model" in found["second_link"]
    assert "does not exist for model m" in found["no_version"]
    assert "non-registered" in found["unregistered"]
    assert "DNS-1123" in found["bad_name"] and "DNS-1123" in found["bad_version"]
    assert "does not exist" in found["not_deleted"]
    assert found["models"] == ["d:1", "m:1", "m2:1"]
    assert found["raises"]["default"] is True and found["raises"]["output"] == "sorry"
    assert "ValueError" in found["unloadable"]
    assert found["kept"] == ["d:1", "e:1", "m:1", "m2:1"]


def test_the_client_connects_to_a_server_that_runs_and_to_none_without_the_token(
    drive: Driver, server: Any, call: Any
) -> None:
    program = """
address, query, metrics, token = sys.argv[1:]
from daybreak.base.errors import Error
try:
    connection(address=address, token="x" * 43).connect()
except Error as error:
    show("wrong", type(error).__name__)
conn = connection(address=address, token=token)
conn.connect()
show("addresses", [conn.get_query_addr(), conn.get_metric_addr(), conn.cm.get_admin_addr()])
conn.register_application("sums", "doubles", "0", 5000000)
deploy(conn, "sums", 1, lambda inputs: [x.sum() for x in inputs], num_replicas=2)
conn.link_model_to_app("sums", "sums")
show("sum", predict(conn, "sums", [1.0, 2.0])["output"])
"""
    addresses = (server.admin_address, server.query_address, server.metrics_address)
    found = drive(program, *addresses, call.token)
    assert found["wrong"] == "UnauthenticatedError"
    assert found["addresses"] == [addresses[1], addresses[2], f"token:{call.token}@{addresses[0]}"]
    assert found["sum"] == 3.0
    # The server is another's: it goes on.
    assert call.predict("sums", [2.0, 2.0])["output"] == 4.0
    assert [len(version["replicas"]) for version in server.models()[0]["versions"]] == [2]


def test_a_restart_has_again_what_the_client_deployed(drive: Driver) -> None:
    found = drive(
        """
conn = started(state_dir="state")
conn.register_application("sums", "doubles", "0", 5000000)
deploy(conn, "sums", 1, lambda inputs: [x.sum() for x in inputs])
conn.link_model_to_app("sums", "sums")
conn.stop_all()
conn = started(state_dir="state")
conn.cm._server.wait_ready()
show("sum", predict(conn, "sums", [1.0, 2.0])["output"])
conn.set_num_replicas("sums", 2)
show("two", conn.get_num_replicas("sums"))
conn.stop_all()
"""
    )
    assert found == {"sum": 3.0, "two": 2}

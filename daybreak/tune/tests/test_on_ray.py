"""An experiment on a Ray cluster, one of whose nodes is killed; in the environment of the runtime's suite."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from bench.peers import Peer, PeerError
from tools import suite

ROOT = Path(__file__).resolve().parents[3]

PROGRAM = """
import json, os, threading, time
from pathlib import Path
from ray.cluster_utils import Cluster

small = {"object_store_memory": 100 << 20}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
nodes = [cluster.add_node(num_cpus=1, **small) for _ in range(3)]
cluster.wait_for_nodes()
import daybreak
from daybreak import tune

daybreak.init(cluster.address, log_to_driver=False)
folder = os.environ["FOLDER"]


class Steps(tune.Trainable):
    def setup(self, config):
        import ray

        self.n, self.node = 0, ray.get_runtime_context().get_node_id()

    def step(self):
        self.n += 1
        with open(os.path.join(self.logdir, "done.txt"), "a") as out:
            out.write(f"{self.n} {self.node} {os.getpid()}\\n")
        until = time.monotonic() + 100
        while self.n > 2 and not Path(self.logdir, "..", "killed").exists():
            assert time.monotonic() < until, "no node was killed"
            time.sleep(0.02)
        return {"score": self.config["x"] * self.n}

    def save_checkpoint(self, folder):
        Path(folder, "n").write_text(str(self.n))

    def load_checkpoint(self, folder):
        self.n = int(Path(folder, "n").read_text())


def kill():
    experiment = Path(folder, "e")
    while len(ready := [path for path in experiment.glob("*/result.json") if path.read_text().count("\\n") == 2]) < 2:
        time.sleep(0.02)
    while len(done := sorted(ready)[0].with_name("done.txt").read_text().split()) < 9:  # it is in its third step
        time.sleep(0.02)
    id_ = done[1]
    cluster.remove_node(next(node for node in nodes if node.node_id == id_), allow_graceful=False)
    while os.path.exists(f"/proc/{done[2]}"):
        time.sleep(0.02)
    (experiment / "killed").touch()


threading.Thread(target=kill, daemon=True).start()
grid = tune.Tuner(
    Steps,
    param_space={"x": tune.grid_search([1, 2])},
    run_config=tune.RunConfig(
        name="e",
        storage_path=folder,
        verbose=0,
        stop={"training_iteration": 5},
        failure_config=tune.FailureConfig(max_failures=2),
        checkpoint_config=tune.CheckpointConfig(num_to_keep=2, checkpoint_frequency=1),
    ),
).fit()
for result in grid:
    done = [line.split() for line in Path(result.path, "done.txt").read_text().splitlines()]
    iterations = [row["training_iteration"] for row in result.history()]
    print("trial:", json.dumps([result.status, iterations, [int(n) for n, *_ in done], len({node for _, node, _ in done})]))
daybreak.shutdown()
cluster.shutdown()
"""


@pytest.mark.timeout(300)
def test_trials_of_a_node_that_is_killed_go_on_elsewhere_from_their_checkpoints(tmp_path: Path) -> None:
    found = suite.Suite.of(suite.suites_of(ROOT)["on_ray"])
    try:
        rays = Peer.of(found.path).python()
    except PeerError as error:
        pytest.skip(f"Ray cannot be installed here: {error}")
    (tmp_path / "daybreak").symlink_to(ROOT / "daybreak")
    (tmp_path / "program.py").write_text(f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n{PROGRAM}")
    environment = {
        **os.environ,
        "RAY_AUTH_MODE": "disabled",
        "PYTHONPATH": str(tmp_path),  # the nodes have daybreak
        "FOLDER": str(tmp_path / "results"),
        "RAY_health_check_period_ms": "500",
    }
    done = subprocess.run(
        [rays, "-P", str(tmp_path / "program.py")],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = [
        json.loads(line[6:]) for line in done.stdout.splitlines() if line.startswith("trial:")
    ]  # Ray prints there, too
    killed, other = sorted(told, key=lambda trial: -trial[3])
    assert killed[0] == other[0] == "TERMINATED"
    assert killed[1] == other[1] == [1, 2, 3, 4, 5], "iterations go up by one, over the death"
    assert killed[2] == [1, 2, 3, 3, 4, 5] and killed[3] == 2, "the third step again, on another node"
    assert other[2] == [1, 2, 3, 4, 5] and other[3] == 1

"""Makes a folder of what today's code keeps on a disk. `tests/test_kept.py` opens, verifies and appends to it ever after.

    python tests/kept/make.py tests/kept/0003        then commit it; the folders before stay as they are
    python tests/kept/make.py tests/kept/0003 tune   of one room alone

The folder holds `track`, `grant`, `serve`, `rl` and `tune` as .tar.xz (a run's log is allocated whole, 260 KiB of zeros) and
expected.json: what must be found in them. Everything random has a seed but the keys, whose passphrase is below: they guard nothing.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import platform
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

PYTHON = sys.executable
PASSPHRASE = "kept for ever"
VALID_FROM = 1_700_000_000
VALID_FOR = 6_000_000_000  # until 2214
EPOCH_S = 400 * 86_400
PLACE = "models/pong/rl"
GRID = [[x / 4, -x / 8, x / 16, 0.1] for x in range(-4, 5)]  # observations of CartPole

KILLED = """
import os, signal, sys
from daybreak import track
track.init(sys.argv[1])
run = track.run("killed", params={"lr": 0.1})
for step in range(2_000):
    run.log({"loss": 1 / (step + 1)}, step=step)
os.kill(os.getpid(), signal.SIGKILL)
"""


def make_track(folder: Path) -> dict[str, Any]:
    import pandas as pd

    from daybreak import track

    track.init(folder)
    weights = {
        "w": np.random.default_rng(1).standard_normal((32, 16)).astype(np.float32),
        "b": np.arange(16, dtype=np.float64),
    }
    with track.run("pong", params={"lr": 0.01, "layers": [8, 8], "note": "ä"}, tags={"machine": "lab"}) as pong:
        print("one line of output")
        print("and one beside it", file=sys.stderr)
        for step in range(3_000):
            pong.log({"return": step / 2, "loss": float("nan") if step == 7 else 1 / (step + 1)}, step=step)
        pong.log_array("reward", np.arange(5_000) / 3)
        pong.goal("loss", "min")
        for version in range(3):
            weights = {"w": weights["w"] + np.float32(version * 1e-3), "b": weights["b"]}
            pong.artifact("policy", weights, meta={"version": version})
        pong.artifact("notes/first", b"some bytes " * 20)
        pong.artifact("table", pd.DataFrame({"name": ["a", "b", None], "value": [1.5, float("nan"), 3.0]}))
        pong.tag("late", "yes")
        with pong.child("trial", params={"lr": 0.1}) as child:
            child.log("return", 4.5, step=1)
    try:
        with track.run("failed", capture=False) as failed:
            failed.log("x", 1.0, step=1)
            raise RuntimeError("on purpose")
    except RuntimeError:
        pass
    with track.run("deleted", capture=False) as deleted:
        deleted.log("x", 2.0, step=1)
    track.delete(deleted.id)
    environment = {**os.environ, "DAYBREAK_TRACK_CAPTURE": "0"}
    done = subprocess.run([PYTHON, "-c", KILLED, str(folder)], env=environment)
    assert done.returncode == -signal.SIGKILL
    logs = sorted(path.suffix for path in folder.glob("runs/*/*.*"))
    assert ".col" in logs and ".log" in logs, logs  # a sealed segment and one that is open
    return {
        "pong": pong.id,
        "trial": child.id,
        "failed": failed.id,
        "deleted": deleted.id,
        "w": [float(weights["w"].astype(np.float64).sum()), float(weights["w"][3, 5])],
    }


def make_grant(folder: Path) -> dict[str, Any]:
    from daybreak import grant

    folder.mkdir()

    def entity(name: str, passphrase: str | None = None) -> grant.Entity:
        made = grant.Entity.create(valid_from=VALID_FROM, valid_for=VALID_FOR)
        made.save(folder / f"{name}.key", passphrase)
        (folder / f"{name}.public").write_bytes(made.public)
        return made

    lab, ann, bob = entity("lab", PASSPHRASE), entity("ann"), entity("bob", PASSPHRASE)
    lab_wallet, ann_wallet = grant.Wallet(lab, folder / "lab"), grant.Wallet(ann, folder / "ann")
    times = {"valid_from": VALID_FROM, "valid_for": VALID_FOR}
    store = grant.RevocationStore.create(folder / "revoked")
    statements = [(["predict", "publish", "decrypt"], "models/pong/*")]
    granted = lab_wallet.grant(
        ann.public, namespace=lab.id, statements=statements, hops=1, keys_from=VALID_FROM, epoch_s=EPOCH_S, **times
    )
    ann_wallet.add(granted.bundle)
    passed_on = ann_wallet.grant(bob.public, namespace=lab.id, statements=[(["predict"], PLACE)], **times)
    (folder / "bob.bundle").write_bytes(passed_on.bundle)
    lost = lab_wallet.grant(bob.public, namespace=lab.id, statements=[(["train"], PLACE)], **times)
    (folder / "bob.lost").write_bytes(lost.bundle)
    grant.revoke(store, lab, lost.attestation)
    manifest = grant.Manifest.create(lab, [PLACE], valid_from=VALID_FROM, valid_for=VALID_FOR, epoch_s=EPOCH_S)
    grant.ManifestMemory(folder / "manifests").accept(manifest.bytes, lab.id)
    for name, author in (("lab", lab_wallet), ("ann", ann_wallet)):
        (folder / f"{name}.cipher").write_bytes(
            grant.encrypt(manifest, PLACE, f"written by {name}".encode(), author=author)
        )
    (folder / "ann.proof").write_bytes(ann_wallet.prove([("predict", PLACE)], namespace=lab.id))
    return {"lab": lab.id, "ann": ann.id, "bob": bob.id, "grant": granted.attestation.id}


def make_rl(folder: Path) -> dict[str, Any]:
    from daybreak import rl

    folder.mkdir()
    ppo = rl.PPO("CartPole-v1", seed=3, num_envs=4, num_steps=64, hidden=[8], normalize=True)
    ppo.train()
    ppo.save(folder / "ppo.ckpt")
    ppo.policy.save(folder / "ppo.policy")
    dqn = rl.DQN(
        "CartPole-v1", seed=3, hidden=[8], buffer_size=300, learning_starts=100, steps_per_iteration=200, num_envs=2
    )
    dqn.train()
    dqn.save(folder / "dqn.ckpt")
    sac_like = rl.PPO("Pendulum-v1", seed=3, num_envs=2, num_steps=64, hidden=[8])
    sac_like.policy.save(folder / "pendulum.policy")
    return {
        "ppo": {"timesteps": ppo.timesteps, "actions": ppo.policy.compute_actions(np.array(GRID)).tolist()},
        "dqn": {"timesteps": dqn.timesteps, "actions": dqn.policy.compute_actions(np.array(GRID)).tolist()},
        "pendulum": np.ravel(sac_like.policy.compute_action([0.5, -0.5, 0.25])).tolist(),
    }


def make_serve(folder: Path, policy: Path) -> dict[str, Any]:
    import functools

    from daybreak import rl, serve

    with serve.start(folder, query_port=0, admin_port=0, metrics_port=0) as server:
        # Pickled by name: what any Python and numpy can read.
        server.deploy("means", functools.partial(np.mean, axis=1), batch="array", default=-1, slo_ms=10_000)
        server.deploy("pole", rl.Policy.load(policy), default=-1, slo_ms=10_000, lineage={"run": "kept"})
        server.deploy("pole", rl.Policy.load(policy), version=2, live=False)
        server.set_version("pole", "2")
        server.rollback("pole")
    return {"apps": ["means", "pole"], "versions": ["1", "2"], "current": "1"}


def reports(config: dict[str, Any]) -> None:
    from daybreak import tune

    start = tune.get_checkpoint()
    first = int((Path(start.path) / "step").read_text()) + 1 if start is not None else 0
    for step in range(first, 9):
        here = Path("state")
        here.mkdir(exist_ok=True)
        (here / "step").write_text(str(step))
        tune.report({"score": config["x"] * (step + 1)}, checkpoint=tune.Checkpoint.from_directory(here))


def make_tune(folder: Path) -> dict[str, Any]:
    import daybreak
    from daybreak import tune
    from daybreak.tune.schedulers import ASHAScheduler

    folder.mkdir()
    study = tune.create_study(
        storage=folder / "studies.journal", study_name="parabola", seed=5, sampler=tune.SamplerFactory.tpe()
    )
    for number in range(20):
        trial = study.ask()
        value = (trial.suggest_float("x", -5, 5) - 1) ** 2 + trial.suggest_int("n", 1, 9)
        kind = trial.suggest_categorical("kind", [1, True, None, "ä"])
        trial.report(value, 1)
        trial.set_user_attr("note", [number])
        study.tell(trial, state=2) if number % 5 == 4 else study.tell(trial, value + (kind is None))
    study.enqueue_trial({"x": 1.5, "n": 2})
    next_trial = study.ask(), study.ask()
    following = next_trial[1].suggest_float("x", -5, 5)  # both run, and die with this process
    daybreak.init(num_cpus=2)
    grid = tune.Tuner(
        reports,
        param_space={"x": tune.grid_search([1, 3, 2]), "y": tune.uniform(0, 1)},
        tune_config=tune.TuneConfig(
            metric="score",
            mode="max",
            scheduler=ASHAScheduler(max_t=9, reduction_factor=3),
            seed=3,
            max_concurrent_trials=1,
        ),
        run_config=tune.RunConfig(
            name="experiment", storage_path=folder, verbose=0, checkpoint_config=tune.CheckpointConfig(num_to_keep=1)
        ),
    ).fit()
    daybreak.shutdown()
    return {
        "best": [study.best_trial.number, study.best_value],
        "following": following,
        "configs": [result.config for result in grid],
        "scores": [result.metrics["score"] for result in grid],
    }


def pack(folder: Path, archive: Path) -> None:
    """With modes, without owners and times: whose account made it is nobody's business."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mtime = VALID_FROM
        return entry

    with tarfile.open(archive, "w:xz", preset=9) as tar:
        tar.add(folder, folder.name, filter=plain)


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """What a run writes down of machine and program names neither."""
    before = sys.executable, sys.orig_argv, platform.node, platform.platform
    platform.node = lambda: "lab"
    platform.platform = lambda *_, **__: "Linux"
    sys.executable, sys.orig_argv = "python3", ["python3", "make.py"]
    try:
        yield
    finally:
        sys.executable, sys.orig_argv, platform.node, platform.platform = before


def main() -> int:
    target = Path(sys.argv[1]).resolve()
    target.mkdir()  # never over one that is there
    os.environ.pop("DAYBREAK_TRACK_CAPTURE", None)
    with tempfile.TemporaryDirectory(prefix="kept-") as scratch:
        os.chdir(scratch)
        here = Path(scratch)
        with nobody():
            makers = {
                "track": make_track,
                "grant": make_grant,
                "rl": make_rl,
                "serve": lambda folder: make_serve(folder, here / "rl" / "ppo.policy"),
                "tune": make_tune,
            }
            parts = sys.argv[2:] or list(makers)
            expected = {name: makers[name](here / name) for name in parts}
        for name in expected:
            pack(here / name, target / f"{name}.tar.xz")
    text = io.StringIO()
    json.dump(expected, text, indent=1)
    (target / "expected.json").write_text(text.getvalue() + "\n")
    size = sum(path.stat().st_size for path in target.iterdir())
    print(f"{target}: {size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())

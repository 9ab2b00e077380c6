"""What earlier code kept on a disk (kept/NNNN, made by kept/make.py) is opened, verified and appended to, in a copy.

A folder there is never changed and never made again: what is in it lies on people's disks.
"""

from __future__ import annotations

import importlib.util
import json
import math
import re
import sys
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daybreak import grant, rl, serve, track, tune
from tools.scratch import unpack

KEPT = Path(__file__).resolve().parent / "kept"
MAX_BYTES = 300_000  # of each folder: a clone has them all
spec = importlib.util.spec_from_file_location("kept_make", KEPT / "make.py")
assert spec and spec.loader
make = importlib.util.module_from_spec(spec)
sys.modules["kept_make"] = make
spec.loader.exec_module(make)


class Kept:
    def __init__(self, folder: Path, scratch: Path) -> None:
        self.folder = folder
        self.scratch = scratch
        self.expected: dict[str, Any] = json.loads((folder / "expected.json").read_text())

    def copy(self, name: str) -> Path:
        if name not in self.expected:
            pytest.skip(f"{self.folder.name} was made of {', '.join(self.expected)} alone")
        with tarfile.open(self.folder / f"{name}.tar.xz") as tar:
            unpack(tar, self.scratch, "tar")
        return self.scratch / name


@pytest.fixture(params=sorted(path.name for path in KEPT.glob("[0-9]*")))
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    return Kept(KEPT / request.param, tmp_path)


@pytest.fixture
def runs(kept: Kept) -> Iterator[dict[str, Any]]:
    before = track.root()
    track.init(kept.copy("track"))
    yield kept.expected["track"]
    track.init(before)


def test_a_kept_folder_is_small(kept: Kept) -> None:
    assert sum(path.stat().st_size for path in kept.folder.iterdir()) < MAX_BYTES


def test_kept_runs_are_found_with_their_status_and_all_their_points(runs: dict[str, Any]) -> None:
    found = {record.name: record for record in track.runs()}
    assert {name: record.status for name, record in found.items()} == {
        "pong": "finished", "trial": "finished", "failed": "failed", "killed": "killed",
    }  # fmt: skip
    pong = track.get(runs["pong"])
    assert pong.params == {"lr": 0.01, "layers": [8, 8], "note": "ä"}
    assert pong.tags == {"machine": "lab", "late": "yes"}
    assert [child.id for child in pong.children] == [runs["trial"]]
    series = pong.history("return")
    assert np.array_equal(series.steps, np.arange(3_000)) and np.array_equal(series.values, np.arange(3_000) / 2)
    assert math.isnan(pong.history("loss").values[7])
    assert np.array_equal(pong.history("reward").values, np.arange(5_000) / 3)
    assert found["failed"].reason == "RuntimeError: on purpose"
    assert np.array_equal(found["killed"].history("loss").values, 1 / np.arange(1, 2_001))
    assert pong.output("stdout") == "one line of output\n" and "beside it" in pong.output("stderr")
    assert pong.captured["python"]["version"].startswith("3.")
    assert track.runs("params.lr >= 0.1 and status = 'killed'")[0].name == "killed"


def test_kept_artifacts_are_what_they_were(runs: dict[str, Any]) -> None:
    pong = track.get(runs["pong"])
    versions = [one for one in pong.artifacts if one.name == "policy"]
    assert [one.meta["version"] for one in versions] == [0, 1, 2]
    weights = track.load(versions[2])
    assert [float(weights["w"].astype(np.float64).sum()), float(weights["w"][3, 5])] == runs["w"]
    assert np.array_equal(weights["b"], np.arange(16))
    assert track.load(pong.artifact("notes/first")) == b"some bytes " * 20
    frame = track.load(pong.artifact("table"))
    assert list(frame["name"])[:2] == ["a", "b"] and frame["value"].tolist()[::2] == [1.5, 3.0]
    report = track.verify()
    assert report.ok, report.damage


def test_kept_runs_are_gone_on_with(runs: dict[str, Any]) -> None:
    with track.run(resume=runs["pong"], capture=False) as pong:
        pong.log("return", -1.0, step=3_000)
        weights = {name: array + 1 for name, array in track.load(track.get(runs["pong"]).artifact("policy")).items()}
        pong.artifact("policy", weights, meta={"version": 3})
    with track.run("new", capture=False) as new:
        new.log("return", 1.0, step=1)
        new.artifact("policy", weights)
    track.restore(runs["deleted"])
    track.delete(runs["failed"])
    track.gc(purge_deleted_after=0)
    assert {record.name for record in track.runs()} == {"pong", "trial", "killed", "new", "deleted"}
    record = track.get(runs["pong"])
    assert record.history("return").values[-1] == -1.0 and len(record.history("return")) == 3_001
    assert np.array_equal(track.load(record.artifact("policy"))["b"], np.arange(16) + 1)
    assert track.verify().ok


def test_kept_keys_wallets_proofs_and_ciphertexts_open(kept: Kept) -> None:
    home, ids = kept.copy("grant"), kept.expected["grant"]
    lab = grant.Entity.load(home / "lab.key", make.PASSPHRASE)
    ann = grant.Entity.load(home / "ann.key")
    assert (lab.id, ann.id) == (ids["lab"], ids["ann"])
    store = grant.RevocationStore(home / "revoked")
    verifier = grant.Verifier(namespace=lab.id, server="s", revocations=store, max_staleness_s=0)
    assert verifier.verify((home / "ann.proof").read_bytes(), [("predict", make.PLACE)]).subject == ann.id
    wallets = {"lab": grant.Wallet(lab, home / "lab"), "ann": grant.Wallet(ann, home / "ann")}
    assert ids["grant"] in [one.id for one in wallets["lab"].issued()]
    for author in ("lab", "ann"):
        cipher = (home / f"{author}.cipher").read_bytes()
        assert grant.label(cipher).author == ids[author]
        assert grant.decrypt(cipher, wallet=wallets["ann"], verifier=verifier) == f"written by {author}".encode()
    bob = grant.Wallet(grant.Entity.load(home / "bob.key", make.PASSPHRASE))
    assert [bob.add((home / name).read_bytes()) for name in ("bob.bundle", "bob.lost")] == [2, 1]
    verifier.verify(bob.prove([("predict", make.PLACE)], namespace=lab.id), [("predict", make.PLACE)])
    with pytest.raises(grant.Denied) as denied:
        verifier.verify(bob.prove([("train", make.PLACE)], namespace=lab.id), [("train", make.PLACE)])
    assert denied.value.code == "revoked"


def test_kept_wallets_grant_and_revoke_further(kept: Kept) -> None:
    home = kept.copy("grant")
    lab = grant.Entity.load(home / "lab.key", make.PASSPHRASE)
    store = grant.RevocationStore(home / "revoked")
    carl = grant.Entity.create()
    made = grant.Wallet(lab, home / "lab").grant(
        carl.public, namespace=lab.id, statements=[(["decrypt"], make.PLACE)], keys_from=make.VALID_FROM, epoch_s=make.EPOCH_S
    )  # fmt: skip
    wallet = grant.Wallet(carl)
    wallet.add(made.bundle)
    assert made.attestation.id in [one.id for one in grant.Wallet(lab, home / "lab").issued()]
    verifier = grant.Verifier(namespace=lab.id, server="s", revocations=store, max_staleness_s=0)
    manifest = grant.ManifestMemory(home / "manifests").newest(lab.id)
    again = grant.encrypt(manifest, make.PLACE, b"new", author=grant.Wallet(lab, home / "lab"))
    assert grant.decrypt(again, wallet=wallet, verifier=verifier) == b"new"
    assert grant.decrypt((home / "lab.cipher").read_bytes(), wallet=wallet, verifier=verifier) == b"written by lab"
    grant.revoke(store, lab, made.attestation)
    with pytest.raises(grant.Denied):
        grant.decrypt(again, wallet=wallet, verifier=verifier)


def test_kept_policies_act_and_kept_trainers_go_on(kept: Kept) -> None:
    home, known = kept.copy("rl"), kept.expected["rl"]
    grid = np.array(make.GRID)
    assert rl.Policy.load(home / "ppo.policy").compute_actions(grid).tolist() == known["ppo"]["actions"]
    pendulum = rl.Policy.load(home / "pendulum.policy").compute_action([0.5, -0.5, 0.25])
    assert np.ravel(pendulum) == pytest.approx(known["pendulum"], rel=1e-5)
    for algorithm, name in ((rl.PPO, "ppo"), (rl.DQN, "dqn")):
        trainer = algorithm.load(home / f"{name}.ckpt")
        assert trainer.timesteps == known[name]["timesteps"]
        assert trainer.policy.compute_actions(grid).tolist() == known[name]["actions"]
        assert trainer.train()["timesteps_total"] > known[name]["timesteps"]
        trainer.save(home / f"{name}.ckpt")
        assert algorithm.load(home / f"{name}.ckpt").timesteps == trainer.timesteps


def asked(server: serve.Server, app: str, numbers: list[float]) -> Any:
    request = urllib.request.Request(
        f"http://{server.query_address}/{app}/predict",
        json.dumps({"input": numbers}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["output"]


def test_a_kept_server_answers_again_and_takes_a_version_more(kept: Kept) -> None:
    home, known = kept.copy("serve"), kept.expected["serve"]
    ports = {"query_port": 0, "admin_port": 0, "metrics_port": 0}
    acts = kept.expected["rl"]["ppo"]["actions"]
    with serve.start(home, **ports) as server:
        assert server.wait_ready(60)
        assert [app["name"] for app in server.apps()] == known["apps"]
        pole = next(model for model in server.models() if model["name"] == "pole")
        assert [one["version"] for one in pole["versions"]] == known["versions"] and pole["current"] == known["current"]
        assert pole["versions"][0]["lineage"] == {"run": "kept"}
        assert asked(server, "means", [1.0, 2.0, 6.0]) == 3.0
        assert [asked(server, "pole", row) for row in make.GRID] == acts
        server.deploy("pole", rl.Policy.load(Path(kept.copy("rl")) / "ppo.policy"), version=3)
    with serve.start(home, **ports) as server:
        assert server.wait_ready(60)
        assert next(model for model in server.models() if model["name"] == "pole")["current"] == "3"
        assert [asked(server, "pole", row) for row in make.GRID] == acts


def test_every_format_says_since_when_it_is_read() -> None:
    pages = sorted((KEPT.parent.parent / "docs" / "formats").glob("*.md"))
    assert pages
    for page in pages:
        [line] = [line for line in page.read_text().splitlines() if line.startswith("Read since: ")]
        for folder in re.findall(r"`tests/(kept/\d+)`", line):
            assert (KEPT.parent / folder).is_dir(), page


def test_a_kept_study_has_its_trials_and_asks_on_as_it_would_have(kept: Kept) -> None:
    folder = kept.copy("tune")
    expected = kept.expected["tune"]
    study = tune.load_study(
        storage=folder / "studies.journal", study_name="parabola", sampler=tune.SamplerFactory.tpe()
    )
    states = [trial.state.name for trial in study.trials]
    assert states[:20].count("PRUNED") == 4 and states[:20].count("COMPLETE") == 16
    assert [study.best_trial.number, study.best_value] == expected["best"]
    assert study.trials[7].user_attrs == {"note": [7]} and study.trials[7].intermediate_values.keys() == {1}
    assert {repr(trial.params["kind"]) for trial in study.trials[:20]} <= {"1", "True", "None", "'ä'"}
    # Both that ran when the process ended are run again, the enqueued one with its values.
    first, second = study.ask(), study.ask()
    assert [first.number, second.number] == [20, 21]
    assert [first.suggest_float("x", -5, 5), first.suggest_int("n", 1, 9)] == [1.5, 2]
    assert second.suggest_float("x", -5, 5) == expected["following"]
    study.tell(first, 0.5)
    assert study.best_value == 0.5


def test_a_kept_experiment_is_restored_and_made_longer(kept: Kept) -> None:
    folder = kept.copy("tune") / "experiment"
    expected = kept.expected["tune"]
    before = tune.Tuner.restore(folder, make.reports).get_results()
    assert [result.config for result in before] == expected["configs"]
    assert [result.metrics["score"] for result in before] == expected["scores"]
    assert all(result.checkpoint is not None for result in before if result.metrics["training_iteration"] == 9)
    longer = tune.Tuner.restore(folder, make.reports, num_samples=2).fit()
    assert len(longer) == 6 and not longer.errors
    assert [result.config for result in longer][:3] == expected["configs"]

"""The whole way that a newcomer goes: `daybreak demo pong --check`, as a process, with its files."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import daybreak
from daybreak import grant, rl, serve, track
from daybreak.demo.pong import games, lab

DEMO = [sys.executable, "-m", "daybreak.cli", "demo", "pong"]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Output and folder of one run of the demo."""
    out = tmp_path_factory.mktemp("demo") / "out"
    done = subprocess.run([*DEMO, "--check", "--out", str(out)], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, out


def test_check_says_a_line_a_step_and_two_at_the_end(shown: tuple[str, Path]) -> None:
    output, out = shown
    lines = output.splitlines()
    assert len(lines) == 30, output
    assert all(line.startswith("ok ") for line in lines[:-2])
    assert lines[-2].startswith("Shown: ") and lines[-1].startswith("Next: ")
    assert str(out / "match.gif") in lines[-1]


def test_result_holds_what_was_asked_for_and_found(shown: tuple[str, Path]) -> None:
    result = json.loads((shown[1] / "result.json").read_text())
    assert result["passed"] is True
    assert result["episodes"] == 200 and result["workers"] == 2
    assert result["trained_mean"] >= 10 * result["random_mean"]
    assert 40 < result["random_mean"] < 80
    assert 0.6 <= result["win_rate"] <= 1
    assert 0 < result["train_seconds"] < 240
    assert 100_000 < result["policy_steps"] <= result["steps"] <= 5_100_000
    checks = {check["name"]: check for check in result["checks"]}
    story = {"train", "imitate", "diff", "policy_file", "mean_return", "win_rate", "beats_imitation", "pictures"}
    assert story | {"parties", "encrypt", "refused", "granted", "attenuated", "granted_rl"} <= set(checks)
    assert {"planted", "revoked", "tracked", "canaries"} <= set(checks)
    assert {"serve", "stage", "stranger", "player", "rally", "switch", "lineage", "player_revoked"} <= set(checks)
    assert checks["player_revoked"]["seconds"] <= lab.STALENESS_S + 1
    assert checks["revoked"]["seconds"] <= lab.STALENESS_S + 1
    wins = result["imitation_win_rates"]
    assert wins["dirty"] < wins["clean"] < result["win_rate"]
    assert all(check["passed"] is True and check["seconds"] >= 0 for check in checks.values())


def test_pictures_can_be_seen_and_are_small(shown: tuple[str, Path]) -> None:
    with Image.open(shown[1] / "match.gif") as gif:
        assert gif.n_frames >= 60 and gif.width >= 400
    with Image.open(shown[1] / "learning_curve.png") as png:
        assert png.width >= 800
    for name in ("match.gif", "learning_curve.png"):
        assert 10_000 < (shown[1] / name).stat().st_size < 1_000_000


def test_the_policy_file_plays_as_well_as_the_result_says(shown: tuple[str, Path]) -> None:
    policy = rl.Policy.load(shown[1] / "lab" / "policy.safetensors")
    result = json.loads((shown[1] / "result.json").read_text())
    played = games.play_policy(policy, 200, seed=1_000_000)
    assert played.mean == result["trained_mean"] and played.win_rate == result["win_rate"]
    assert policy.compute_action(np.full(8, 0.5, np.float32)) in (0, 1, 2)


def test_runs_can_be_asked_afterwards(shown: tuple[str, Path]) -> None:
    result = json.loads((shown[1] / "result.json").read_text())
    before = track.root()
    try:
        track.init(shown[1] / "lab" / "runs")
        agent = track.get(result["runs"]["rl"])
        assert agent.status == "finished" and agent.params["algo"] == "ppo"
        names = [artifact.name for artifact in agent.artifacts]
        assert names.count("checkpoint") == result["steps"] * 10 // 5_000_000 and names[-1] == "policy"
        assert len(agent.history("episode_reward_mean")) > 10
        imitators = track.runs("name = 'pong-imitation' and tags.recording in ('clean', 'dirty')")
        assert len(imitators) == 2 and all(run.metrics["held_out_win_rate"] < 1 for run in imitators)
        # The run's artifact is the ciphertext, byte for byte what everyone may read.
        kept = track.load(agent.artifacts[-1])
        assert kept == (shown[1] / "public" / "rl.enc").read_bytes()
        assert grant.label(kept).resource == lab.RL
    finally:
        track.init(before)


def test_the_stranger_stays_out_after_the_demo_and_who_was_granted_again_opens(shown: tuple[str, Path]) -> None:
    out = shown[1]
    public = out / "public"
    manifest = grant.Manifest((public / "manifest").read_bytes())
    verifier = grant.Verifier(
        namespace=manifest.namespace, server="later", revocations=grant.RevocationStore(str(public / "revocations"))
    )
    ciphertexts = {name: (public / f"{name}.enc").read_bytes() for name in lab.MODELS}
    opened = {}
    for party in ("deployer", "stranger"):
        wallet = grant.Wallet(grant.Entity.load(str(out / party / "entity.key")), str(out / party / "wallet"))
        for name, ciphertext in ciphertexts.items():
            try:
                opened[party, name] = rl.Policy.load(grant.decrypt(ciphertext, wallet=wallet, verifier=verifier)).algo
            except grant.Denied as denied:
                opened[party, name] = denied.code
    assert opened == {
        ("deployer", "imitation"): "bc",  # revoked, and granted again to be served
        ("deployer", "rl"): "ppo",
        ("stranger", "imitation"): "not_granted",
        ("stranger", "rl"): "not_granted",
    }


def test_no_policy_and_no_secret_lies_outside_the_labs_folder(shown: tuple[str, Path]) -> None:
    """Other parties' folders, what was printed, shared memory, core files: none holds weights, seeds or tokens in the clear."""
    output, out = shown
    canaries = {"rl": (out / "lab" / "policy.safetensors").read_bytes()[-96:]}
    seeds = {f"{name}'s key": lab.secret_of(out / name) for name in ("lab", "trainer", "deployer", "stranger")}
    assert all(len(set(seed)) > 8 for seed in seeds.values())  # they are seeds
    assert lab.leaks(out / "lab", canaries) and lab.leaks(out / "lab", seeds)  # and are found where they lie
    assert list((out / "server").rglob("*")), "the server kept nothing"
    for name in ("trainer", "deployer", "stranger", "public", "server"):
        others = {of: seed for of, seed in seeds.items() if of != f"{name}'s key"}
        assert lab.leaks(out / name, canaries | others) == []
    for path in [*out.glob("*.*"), *Path("/dev/shm").glob("*"), *Path.cwd().glob("core*")]:
        if path.is_file() and os.access(path, os.R_OK):
            data = path.read_bytes()
            assert not [name for name, canary in (canaries | seeds).items() if canary in data], path
    printed = output.encode()
    assert not any(seed in printed or seed.hex().encode() in printed for seed in seeds.values())


def test_folders_of_the_parties_are_theirs_alone(shown: tuple[str, Path]) -> None:
    for name in ("lab", "trainer", "deployer", "stranger"):
        assert (shown[1] / name).stat().st_mode & 0o077 == 0
        assert (shown[1] / name / "entity.key").stat().st_mode & 0o177 == 0


def test_the_server_keeps_ciphertexts_and_the_deployer_alone_opens_them_again(shown: tuple[str, Path]) -> None:
    out = shown[1]
    blobs = {path.read_bytes() for path in (out / "server").rglob("*") if path.is_file()}
    assert {(out / "public" / f"{name}.enc").read_bytes() for name in lab.MODELS} <= blobs
    manifest = grant.Manifest((out / "public" / "manifest").read_bytes())
    revocations = grant.RevocationStore(str(out / "public" / "revocations"))
    verifier = grant.Verifier(namespace=manifest.namespace, server="again", revocations=revocations)

    def opener(who: str):  # type: ignore[no-untyped-def]
        wallet = grant.Wallet(grant.Entity.load(str(out / who / "entity.key")), str(out / who / "wallet"))
        return lambda data, _: rl.Policy.load(grant.decrypt(data, wallet=wallet, verifier=verifier))

    ready = {}
    for who in ("stranger", "deployer"):
        ports = {"query_port": 0, "admin_port": 0, "metrics_port": 0}
        with serve.start(out / "server", **ports, gate=verifier, open=opener(who)) as server:
            server.wait_ready(10)
            [model] = server.models()
            assert model["current"] == "2" and model["history"]
            ready[who] = {entry["version"]: entry["ready"] for entry in model["versions"]}
    assert ready == {"stranger": {"1": 0, "2": 0}, "deployer": {"1": 1, "2": 1}}
    daybreak.shutdown()


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_ctrl_c_or_sigterm_and_says_where(tmp_path: Path, end: signal.Signals) -> None:
    command = [*DEMO, "--out", str(tmp_path), "--max-steps", "16384", "--episodes", "20", "--port", "0"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        # A background job of a shell ignores SIGINT: SIGTERM is what ends it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN if end == signal.SIGTERM else signal.SIG_DFL),
    )  # fmt: skip
    assert process.stdout is not None
    output = ""
    for line in process.stdout:
        output += line
        if "Ctrl-C ends the server" in line:
            break
    found = re.search(r"http://127\.0\.0\.1:(\d+)/#agent=http://127\.0\.0\.1:(\d+)&token=(\S+)", output)
    assert found is not None and f"ssh -L {found[1]}:127.0.0.1:{found[1]} -L {found[2]}:" in output, output
    with urllib.request.urlopen(f"http://127.0.0.1:{found[1]}/", timeout=10) as page:
        assert b"Daybreak" in page.read() and "default-src 'self'" in page.headers["Content-Security-Policy"]
    if end == signal.SIGINT:
        os.killpg(process.pid, end)  # as a terminal does: to the whole group
    else:
        os.kill(process.pid, end)
    rest = process.communicate(timeout=60)[0]
    assert "the server has stopped" in rest and "Traceback" not in rest, rest
    assert process.returncode == 1  # the checks of too little training have failed, not the serving
    assert _group_is_empty(process.pid), "processes of the demo are left"


def test_too_little_training_fails_the_check_and_says_so(tmp_path: Path) -> None:
    command = [*DEMO, "--check", "--out", str(tmp_path), "--max-steps", "16384", "--episodes", "20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAIL" in done.stdout and "Not reached: train, " in done.stdout
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["passed"] is False and result["steps"] == 16384


def test_ctrl_c_ends_it_cleanly_on_a_terminal(tmp_path: Path) -> None:
    """On a terminal of its own: the bar is shown, Ctrl-C ends it with 130, and no process of it is left."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [*DEMO, "--out", str(tmp_path)],
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )  # fmt: skip
    os.close(terminal)
    shown = b""
    interrupted = False
    while True:
        try:
            part = os.read(controller, 65536)
        except OSError:  # the terminal's other side is closed
            break
        if not part:
            break
        shown += part
        if not interrupted and b"steps/s" in shown:
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
            interrupted = True
    assert process.wait(timeout=60) == 130, shown.decode(errors="replace")
    assert interrupted and b"stopped" in shown and b"Traceback" not in shown
    assert not (tmp_path / "result.json").exists()
    assert _group_is_empty(process.pid), "processes of the demo are left"
    os.close(controller)


def _group_is_empty(group: int, seconds: float = 10) -> bool:
    """Zombies and all, processes of the group are gone within `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_a_folder_that_cannot_be_made_is_refused_with_its_name() -> None:
    done = subprocess.run([*DEMO, "--check", "--out", "/proc/nothing"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "/proc/nothing" in done.stderr and "Traceback" not in done.stderr

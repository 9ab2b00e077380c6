"""The last chapter: the deployer serves the policies it may open, behind the lab's gate, and somebody plays."""

from __future__ import annotations

import json
import mimetypes
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from daybreak import grant, rl, serve, track
from daybreak.base import errors
from daybreak.rl import envs

from ..steps import Steps
from .agent import Agent
from .games import PONG
from .lab import IMITATION, STALENESS_S, Guarded
from .visitor import Refused, Visitor

__all__ = ["Stand", "open_stand", "play_and_be_revoked", "site"]

APP = "pong"
SERVER = "pong.daybreak"  # what players sign as the one they speak to
SLO_MS = 100.0
MOVES = 150  # that the player of the check makes
MAX_MISSED = 0.05  # of them may get the default, on a machine that does other things as well
LOAD_CLIENTS = 3
SWITCHES = ("2", "1", "2")
_CURVE_POINTS = 200


@dataclass
class Stand:
    """A server with the policies, and the agent who lets players in."""

    server: serve.Server
    agent: Agent
    port: int
    lineages: dict[str, dict[str, Any]]

    def close(self) -> None:
        self.agent.close()
        self.server.stop()


def site() -> dict[str, tuple[str, bytes]]:
    """The page's files by path, read once: the server opens none."""
    folder = Path(__file__).parent / "page"
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            if kind.startswith("text/"):
                kind += "; charset=utf-8"
            files["/" + path.relative_to(folder).as_posix()] = (kind, path.read_bytes())
    if "/index.html" not in files:
        raise errors.NotFoundError(f"the page is not in {folder}: build it with ./dev page")
    files["/"] = files["/index.html"]
    return files


# The page loads nothing from elsewhere, speaks to this server and to the lab's agent, and lies in no other page.
SITE_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; connect-src 'self' http://127.0.0.1:*; img-src 'self' data:; "
    "style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def lineage(run_id: str, metric: str) -> dict[str, Any]:
    """Where a policy came from, as the page shows it: run, artifact, parameters and learning curve."""
    run = track.get(run_id)
    artifact = next(found for found in reversed(run.artifacts) if found.name == "policy")
    history = run.history(metric)
    finite = np.isfinite(history.values)
    steps, values = history.steps[finite], history.values[finite]
    chosen = np.unique(np.linspace(0, max(len(steps) - 1, 0), min(_CURVE_POINTS, len(steps))).astype(int))
    return {
        "run": run_id,
        "name": run.name,
        "artifact": artifact.id,
        "params": json.loads(json.dumps(dict(run.params), default=str)),
        "curve": {
            "metric": metric,
            "steps": [int(step) for step in steps[chosen]],
            "values": [round(float(value), 4) for value in values[chosen]],
        },
    }


def open_stand(steps: Steps, guarded: Guarded, out: Path, lineages: Mapping[str, dict[str, Any]], port: int) -> Stand:
    """The deployer opens both policies in memory and serves them: imitation as version 1, which is live, the other as 2."""
    lab, deployer = guarded.lab, guarded.deployer
    reader = lab.verifier()
    with steps.step(
        "serve", f"serve version 1: grant the deployer {IMITATION} again, let it open and deploy it"
    ) as found:
        lab.give(deployer, "decrypt", IMITATION)
        server = _start(out / "server", lab, deployer, port)
        query_port = int(server.query_address.rsplit(":", 1)[1])
        agent = Agent(lab, f"http://127.0.0.1:{query_port}")
        stand = Stand(server, agent, query_port, {"1": lineages["imitation"], "2": lineages["rl"]})
        try:
            gate = lab.verifier(SERVER)
            policy = deployer.open(guarded.ciphertexts["imitation"], reader)
            _deploy(server, "1", guarded.ciphertexts["imitation"], policy, stand.lineages["1"], gate=gate)
            found.text = (
                f"http://{server.query_address}/pong/predict answers in {SLO_MS:.0f} ms, by the model or by default"
            )
        except BaseException:
            stand.close()
            raise
    with steps.step("stage", "stage version 2, the policy that learned by playing") as found:
        policy = deployer.open(guarded.ciphertexts["rl"], reader)
        _deploy(server, "2", guarded.ciphertexts["rl"], policy, stand.lineages["2"], live=False)
        current = server.status()["models"][0]["current"]
        found.passed = current == "1"
        found.text = f"warm; version {current} is live; on the server's disk lie ciphertexts alone"
    return stand


def _start(state: Path, lab: Any, deployer: Any, port: int) -> serve.Server:
    """On that port, or on any when it is taken."""

    def start(query_port: int) -> serve.Server:
        return serve.start(
            state,
            query_port=query_port,
            admin_port=0,
            metrics_port=0,
            server_id=SERVER,
            site=site(),
            site_headers=SITE_HEADERS,
            open=lambda ciphertext, _: deployer.open(ciphertext, lab.verifier()),
        )

    try:
        return start(port)
    except errors.UnavailableError:
        return start(0)


def _deploy(
    server: serve.Server, version: str, ciphertext: bytes, policy: rl.Policy, about: dict[str, Any], **options: Any
) -> None:
    server.deploy(
        APP,
        serve.Sealed(ciphertext, policy),
        version=version,
        input_type="doubles",
        slo_ms=SLO_MS,
        default="0",
        lineage=about,
        **options,
    )


def play_and_be_revoked(steps: Steps, stand: Stand, guarded: Guarded) -> None:
    """A stranger is refused; a player is granted, plays while versions change, and is revoked."""
    _refuse_stranger(steps, stand, guarded)
    agent = stand.agent
    player = Visitor(stand.port, APP, (agent.port, agent.token()))
    with steps.step("player", "let the page's player ask the lab: 'predict' on apps/pong") as found:
        before = _refusal(lambda: player.predict(np.zeros(8)))
        player.ask_the_lab()
        player.open_session()
        answer = player.predict(np.full(8, 0.5))
        again = _refusal(lambda: Visitor(stand.port, APP, (agent.port, agent.token())).open_session())
        found.passed = (
            before is not None and before.reason == "no_proof" and not answer["default"] and again is not None
        )
        found.text = f"before: {before}; granted, a session of its own, and the model moves {_MOVES[answer['output']]}"
    with steps.step("rally", f"play {MOVES} moves over a WebSocket, the model asked for each") as found:
        moves = _rally(player, MOVES)
        found.passed = moves.defaults <= MOVES * MAX_MISSED and moves.versions == {"1": MOVES}
        late = f"{moves.defaults} missed the {SLO_MS:.0f} ms"
        found.text = f"median {moves.median_ms:.2f} ms, slowest {moves.slowest_ms:.1f} ms, {late}"
    with steps.step("switch", "make version 2 live under load, go back to 1, forward to 2") as found:
        outcome = _switch(stand, player)
        lost = outcome["lost"]
        found.passed = (
            lost == 0 and outcome["answered"] > outcome["late"] and stand.server.status()["models"][0]["current"] == "2"
        )
        found.text = (
            f"{outcome['answered']:,} requests of {LOAD_CLIENTS} clients meanwhile, {lost} lost, "
            f"{outcome['late']} by default; version 2 is live"
        )
    with steps.step("lineage", "ask the served versions where they came from") as found:
        told = {entry["version"]: entry["lineage"] for entry in player.describe()["versions"]}
        found.passed = told == stand.lineages
        found.text = "; ".join(
            f"version {v}: run {about['run'][:13]}, artifact {about['artifact'][:12]}" for v, about in told.items()
        )
    with steps.step("player_revoked", "revoke the player in the middle of a game") as found:
        code, reason, seconds = _revoke_in_play(player)
        refused = _refusal(lambda: player.predict(np.zeros(8)))
        found.passed = (
            (code, reason) == (4403, "revoked")
            and seconds <= STALENESS_S
            and refused is not None
            and refused.reason == "revoked"
        )
        found.text = (
            f"the connection ended after {seconds:.2f} s (bound {STALENESS_S} s): {code} {reason}; over HTTP: {refused}"
        )


_MOVES = {0: "not at all", 1: "down", 2: "up"}


def _refusal(attempt: Any) -> Refused | None:
    try:
        attempt()
    except Refused as refused:
        return refused
    return None


def _refuse_stranger(steps: Steps, stand: Stand, guarded: Guarded) -> None:
    """Nothing to show; a proof of a namespace of his own; a proof that was made for another."""
    with steps.step("stranger", "let the stranger predict") as found:
        stranger = Visitor(stand.port, APP)
        stranger.entity = guarded.stranger.entity
        bare = _refusal(lambda: stranger.predict(np.zeros(8)))
        own = grant.Entity.create()
        wallet = grant.Wallet(own)
        granted = wallet.grant(stranger.entity.public, namespace=own.id, statements=[(["predict"], "apps/pong")])
        guarded.stranger.wallet.add(granted.bundle)
        stranger.proof = guarded.stranger.wallet.prove([("predict", "apps/pong")], namespace=own.id)
        forged = _refusal(lambda: stranger.predict(np.zeros(8), signed=True, server=SERVER))
        stranger.proof = guarded.deployer.wallet.prove([("decrypt", "models/pong/rl")], namespace=guarded.lab.namespace)
        stolen = _refusal(lambda: stranger.predict(np.zeros(8), signed=True, server=SERVER))
        found.passed = (
            bare is not None
            and bare.status == 401
            and all(refused is not None and refused.status == 403 for refused in (forged, stolen))
        )
        found.text = f"nothing to show: {bare}; a proof of his own making: {forged}; the deployer's proof: {stolen}"


@dataclass
class _Moves:
    versions: dict[str, int]
    defaults: int
    median_ms: float
    slowest_ms: float


def _rally(player: Visitor, moves: int) -> _Moves:
    """Moves of one game after another, each asked of the server."""
    game = envs.make_vec(PONG, 1, autoreset_mode="same_step", copy=True)
    observations, _ = game.reset(seed=1)
    socket = player.connect()
    versions: Counter[str] = Counter()
    times, defaults = [], 0
    try:
        for move in range(moves):
            began = time.perf_counter()
            socket.send(json.dumps({"id": move, "input": [float(x) for x in observations[0]]}))
            answer = json.loads(socket.receive())
            times.append((time.perf_counter() - began) * 1000)
            versions[answer["version"]] += 1
            defaults += bool(answer["default"])
            observations = game.step(np.array([answer["output"]], np.int32))[0]
    finally:
        socket.close()
    return _Moves(dict(versions), defaults, float(np.median(times)), max(times))


def _switch(stand: Stand, player: Visitor) -> Counter[str]:
    """What became of the requests of some clients while the live version changed."""
    outcome: Counter[str] = Counter()
    stop = threading.Event()

    def load() -> None:
        seen: Counter[str] = Counter()
        while not stop.is_set():
            try:
                answer = player.predict(np.full(8, 0.5))
                seen["late" if answer["default"] else "answered"] += 1
            except Exception:
                seen["lost"] += 1
        with lock:
            outcome.update(seen)

    lock = threading.Lock()
    clients = [threading.Thread(target=load) for _ in range(LOAD_CLIENTS)]
    for client in clients:
        client.start()
    try:
        for version in SWITCHES:
            time.sleep(0.15)
            stand.server.set_version(APP, version)
        time.sleep(0.15)
    finally:
        stop.set()
        for client in clients:
            client.join()
    return outcome


def _revoke_in_play(player: Visitor) -> tuple[int, str, float]:
    """How the player's connection ended, and how long after the revocation."""
    socket = player.connect()
    body = json.dumps({"id": 0, "input": [0.5] * 8})
    socket.send(body)
    socket.receive()
    player.revoke_me()
    began = time.monotonic()
    try:
        while time.monotonic() - began < 3 * STALENESS_S:
            socket.send(body)
            socket.receive()
            time.sleep(0.02)
    except errors.UnavailableError:
        pass
    return socket.close_code, socket.close_reason, time.monotonic() - began

import base64
import json
import statistics
import tempfile
import time

from bench.rows import Measure, rate
from bench.serve import client
from daybreak import grant, rl, serve

PACKAGES = ["wrk"]
QUICK = False
SERVER_ID = "bench"
PATIENT_MS = 10_000.0

server = serve.start(query_port=0, admin_port=0, metrics_port=0, server_id=SERVER_ID)
address = server.query_address
rows = client.Rows(address, "/noop/predict", lambda: QUICK)
noop_http, noop_http_cpu, noop_http_p50_c1 = rows.noop_http, rows.noop_http_cpu, rows.noop_http_p50_c1
globals().update({name: getattr(rows, name) for name in client.HONEST})
noop_http_2 = rows.noop_http


def setup():
    server.deploy("noop", lambda inputs: [float(x[0]) for x in inputs], slo_ms=PATIENT_MS)


def _deploy_busy():
    if any(app["name"] == "busy" for app in server.apps()):
        return

    def busy(inputs):
        outputs = []
        for x in inputs:
            end = time.perf_counter() + 0.005
            while time.perf_counter() < end:
                pass
            outputs.append(float(x[0]))
        return outputs

    server.deploy("busy", busy, slo_ms=PATIENT_MS, replicas=2, batch_size=1)


def model_5ms():
    _deploy_busy()
    return rows.model_5ms()


def model_5ms_p99():
    _deploy_busy()
    return rows.model_5ms_p99()


def teardown():
    server.stop()


def noop_native():
    if not any(app["name"] == "native" for app in server.apps()):
        server.deploy("native", rl.PPO("CartPole-v1").policy, input_type="floats", slo_ms=PATIENT_MS)
    body = json.dumps({"input": client.INPUT[:4]})
    client.wrk(address, "/native/predict", 1, body=body)
    before = client.cpu_seconds()
    result = client.wrk(address, "/native/predict", 1 if QUICK else 3, body=body)
    result["cpu_ms_per_1000"] = (client.cpu_seconds() - before) * 1e6 / result["requests"]
    return Measure(result["rate"], None, result)


def sleeper(fixed_s, each_s=0.0):
    """A model that takes so long for a batch. It travels by value: its replicas cannot import this file."""

    def sleep(inputs):
        time.sleep(fixed_s + each_s * len(inputs))
        return [float(x[0]) for x in inputs]

    return sleep


def slo_at_2x_overload():
    slow = sleeper(client.FIXED_S, client.EACH_S)
    server.deploy("patient", slow, slo_ms=PATIENT_MS, batch_size=client.MAX_BATCH)
    server.deploy("slow", slow, slo_ms=client.SLO_S * 1e3, default=-1.0, batch_size=client.MAX_BATCH)
    return client.overload(address, "/patient/predict", "/slow/predict", QUICK)


def batching_gain():
    sizes = [1, 16, 32, 64, -1]
    for size in sizes:
        server.deploy(f"batch{size}".replace("-1", "-found"), sleeper(0.001), slo_ms=PATIENT_MS, batch_size=size)
    rates = {size: [] for size in sizes}
    for _ in range(2 if QUICK else 4):  # the first round is for warming up
        for size in sizes:
            path = f"/batch{size}/predict".replace("-1", "-found")
            rates[size].append(client.wrk(address, path, 1)["rate"])
    medians = {size: statistics.median(values[1:]) for size, values in rates.items()}
    best = max(medians[size] for size in sizes if size > 0)
    info = {f"batch_{size}": medians[size] for size in sizes if size > 0}
    return Measure(medians[-1] / best, None, {**info, "found": medians[-1], "gain": medians[-1] / medians[1]})


REQUIRED = [("predict", "apps/gated")]


class Door:
    """A namespace whose owner lets one holder predict on apps/gated."""

    def __init__(self, folder):
        lab, self.holder = grant.Entity.create(), grant.Entity.create()
        granted = grant.Wallet(lab).grant(
            self.holder.public, namespace=lab.id, statements=[(["predict"], "apps/gated")], hops=1
        )
        wallet = grant.Wallet(self.holder)
        wallet.add(granted.bundle)
        self.proof = wallet.prove(REQUIRED, namespace=lab.id)
        store = grant.RevocationStore.create(f"{folder}/revoked")
        self.verifier = grant.Verifier(namespace=lab.id, server=SERVER_ID, revocations=store, max_staleness_s=60)

    def __daybreak_gate_v1__(self):
        return self.verifier.gate()


def text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unpadded(data):
    return base64.urlsafe_b64decode(data + "=" * (-len(data) % 4))


def session_token(door):
    challenge = client.ask(address, "/daybreak/v1/challenge", json.dumps({"app": "gated"}))["challenge"]
    signature = grant.sign_challenge(door.holder, door.proof, unpadded(challenge), server=SERVER_ID, app="gated")
    opened = {"app": "gated", "proof": text(door.proof), "challenge": challenge, "signature": text(signature)}
    return client.ask(address, "/daybreak/v1/session", json.dumps(opened))["token"]


def gate_cpu():
    with tempfile.TemporaryDirectory() as folder:
        door = Door(folder)
        policy = rl.PPO("CartPole-v1").policy
        server.deploy("gated", policy, input_type="floats", slo_ms=PATIENT_MS, gate=door)
        server.deploy("open", policy, input_type="floats", slo_ms=PATIENT_MS)
        body = json.dumps({"input": client.INPUT[:4]})
        assert "error" in json.dumps(client.ask(address, "/gated/predict", body)), "it answers without a session"
        session = {"Authorization": f"Bearer {session_token(door)}"}
        assert "output" in client.ask(address, "/gated/predict", body, session)
        costs = {"/gated/predict": [], "/open/predict": []}
        for turn in range(2 if QUICK else 6):
            for path in sorted(costs, reverse=turn % 2 == 1):
                before = client.cpu_seconds()
                result = client.wrk(address, path, 1 if turn == 0 or QUICK else 2, body=body, headers=session)
                assert result["errors"] == 0, f"{result['errors']:.0f} errors on {path}"
                costs[path].append((client.cpu_seconds() - before) * 1e6 / result["requests"])
        gated, ungated = (statistics.median(costs[path][1:]) for path in costs)
        return Measure(gated - ungated, None, {"gated": gated, "ungated": ungated})


def gate_check_native():
    with tempfile.TemporaryDirectory() as folder:
        door = Door(folder)
        challenge = door.verifier.challenge(app="gated")
        signature = grant.sign_challenge(door.holder, door.proof, challenge, server=SERVER_ID, app="gated")
        token, _ = door.verifier.open_session(door.proof, challenge, signature, REQUIRED, app="gated")
        return 1e6 / rate(
            lambda: door.verifier.check_session(token, REQUIRED, app="gated"), 0.2 if QUICK else 1.0, warm_up=100
        )

import hashlib
import statistics
import time

from bench.rows import Measure
from daybreak import grant

QUICK = False
NAMESPACE = grant.Entity.create()
GOOD, BAD = [("predict", "models/pong/rl")], [("predict", "models/pong-two")]


def chain(hops):
    """The last of so many entities in a row, its proof, and the same with a flipped bit."""
    entity, wallet = NAMESPACE, grant.Wallet(NAMESPACE)
    for left in reversed(range(hops)):
        below = grant.Entity.create()
        bundle = wallet.grant(
            below.public, namespace=NAMESPACE.id, statements=[(["predict"], "models/pong/*")], hops=left
        ).bundle
        entity, wallet = below, grant.Wallet(below)
        wallet.add(bundle)
    proof = wallet.prove(GOOD, namespace=NAMESPACE.id)
    bad = bytearray(proof)
    bad[-20] ^= 1  # in a signature
    return entity, proof, bytes(bad)


SUBJECT, PROOF, FORGED = chain(5)


def allowed(call):
    try:
        call()
    except grant.Denied:
        return False
    return True


def check(verifier):
    """What both sides must agree on: the good one, one for something else, a forged one."""
    return [
        allowed(lambda: verifier.verify(PROOF, GOOD)),
        allowed(lambda: verifier.verify(PROOF, BAD)),
        allowed(lambda: verifier.verify(FORGED, GOOD)),
    ]


def new():
    return grant.Verifier(namespace=NAMESPACE.id, server="bench", revocations=None)


def median_us(calls):
    times = []
    for call in calls:
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6


def count():
    return 300 if QUICK else 3000


def verify_5_hops_cold():
    verifier = new()
    # Another app each time: a decision is remembered for one audience, so each of these is made anew.
    apps = [f"app{i}" for i in range(count() + 50)]
    for app in apps[:50]:
        verifier.verify(PROOF, GOOD, app=app)
    return Measure(
        median_us((lambda app=app: verifier.verify(PROOF, GOOD, app=app)) for app in apps[50:]), check(verifier)
    )


def verify_with_possession():
    verifier = new()
    times = {}
    for kind, apps in (("cold", [f"app{i}" for i in range(count())]), ("warm", ["app"] * count())):
        requests = [
            grant.sign_request(SUBJECT, PROOF, server="bench", method="POST", path="/predict", body=b"x" * 100, app=app)
            for app in apps
        ]
        calls = (
            lambda request=request, app=app: verifier.check_request(
                request, GOOD, method="POST", path="/predict", body=b"x" * 100, app=app
            )
            for request, app in zip(requests, apps, strict=True)
        )
        times[kind] = median_us(calls)
    return Measure(times["cold"], check(verifier), {"proof_seen_before_us": times["warm"]})


def verify_warm():
    verifier = new()
    verifier.verify(PROOF, GOOD)

    def hundred():
        for _ in range(100):
            verifier.verify(PROOF, GOOD)

    return Measure(median_us([hundred] * count()) / 100, check(verifier))


def proof_bytes_per_hop():
    return Measure(len(chain(6)[1]) - len(PROOF), info={"proof_of_5_hops": len(PROOF)})


TEXT = bytes(range(256)) * 4096  # a MiB
RESOURCE = "models/pong/rl"


def parties():
    """A trainer who may publish, a friend who may decrypt, and the manifest."""
    lab = grant.Wallet(NAMESPACE)
    wallets = []
    for permission in ("publish", "decrypt"):
        entity = grant.Entity.create()
        wallet = grant.Wallet(entity)
        wallet.add(lab.grant(entity.public, namespace=NAMESPACE.id, statements=[([permission], RESOURCE)]).bundle)
        wallets.append(wallet)
    return grant.Manifest.create(NAMESPACE, [RESOURCE], valid_for=86_400), *wallets


def opened(wallet, verifier, ciphertext):
    try:
        return grant.decrypt(ciphertext, wallet=wallet, verifier=verifier)
    except grant.Denied:
        return None


def encryption_check(manifest, trainer, friend):
    verifier = new()
    made = grant.encrypt(manifest, RESOURCE, TEXT, author=trainer)
    forged = opened(friend, verifier, made[:-1] + bytes([made[-1] ^ 1]))
    return [
        hashlib.sha256(opened(friend, verifier, made)).hexdigest(),
        "refused" if forged is None else "opened",
    ]


def median_ms(call):
    return median_us([call] * ((40 if QUICK else 400) + 5)) / 1e3


def encrypt_1mib():
    manifest, trainer, friend = parties()
    return Measure(
        median_ms(lambda: grant.encrypt(manifest, RESOURCE, TEXT, author=trainer)),
        encryption_check(manifest, trainer, friend),
    )


def decrypt_1mib():
    manifest, trainer, friend = parties()
    verifier, made = new(), grant.encrypt(manifest, RESOURCE, TEXT, author=trainer)
    return Measure(
        median_ms(lambda: grant.decrypt(made, wallet=friend, verifier=verifier)),
        encryption_check(manifest, trainer, friend),
    )

import statistics
import time
from datetime import timedelta

from biscuit_auth import AuthorizerBuilder, Biscuit, BiscuitBuilder, BlockBuilder, KeyPair

from bench.rows import Measure

REQUIREMENTS = ["biscuit-python==0.4.0"]
QUICK = False
ROOT = KeyPair()
BLOCK = 'check if resource($r), $r.starts_with("models/pong/"); check if time($t), $t < 2100-01-01T00:00:00Z'


def token(blocks):
    """So many blocks, so many signatures."""
    made = BiscuitBuilder('right("predict", "models/pong/")').build(ROOT.private_key)
    for _ in range(blocks - 1):
        made = made.append(BlockBuilder(BLOCK))
    return bytes(made.to_bytes())


FIVE, SIX = token(5), token(6)


def authorize(parsed, resource):
    builder = AuthorizerBuilder(
        "resource({resource}); operation({operation});"
        " allow if right($o, $p), operation($o), resource($r), $r.starts_with($p)",
        {"resource": resource, "operation": "predict"},
    )
    builder.set_time()
    limits = builder.limits()
    limits.max_time, limits.max_facts, limits.max_iterations = timedelta(seconds=10), 100_000, 10_000
    builder.set_limits(limits)
    builder.build(parsed).authorize()


def verify(raw, resource="models/pong/rl"):
    authorize(Biscuit.from_bytes(raw, ROOT.public_key), resource)


def allowed(raw, resource):
    try:
        verify(raw, resource)
    except Exception:
        return False
    return True


def check():
    forged = bytearray(FIVE)
    forged[-50] ^= 1  # in the last signature
    return [allowed(FIVE, "models/pong/rl"), allowed(FIVE, "models/pong-two"), allowed(bytes(forged), "models/pong/rl")]


def median_us(call):
    times = []
    for i in range((300 if QUICK else 3000) + 50):
        started = time.perf_counter()
        call()
        if i >= 50:
            times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6


def verify_5_hops_cold():
    return Measure(median_us(lambda: verify(FIVE)), check())


def verify_with_possession():
    return Measure(median_us(lambda: verify(SIX)), check())


def verify_warm():
    parsed = Biscuit.from_bytes(FIVE, ROOT.public_key)
    kept = median_us(lambda: authorize(parsed, "models/pong/rl"))
    return Measure(median_us(lambda: verify(FIVE)), check(), {"parsed_token_kept_us": kept})


def proof_bytes_per_hop():
    return Measure(len(SIX) - len(FIVE), info={"token_of_5_blocks": len(FIVE)})

import hashlib
import statistics
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pyhpke import AEADId, CipherSuite, KDFId, KEMId

from bench.rows import Measure

REQUIREMENTS = ["pyhpke==0.6.5", "cryptography==50.0.2"]
QUICK = False
TEXT = bytes(range(256)) * 4096  # a MiB
SUITE = CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.CHACHA20_POLY1305)
PAIR = SUITE.kem.derive_key_pair(b"k" * 32)
AUTHOR = Ed25519PrivateKey.generate()


def encrypt():
    enc, sender = SUITE.create_sender_context(PAIR.public_key, b"models/pong/rl")
    sealed = sender.seal(TEXT)
    return enc, sealed, AUTHOR.sign(enc + hashlib.sha256(sealed).digest())


def decrypt(enc, sealed, signature):
    AUTHOR.public_key().verify(signature, enc + hashlib.sha256(sealed).digest())
    return SUITE.create_recipient_context(enc, PAIR.private_key, b"models/pong/rl").open(sealed)


def forged(enc, sealed, signature):
    try:
        decrypt(enc, sealed[:-1] + bytes([sealed[-1] ^ 1]), signature)
    except Exception:
        return "refused"
    return "opened"


def check():
    made = encrypt()
    return [hashlib.sha256(decrypt(*made)).hexdigest(), forged(*made)]


def median_ms(call):
    times = []
    for i in range((40 if QUICK else 400) + 5):
        started = time.perf_counter()
        call()
        if i >= 5:
            times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e3


def encrypt_1mib():
    return Measure(median_ms(encrypt), check())


def decrypt_1mib():
    made = encrypt()
    return Measure(median_ms(lambda: decrypt(*made)), check())

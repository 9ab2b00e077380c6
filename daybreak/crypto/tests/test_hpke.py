"""HPKE against another implementation of RFC 9180."""

import random

import pytest

from daybreak import crypto
from daybreak.base import errors


def test_pyhpke_opens_what_we_seal_and_we_open_what_it_seals() -> None:
    pyhpke = pytest.importorskip("pyhpke")
    suite = pyhpke.CipherSuite.new(
        pyhpke.KEMId.DHKEM_X25519_HKDF_SHA256, pyhpke.KDFId.HKDF_SHA256, pyhpke.AEADId.CHACHA20_POLY1305
    )
    rng = random.Random(9180)
    for size in (0, 1, 31, 1000, 70_000):
        seed, info, aad, text = (rng.randbytes(n) for n in (32, rng.randrange(60), rng.randrange(60), size))
        secret_key, public_key = crypto.derive_key_pair(seed)
        theirs = suite.kem.derive_key_pair(seed)
        assert theirs.public_key.to_public_bytes() == public_key
        assert theirs.private_key.to_private_bytes() == secret_key

        sealed = crypto.seal(public_key, info, aad, text)
        assert suite.create_recipient_context(sealed[:32], theirs.private_key, info).open(sealed[32:], aad) == text
        enc, sender = suite.create_sender_context(theirs.public_key, info)
        assert crypto.open(secret_key, info, aad, enc + sender.seal(text, aad)) == text


def test_wrong_sizes_and_altered_messages_are_errors_that_say_so() -> None:
    secret_key, public_key = crypto.derive_key_pair(b"seed")
    with pytest.raises(ValueError, match="a public key has 32 bytes, not 31"):
        crypto.seal(public_key[:31], b"", b"", b"")
    sealed = bytearray(crypto.seal(public_key, b"", b"", b"text"))
    sealed[-1] ^= 1
    with pytest.raises(errors.DataLossError, match="does not open"):
        crypto.open(secret_key, b"", b"", bytes(sealed))

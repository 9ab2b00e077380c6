"""Grants: verification beside Biscuit, with as many Ed25519 signatures on both sides; encryption beside HPKE in Python."""

from bench.rows import Row

ROWS = [
    Row(
        "verify_5_hops_cold",
        "us",
        "lower",
        "bytes to decision: 5 signatures, parse, verify, authorize; nothing remembered, possession outside",
        must=1.05,
    ),
    Row(
        "verify_with_possession",
        "us",
        "lower",
        "the same and a signed request: 6 signatures on both sides (info: ours with a proof seen before)",
    ),
    Row(
        "verify_warm",
        "us",
        "lower",
        "the same proof again, beside parse + verify + authorize (info: theirs with the parsed token kept)",
        must=50,
    ),
    Row(
        "proof_bytes_per_hop",
        "bytes",
        "lower",
        "what one more hop adds, with one statement (theirs: one more block with one check)",
        must_value=320,
    ),
    Row(
        "encrypt_1mib",
        "ms",
        "lower",
        "a MiB to a resource, signed by its author. Theirs: HPKE base mode (X25519, ChaCha20-Poly1305) and Ed25519 over"
        " SHA-256 of the ciphertext; no proofs. Ours: all that the API does, with the author's proof found and checked",
        must=1,
    ),
    Row(
        "decrypt_1mib",
        "ms",
        "lower",
        "the same back: signature over the hash verified, opened. Ours also verifies author's and holder's proofs (seen"
        " before)",
        must=1,
    ),
]
PEERS = ["biscuit", "pyhpke"]  # each has rows of its own: a row's first peer is the first that offers it

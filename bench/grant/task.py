"""Grants: verification beside Biscuit, with as many Ed25519 signatures on both sides."""

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
]
PEERS = ["biscuit"]

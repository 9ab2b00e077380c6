"""Encryption to a resource against the scheme written down a second time: keys, manifests, key bundles, ciphertexts.

The entity's seed is read from its key file (docs/formats/crypto-key-file.md), everything else follows from it.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import hashlib
import time
from pathlib import Path

import pytest

pytest.importorskip("pyhpke")

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from daybreak import grant
from daybreak.grant.tests import scheme

DAY = 86_400
RL = "models/pong/rl"


def seed_of(entity: grant.Entity, folder: Path) -> bytes:
    """The 32 bytes whose Ed25519 key the record has: found in the key file by trying."""
    path = folder / f"{entity.id}.key"
    entity.save(str(path))
    stored = path.read_bytes()
    for at in range(len(stored) - 31):
        key = Ed25519PrivateKey.from_private_bytes(stored[at : at + 32]).public_key().public_bytes_raw()
        if key == entity.public[1:33]:
            return stored[at : at + 32]
    raise AssertionError("no seed in the key file")


def secretstream_open(key: bytes, body: bytes, aad: bytes) -> bytes:
    """libsodium's secretstream by its C interface: the only implementation there is."""
    name = ctypes.util.find_library("sodium")
    if name is None:
        pytest.skip("libsodium is linked into us, and not there as a library of its own")
    sodium = ctypes.CDLL(name)
    state = ctypes.create_string_buffer(sodium.crypto_secretstream_xchacha20poly1305_statebytes())
    assert sodium.crypto_secretstream_xchacha20poly1305_init_pull(state, body[:24], key) == 0
    text, at, last = b"", 24, b""
    while at < len(body):
        chunk = body[at : at + 65_536 + 17]
        at += len(chunk)
        out, length, mark = (
            ctypes.create_string_buffer(len(chunk)),
            ctypes.c_ulonglong(),
            ctypes.create_string_buffer(1),
        )
        opened = sodium.crypto_secretstream_xchacha20poly1305_pull(
            state,
            out,
            ctypes.byref(length),
            mark,
            chunk,
            ctypes.c_ulonglong(len(chunk)),
            aad,
            ctypes.c_ulonglong(len(aad)),
        )
        assert opened == 0
        text, last = text + out.raw[: length.value], mark.raw
    assert last == b"\x03", "the last chunk, and no other, is marked final"
    return text


def test_manifest_holds_the_keys_of_the_tree(tmp_path: Path) -> None:
    lab = grant.Entity.create()
    seed = seed_of(lab, tmp_path)
    for epoch_s in (DAY, 3600):
        made = grant.Manifest.create(lab, [RL, "models/pong", "a"], valid_for=2 * 3600, epoch_s=epoch_s, sequence=5)
        read = scheme.read_manifest(made.bytes)
        assert (read.owner, read.sequence, read.seconds) == (lab.public, 5, epoch_s)
        assert {path for path, _ in read.keys} == {RL, "models/pong", "a"}
        for (path, epoch), public_key in read.keys.items():
            pair = scheme.key_pair(scheme.descend(scheme.epoch_seed(seed, epoch_s, epoch), path))
            assert pair.public_key.to_public_bytes() == public_key


def test_ciphertext_is_opened_by_other_libraries(tmp_path: Path) -> None:
    lab, trainer = grant.Entity.create(), grant.Entity.create()
    wallet = grant.Wallet(trainer)
    lab_wallet = grant.Wallet(lab)
    wallet.add(lab_wallet.grant(trainer.public, namespace=lab.id, statements=[(["publish"], RL)]).bundle)
    manifest = grant.Manifest.create(lab, [RL])
    seed = seed_of(lab, tmp_path)
    for text in (b"", b"weights" * 30_000):
        for author, by in ((wallet, trainer), (lab_wallet, lab)):
            parts = scheme.read_ciphertext(grant.encrypt(manifest, RL, text, author=author))
            assert (parts.namespace.hex(), parts.resource, parts.seconds) == (lab.id, RL, DAY)
            assert parts.epoch in (int(time.time()) // DAY, int(time.time() - 5) // DAY)
            verify = Ed25519PublicKey.from_public_bytes(by.public[1:33]).verify
            verify(parts.signature, scheme.tag("ciphertext") + parts.signed)
            with pytest.raises(InvalidSignature):
                verify(parts.signature, parts.signed)
            assert (parts.author_proof == b"") == (by is lab)
            pair = scheme.key_pair(scheme.descend(scheme.epoch_seed(seed, DAY, parts.epoch), RL))
            content_key = scheme.hpke_open(parts.sealed_key, pair.private_key, parts.info)
            assert len(content_key) == 32
            assert secretstream_open(content_key, parts.body, parts.info) == text


def test_key_bundle_holds_the_seed_of_a_subtree_and_the_key_of_a_place(tmp_path: Path) -> None:
    lab, ann = grant.Entity.create(), grant.Entity.create()
    granted = grant.Wallet(lab).grant(
        ann.public, namespace=lab.id, statements=[(["decrypt"], "models/*"), (["decrypt"], "other/a")], valid_for=DAY
    )
    # Ann's sealing key, and with it the outer envelope, then the key bundle in it.
    pair = scheme.SUITE.kem.derive_key_pair(scheme.hkdf(seed_of(ann, tmp_path), scheme.tag("sealing-key")))
    assert granted.bundle[:34] == b"\x01\x01" + bytes.fromhex(ann.id)
    inside = scheme.hpke_open(granted.bundle[34:], pair.private_key, scheme.tag("bundle") + bytes.fromhex(ann.id))
    attestation = granted.attestation.encode()
    at = inside.index(attestation) + len(attestation)
    fields = scheme.Fields(inside)
    fields.at = at
    sealed = fields.text()
    assert hashlib.sha256(scheme.tag("key-bundle") + sealed).digest() in attestation
    info = scheme.tag("key-bundle") + bytes.fromhex(lab.id + ann.id + lab.id)
    seconds, secrets = scheme.read_key_bundle(scheme.hpke_open(sealed, pair.private_key, info))
    lab_seed = seed_of(lab, tmp_path)
    assert seconds == DAY and {resource for resource, _ in secrets} == {"models/*", "other/a"}
    for (resource, epoch), secret in secrets.items():
        assert granted.keys_from <= epoch * DAY < granted.keys_until
        root = scheme.epoch_seed(lab_seed, DAY, epoch)
        if resource == "models/*":
            assert secret == scheme.descend(root, "models")
        else:
            node = scheme.key_pair(scheme.descend(root, "other/a"))
            assert secret == node.private_key.to_private_bytes()

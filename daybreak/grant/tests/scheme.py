"""The scheme of encryption to a resource once more, from docs/formats alone: hashlib, hmac, cryptography, pyhpke.

Only the body's secretstream is left out, which no other library than libsodium has.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

import pyhpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SUITE = pyhpke.CipherSuite.new(
    pyhpke.KEMId.DHKEM_X25519_HKDF_SHA256, pyhpke.KDFId.HKDF_SHA256, pyhpke.AEADId.CHACHA20_POLY1305
)


def tag(name: str) -> bytes:
    return f"daybreak/grant/{name}/v1".encode() + b"\0"


def hkdf(key: bytes, info: bytes) -> bytes:
    """RFC 5869 over SHA-256, empty salt, 32 bytes: one block of the expansion."""
    prk = hmac.new(bytes(32), key, hashlib.sha256).digest()
    return hmac.new(prk, info + b"\x01", hashlib.sha256).digest()


def epoch_seed(entity_seed: bytes, seconds: int, epoch: int) -> bytes:
    return hkdf(hkdf(entity_seed, tag("key-master")), tag("key-epoch") + f"{seconds}/{epoch}".encode())


def descend(seed: bytes, path: str) -> bytes:
    for cell in path.split("/"):
        seed = hkdf(seed, tag("key-child") + cell.encode())
    return seed


def key_pair(seed: bytes) -> pyhpke.KEMKeyPair:
    return SUITE.kem.derive_key_pair(hkdf(seed, tag("key-node")))


def hpke_open(sealed: bytes, private: pyhpke.KEMKeyInterface, info: bytes) -> bytes:
    return SUITE.create_recipient_context(sealed[:32], private, info).open(sealed[32:])


class Fields:
    """Reads the encoding, field by field."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def raw(self, size: int) -> bytes:
        assert self.at + size <= len(self.data)
        self.at += size
        return self.data[self.at - size : self.at]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.raw(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def text(self) -> bytes:
        return self.raw(self.varint())

    def record(self) -> bytes:
        """An entity's record; its Ed25519 key are the bytes 1 to 33."""
        begin = self.at
        self.raw(33)
        if self.raw(1) == b"\x01":
            self.raw(32)
        self.varint(), self.varint(), self.raw(32)
        return self.data[begin : self.at]


@dataclass
class ManifestParts:
    owner: bytes
    sequence: int
    seconds: int
    keys: dict[tuple[str, int], bytes] = field(default_factory=dict)


def read_manifest(data: bytes) -> ManifestParts:
    """With its signature verified."""
    fields = Fields(data)
    assert fields.raw(1) == b"\x01"
    owner, sequence, _from, _until, seconds = (
        fields.record(),
        fields.varint(),
        fields.varint(),
        fields.varint(),
        fields.varint(),
    )
    manifest = ManifestParts(owner, sequence, seconds)
    for _ in range(fields.varint()):
        path, first = fields.text().decode(), fields.varint()
        for epoch in range(first, first + fields.varint()):
            manifest.keys[path, epoch] = fields.raw(32)
    Ed25519PublicKey.from_public_bytes(owner[1:33]).verify(
        fields.data[fields.at :], tag("manifest") + data[: fields.at]
    )
    return manifest


@dataclass
class CiphertextParts:
    namespace: bytes
    resource: str
    seconds: int
    epoch: int
    sealed_key: bytes
    author_proof: bytes
    signed: bytes
    signature: bytes
    body: bytes
    info: bytes


def read_ciphertext(data: bytes) -> CiphertextParts:
    """With the hash of its body verified."""
    fields = Fields(data)
    assert fields.raw(1) == b"\x01"
    namespace, resource = fields.raw(32), fields.text().decode()
    seconds, epoch = fields.varint(), fields.varint()
    info = tag("content-key") + data[: fields.at]  # version, namespace, resource, seconds, epoch as encoded here
    sealed_key, body_bytes, body_hash, proof = fields.raw(80), fields.varint(), fields.raw(32), fields.text()
    if not proof:
        fields.record()
    signed, signature = data[: fields.at], fields.raw(64)
    body = fields.raw(body_bytes)
    assert fields.at == len(data)
    assert hashlib.sha256(tag("ciphertext-body") + body).digest() == body_hash
    return CiphertextParts(namespace, resource, seconds, epoch, sealed_key, proof, signed, signature, body, info)


def read_key_bundle(plain: bytes) -> tuple[int, dict[tuple[str, int], bytes]]:
    """Seconds of an epoch, and the secret of each (resource as granted, epoch)."""
    fields = Fields(plain)
    assert fields.raw(1) == b"\x01"
    seconds, first, count = fields.varint(), fields.varint(), fields.varint()
    secrets = {}
    for _ in range(fields.varint()):
        resource = fields.text().decode()
        for epoch in range(first, first + count):
            secrets[resource, epoch] = fields.raw(32)
    assert fields.at == len(plain)
    return seconds, secrets

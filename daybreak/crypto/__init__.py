"""Hashes, signatures, sealed boxes: thin faces of libsodium and OpenSSL, used by ``track`` and ``grant`` in C++.

From Python there is HPKE (RFC 9180, base mode; X25519, HKDF-SHA256, ChaCha20-Poly1305), one message at a time:

>>> secret_key, public_key = derive_key_pair(bytes(32))
>>> sealed = seal(public_key, b"what for", b"", b"hello")
>>> open(secret_key, b"what for", b"", sealed)
b'hello'
"""

from daybreak._core.crypto import derive_key_pair, open, seal

__all__ = ["derive_key_pair", "open", "seal"]

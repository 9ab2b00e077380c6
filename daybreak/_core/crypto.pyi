def derive_key_pair(seed: bytes) -> tuple[bytes, bytes]:
    """(secret key, public key) by RFC 9180's DeriveKeyPair for X25519."""

def seal(public_key: bytes, info: bytes, aad: bytes, text: bytes) -> bytes:
    """The one-time public key (32 bytes) followed by the ciphertext."""

def open(secret_key: bytes, info: bytes, aad: bytes, sealed: bytes) -> bytes:
    """What seal() sealed."""

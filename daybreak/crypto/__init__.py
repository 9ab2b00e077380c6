"""Hashes, signatures, sealed boxes: thin faces of libsodium and OpenSSL, used by ``track`` and ``grant`` in C++."""

__all__: list[str] = []

"""Small helpers that PyWren's users know."""

from __future__ import annotations

import base64
import os
import uuid

__all__ = [
    "SOURCE_DIR",
    "b64str_to_bytes",
    "bytes_to_b64str",
    "create_call_id",
    "create_callset_id",
    "split_s3_url",
    "uuid_str",
]

SOURCE_DIR = os.path.dirname(os.path.abspath(__file__))


def uuid_str() -> str:
    return str(uuid.uuid4())


def create_callset_id() -> str:
    return uuid_str()


def create_call_id() -> str:
    return uuid_str()


def bytes_to_b64str(byte_data: bytes) -> str:
    """
    >>> bytes_to_b64str(b"wren"), b64str_to_bytes("d3Jlbg==")
    ('d3Jlbg==', b'wren')
    """
    return base64.b64encode(byte_data).decode("ascii")


def b64str_to_bytes(str_data: str) -> bytes:
    return base64.b64decode(str_data.encode("ascii"))


def split_s3_url(s3_url: str) -> tuple[str, str]:
    """Bucket and key.

    >>> split_s3_url("s3://bucket/and/the/key")
    ('bucket', 'and/the/key')

    Raises:
        ValueError: it does not begin with s3://.
    """
    if not s3_url.startswith("s3://"):
        raise ValueError(f"URL {s3_url} is not valid: it begins with s3://")
    bucket, _, key = s3_url[len("s3://") :].partition("/")
    return bucket, key

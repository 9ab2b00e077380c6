"""Lithops' storage on this machine's files, whole or not at all, under a name that goes with any compute back end.

Lithops refuses its own storage `localhost` beside a compute back end of another name, and writes in place, so that who reads at
that moment may see half of an object.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

from lithops.constants import LITHOPS_TEMP_DIR
from lithops.storage.backends.localhost.localhost import LocalhostStorageBackend

__all__ = ["StorageBackend"]

_PART = ".part-"


class StorageBackend(LocalhostStorageBackend):  # type: ignore[misc]
    """Objects are files below Lithops' folder of temporary files, BUCKET/KEY."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        os.makedirs(os.path.join(LITHOPS_TEMP_DIR, config.get("storage_bucket") or "storage"), exist_ok=True)

    def put_object(self, bucket_name: str, key: str, data: Any) -> None:
        """Text, bytes, anything with the buffer protocol, or what has `read`."""
        path = os.path.join(LITHOPS_TEMP_DIR, bucket_name, key)
        folder = os.path.dirname(path)
        for attempt in (0, 1):
            os.makedirs(folder, exist_ok=True)
            try:
                descriptor, part = tempfile.mkstemp(prefix=_PART, dir=folder)
                break
            except FileNotFoundError:  # who deletes the last object of a folder deletes that, too
                if attempt:
                    raise
        try:
            with open(descriptor, "wb") as file:
                if isinstance(data, str):
                    file.write(data.encode())
                elif hasattr(data, "read"):
                    _copy(data, file)
                else:
                    file.write(data)
            os.replace(part, path)
        except BaseException:
            os.unlink(part)
            raise

    def create_bucket(self, bucket_name: str) -> None:
        os.makedirs(os.path.join(LITHOPS_TEMP_DIR, bucket_name), exist_ok=True)

    def list_keys(self, bucket_name: str, prefix: str | None = None) -> list[str]:
        found = dict.fromkeys(super().list_keys(bucket_name, prefix))
        return [key for key in found if not os.path.basename(key).startswith(_PART)]


def _copy(source: Any, file: Any) -> None:
    first = source.read(1 << 20)
    if isinstance(first, str):
        file.write((first + source.read()).encode())
        return
    file.write(first)
    shutil.copyfileobj(source, file, 1 << 20)

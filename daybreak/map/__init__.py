"""One function over many inputs, by PyWren's names, in the workers of this machine or of a cloud."""

from __future__ import annotations

__all__: list[str] = []

"""Engines other than the embedded one: each fulfils the interface of `runtime/engine.py`, and nothing above sees which it is."""

from __future__ import annotations

__all__: list[str] = []

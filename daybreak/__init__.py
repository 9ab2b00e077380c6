"""Daybreak: run Python across cores, train agents, track, serve and guard them."""

from .runtime import *  # noqa: F403
from .runtime import __all__ as _verbs

__all__ = [*_verbs]

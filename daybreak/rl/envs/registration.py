"""Makes gymnasium.make("daybreak/Pong-v0") work after `import daybreak.rl`, without importing Gymnasium for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

__all__ = ["install"]

_REGISTRY = "gymnasium.envs.registration"


def install() -> None:
    """Registers our environments now where Gymnasium is loaded, else at the moment it loads its registry."""
    registry = sys.modules.get(_REGISTRY)
    if hasattr(registry, "register"):
        _register(registry)
    elif not any(isinstance(finder, _AtImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AtImport())


def _register(registry: Any) -> None:
    if "daybreak/Pong-v0" not in registry.registry:
        registry.register(
            "daybreak/Pong-v0",
            entry_point="daybreak.rl.envs.gym_env:PongEnv",
            vector_entry_point="daybreak.rl.envs.gym_env:PongVectorEnv",
        )


class _AtImport:
    """A finder that sees one module go by, and then leaves."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != _REGISTRY:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            loader.exec_module = _then_register(loader.exec_module)
        return spec


def _then_register(exec_module: Callable[[Any], None]) -> Callable[[Any], None]:
    def exec_and_register(module: Any) -> None:
        exec_module(module)
        _register(module)

    return exec_and_register

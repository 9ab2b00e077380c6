"""The interface of an engine other than the embedded one.

The verbs of `daybreak` are native and serve the embedded engine themselves. `use(engine)` turns one flag: from then on they
hand every call to the engine given here, and everything above, which speaks only the public verbs, runs on it unchanged.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs 5 ms of what `import daybreak` may
if TYPE_CHECKING:
    from typing import Any, Protocol
else:
    Protocol = object

__all__ = ["Engine", "use"]


class Engine(Protocol):
    """What an engine has to offer. Arguments and results are those of the public verbs."""

    def submit(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """`function.remote(*args, **kwargs)`; `function._function` and `function._options` say what and how."""

    def create_actor(self, actor_class: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """`actor_class.remote(...)`: a handle whose methods have `.remote()`."""

    def get(self, refs: Any, *, timeout: float | None = None) -> Any: ...

    def put(self, value: Any) -> Any: ...

    def wait(
        self, refs: list[Any], *, num_returns: int = 1, timeout: float | None = None, fetch_local: bool = True
    ) -> tuple[list[Any], list[Any]]: ...

    def kill(self, actor: Any, no_restart: bool) -> None: ...

    def cancel(self, ref: Any, force: bool, recursive: bool) -> None: ...

    def get_actor(self, name: str, namespace: str | None) -> Any: ...

    def list_named_actors(self, all_namespaces: bool) -> list[Any]: ...

    def resources(self, available: bool) -> dict[str, float]: ...

    def info(self) -> dict[str, Any]:
        """What `init` returns."""

    def nodes(self) -> list[dict[str, Any]]: ...

    def gpu_ids(self) -> list[int]: ...

    def runtime_context(self) -> Any: ...

    def exit_actor(self) -> None: ...

    def reduced(self, target: Any, what: Any) -> Any:
        """For `__reduce__` of a RemoteFunction or ActorClass, `what` the function or class: what a worker makes of it."""

    def placement_groups(self) -> Any:
        """What has `placement_group`, `remove_placement_group`, `get_placement_group`, `get_current_placement_group` and
        `placement_group_table`."""

    def shutdown(self) -> None: ...


_engine: Engine | None = None


def current() -> Engine | None:
    """The engine in use, None for the embedded one."""
    return _engine


def is_ray() -> bool:
    """Whether a Ray cluster is in use: its workers may have no Daybreak, and run what is sent by value alone."""
    return hasattr(_engine, "ray")


def use(engine: Engine | None) -> None:
    """Sends the verbs to `engine`; None: back to the embedded one."""
    global _engine
    from .._core import runtime as _native

    _native._set_engine(engine)
    _engine = engine

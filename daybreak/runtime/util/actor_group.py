"""Several actors of one class that are called together."""

from __future__ import annotations

import warnings

from daybreak.runtime import get, kill, remote, wait
from daybreak.runtime.util.annotations import RayDeprecationWarning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["ActorGroup"]


class _Member:
    """An actor of the group, and what its method `get_actor_metadata` said when it started, if it has one."""

    def __init__(self, actor: Any, metadata: Any) -> None:
        self.actor = actor
        self.metadata = metadata


class _GroupMethod:
    def __init__(self, group: ActorGroup, name: str) -> None:
        self._group = group
        self._name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"methods of a group are not called directly: use {self._name}.remote()")

    def remote(self, *args: Any, **kwargs: Any) -> list[Any]:
        """Calls the method of each actor: a list of references."""
        return [getattr(member.actor, self._name).remote(*args, **kwargs) for member in self._group.actors]


class ActorGroup:
    """`group.method.remote(...)` calls the method of all its actors.

    Args:
        actor_cls: an ordinary class.
        num_actors, num_cpus_per_actor, num_gpus_per_actor, resources_per_actor: how many, and what each needs.
        init_args, init_kwargs: of the constructor.

    Raises:
        ValueError: num_actors is below 1, a number of CPUs or GPUs is negative.

    Example:
        >>> import warnings
        >>> from daybreak.util.actor_group import ActorGroup
        >>> class Doubler:
        ...     def double(self, x):
        ...         return 2 * x
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")  # Ray has better things by now, and says so
        ...     group = ActorGroup(Doubler, num_actors=2, num_cpus_per_actor=0)
        >>> import daybreak
        >>> daybreak.get(group.double.remote(4))
        [8, 8]
        >>> group.shutdown()
    """

    def __init__(
        self,
        actor_cls: type,
        num_actors: int = 1,
        num_cpus_per_actor: float = 1,
        num_gpus_per_actor: float = 0,
        resources_per_actor: dict[str, float] | None = None,
        init_args: tuple[Any, ...] | None = None,
        init_kwargs: dict[str, Any] | None = None,
    ) -> None:
        warnings.warn(
            "ActorGroup is deprecated: for functions use ray.util.multiprocessing, for actors ray.util.ActorPool",
            RayDeprecationWarning,
            stacklevel=2,
        )
        if num_actors < 1:
            raise ValueError(f"num_actors={num_actors}: it must be at least 1")
        if num_cpus_per_actor < 0 or num_gpus_per_actor < 0:
            raise ValueError(
                f"num_cpus_per_actor={num_cpus_per_actor}, num_gpus_per_actor={num_gpus_per_actor}: "
                "they must not be negative"
            )
        self.actors: list[_Member] = []
        self.num_actors = num_actors
        self._class = remote(
            num_cpus=num_cpus_per_actor, num_gpus=num_gpus_per_actor, resources=resources_per_actor or {}
        )(actor_cls)
        self._constructor = (init_args or (), init_kwargs or {})
        self.start()

    def __getattr__(self, name: str) -> _GroupMethod:
        if name.startswith("__") or name in ("actors", "_class"):  # not set yet
            raise AttributeError(name)
        if not self.actors:
            raise RuntimeError("this group has been shut down: call start() first")
        if not hasattr(self._class._class, name):
            raise AttributeError(f"{self._class.__name__} has no method {name!r}")
        return _GroupMethod(self, name)

    def __len__(self) -> int:
        return len(self.actors)

    def __getitem__(self, index: int) -> _Member:
        return self.actors[index]

    @property
    def actor_metadata(self) -> list[Any]:
        """What `get_actor_metadata` of each actor said when it started; None where the class has no such method."""
        return [member.metadata for member in self.actors]

    def start(self) -> None:
        """Makes the actors.

        Raises:
            RuntimeError: they are there already.
        """
        if self.actors:
            raise RuntimeError("the actors are there already: call shutdown() first")
        self.add_actors(self.num_actors)

    def add_actors(self, num_actors: int) -> None:
        """Makes more of them."""
        args, kwargs = self._constructor
        made = [self._class.remote(*args, **kwargs) for _ in range(num_actors)]
        has_metadata = hasattr(self._class._class, "get_actor_metadata")
        metadata = get([actor.get_actor_metadata.remote() for actor in made]) if has_metadata else [None] * len(made)
        self.actors += [_Member(actor, told) for actor, told in zip(made, metadata, strict=True)]

    def remove_actors(self, actor_indexes: Sequence[int]) -> None:
        """Takes the actors at these places out of the group; they end when nobody else holds them."""
        self.actors = [member for index, member in enumerate(self.actors) if index not in actor_indexes]

    def shutdown(self, patience_s: float = 5) -> None:
        """Ends the actors: after what they have been called to do, or at once when that takes more than `patience_s` seconds."""
        members, self.actors = self.actors, []
        if patience_s > 0 and members:
            ends = [member.actor.__ray_terminate__.remote() for member in members]
            if not wait(ends, num_returns=len(ends), timeout=patience_s)[1]:
                return
        for member in members:
            kill(member.actor)

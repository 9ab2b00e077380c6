"""The names by which pickles that an earlier version wrote know a remote function and an actor's class. Nothing else."""

from .actors import ActorClass
from .tasks import RemoteFunction, _CppFunction, _rebuild_remote, cpp_function

__all__ = ["ActorClass", "RemoteFunction", "_CppFunction", "_rebuild_remote", "cpp_function"]

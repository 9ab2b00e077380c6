"""Ray's names."""

from .aliases import Aliases

__all__ = ["ALIASES", "install", "uninstall"]

_VERBS = """
    ObjectID ObjectRef available_resources cancel cluster_resources get get_actor get_gpu_ids get_runtime_context init
    is_initialized kill method nodes put remote shutdown wait
"""
_EXCEPTIONS = """
    ActorDiedError ActorUnavailableError ActorUnschedulableError GetTimeoutError ObjectLostError ObjectStoreFullError OwnerDiedError
    RayActorError RayError RayTaskError TaskCancelledError TaskUnschedulableError WorkerCrashedError
"""

ALIASES = Aliases(
    "ray",
    {
        **{f"ray.{name}": f"daybreak:{name}" for name in _VERBS.split()},
        **{f"ray.exceptions.{name}": f"daybreak.runtime.exceptions:{name}" for name in _EXCEPTIONS.split()},
        "ray.actor.ActorClass": "daybreak.runtime:ActorClass",
        "ray.actor.ActorHandle": "daybreak.runtime:ActorHandle",
        "ray.actor.exit_actor": "daybreak.runtime:exit_actor",
        "ray.remote_function.RemoteFunction": "daybreak.runtime:RemoteFunction",
        "ray.runtime_context.RuntimeContext": "daybreak.runtime:RuntimeContext",
    },
    {
        "ray.data": "read the files with pandas, polars or pyarrow in tasks of your own",
        "ray.train": "train in actors of your own",
        "ray.serve": "daybreak.serve serves models under a deadline, by names of its own",
        "ray.rllib": "daybreak.rl has PPO, A2C, DQN, PG and BC, by names of its own",
        "ray.dag": "call the methods of actors one after the other; their references are passed on without a copy",
        "ray.workflow": "keep what must survive with daybreak.track",
    },
)

install = ALIASES.install
uninstall = ALIASES.uninstall

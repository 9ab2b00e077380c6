"""Ray's names."""

import importlib
import importlib.util
import sys

from daybreak.runtime import exceptions as _exceptions
from daybreak.runtime import session as _session

from .aliases import Aliases

__all__ = ["ALIASES", "install", "install_in_worker", "uninstall"]

_TITLE = "daybreak.runtime.process_title"
_VERBS = """
    DynamicObjectRefGenerator ObjectID ObjectRef ObjectRefGenerator available_resources cancel cluster_resources cpp_function
    get get_actor get_gpu_ids get_runtime_context init is_initialized kill method nodes put remote shutdown wait
"""
_IDS = "ActorClassID ActorID FunctionID JobID NodeID PlacementGroupID TaskID UniqueID WorkerID"
_MODES = "LOCAL_MODE RESTORE_WORKER_MODE SCRIPT_MODE SPILL_WORKER_MODE WORKER_MODE"
_CLOUDPICKLE = "CloudPickler Pickler dump dumps load loads register_pickle_by_value unregister_pickle_by_value"
_GROUPS = """
    PlacementGroup get_current_placement_group get_placement_group placement_group placement_group_table remove_placement_group
"""
_STRATEGIES = """
    DoesNotExist Exists In NodeAffinitySchedulingStrategy NodeLabelSchedulingStrategy NotIn PlacementGroupSchedulingStrategy
"""
_ACCELERATORS = """
    AMD_INSTINCT_MI100 AMD_INSTINCT_MI210 AMD_INSTINCT_MI250 AMD_INSTINCT_MI300x AWS_NEURON_CORE GOOGLE_TPU_V2 GOOGLE_TPU_V3
    GOOGLE_TPU_V4 GOOGLE_TPU_V5LITEPOD GOOGLE_TPU_V5P GOOGLE_TPU_V6E INTEL_GAUDI INTEL_MAX_1100 INTEL_MAX_1550 NVIDIA_A100
    NVIDIA_H100 NVIDIA_H200 NVIDIA_L4 NVIDIA_L40S NVIDIA_TESLA_A10G NVIDIA_TESLA_K80 NVIDIA_TESLA_P100 NVIDIA_TESLA_P4
    NVIDIA_TESLA_T4 NVIDIA_TESLA_V100
"""
_STOPPERS = """
    CombinedStopper ExperimentPlateauStopper FunctionStopper MaximumIterationStopper NoopStopper Stopper TimeoutStopper
    TrialPlateauStopper
"""
_TUNE = """
    CLIReporter Callback Checkpoint CheckpointConfig Experiment ExperimentAnalysis FailureConfig JupyterNotebookReporter
    LoggerCallback ProgressReporter Result ResultGrid RunConfig Stopper Trainable TuneConfig TuneError Tuner choice
    create_scheduler get_checkpoint get_context grid_search lograndint loguniform qlograndint qloguniform qrandint qrandn quniform
    randint randn register_trainable report run run_experiments sample_from uniform with_parameters with_resources
"""
_SEARCHERS = {
    "HyperOptSearch": ("search.hyperopt", "suggest", "suggest.hyperopt"),  # 2018's is ray.tune.suggest
    "OptunaSearch": ("search.optuna",),
}
_STATE = """
    get_actor get_job get_log get_node get_objects get_placement_group get_task get_worker list_actors list_cluster_events list_jobs
    list_logs list_nodes list_objects list_placement_groups list_runtime_envs list_tasks list_workers summarize_actors
    summarize_objects summarize_tasks
"""

_TUNE_MODULES = {  # of Ray's, where it also has what our rooms have: as its documentation imports them
    ("schedulers", "async_hyperband"): "ASHAScheduler AsyncHyperBandScheduler",
    ("schedulers", "hb_bohb"): "HyperBandForBOHB",
    ("schedulers", "hyperband"): "HyperBandScheduler",
    ("schedulers", "median_stopping_rule"): "MedianStoppingRule",
    ("schedulers", "pb2"): "PB2",
    ("schedulers", "pbt"): "PopulationBasedTraining",
    ("schedulers", "trial_scheduler"): "FIFOScheduler TrialScheduler",
    ("search", "basic_variant"): "BasicVariantGenerator",
    ("search", "bohb"): "TuneBOHB",
    ("search", "concurrency_limiter"): "ConcurrencyLimiter",
    ("search", "repeater"): "Repeater",
    ("search", "searcher"): "Searcher",
}
ALIASES = Aliases(
    "ray",
    {
        **{f"ray.{name}": f"daybreak:{name}" for name in _VERBS.split()},
        **{f"ray.{name}": f"daybreak.runtime.ids:{name}" for name in _IDS.split()},
        **{
            f"ray.{name}": f"daybreak.runtime.ray_values:{name}"
            for name in [*_MODES.split(), "__version__", "__commit__"]
        },
        **{
            f"ray.exceptions.{name}": f"daybreak.runtime.exceptions:{name}"
            for name in _exceptions.__all__
            if name
            not in ("ActorClassInheritanceException", "ActorError", "Error", "PlacementGroupRemovedError", "TaskError")
        },
        **{f"ray.cloudpickle.{name}": f"cloudpickle:{name}" for name in _CLOUDPICKLE.split()},
        **{
            f"{module}.{name}": f"daybreak.runtime.placement_group:{name}"
            for module in ("ray.util", "ray.util.placement_group")
            for name in _GROUPS.split()
            if module != "ray.util" or name != "PlacementGroup"
        },
        **{
            f"ray.util.scheduling_strategies.{name}": f"daybreak.runtime.scheduling:{name}"
            for name in _STRATEGIES.split()
        },
        **{f"ray.util.accelerators.{name}": f"daybreak.runtime.ray_values:{name}" for name in _ACCELERATORS.split()},
        **{f"ray.util.state.{name}": f"daybreak.runtime.state:{name}" for name in _STATE.split()},
        "ray.actor.ActorClass": "daybreak.runtime:ActorClass",
        "ray.actor.ActorHandle": "daybreak.runtime:ActorHandle",
        "ray.actor.ActorClassInheritanceException": "daybreak.runtime.exceptions:ActorClassInheritanceException",
        "ray.actor.ActorMethod": "daybreak._core.runtime:ActorMethod",
        "ray.actor.exit_actor": "daybreak.runtime:exit_actor",
        **{f"ray._raylet.{name}": f"daybreak.runtime.ids:{name}" for name in _IDS.split()},
        "ray._raylet.ObjectRef": "daybreak:ObjectRef",
        "ray._raylet.ObjectRefGenerator": "daybreak:ObjectRefGenerator",
        "ray._raylet.ObjectRefStreamEndOfStreamError": "daybreak.runtime.exceptions:ObjectRefStreamEndOfStreamError",
        "ray.LoggingConfig": "daybreak.runtime.job_config:LoggingConfig",
        "ray.job_config.JobConfig": "daybreak.runtime.job_config:JobConfig",
        "ray.remote_function.RemoteFunction": "daybreak.runtime:RemoteFunction",
        "ray.runtime_context.RuntimeContext": "daybreak.runtime:RuntimeContext",
        "ray.runtime_context.get_runtime_context": "daybreak:get_runtime_context",
        "ray.runtime_env.RuntimeEnv": "daybreak.runtime.env:RuntimeEnv",
        "ray.runtime_env.RuntimeEnvConfig": "daybreak.runtime.env:RuntimeEnvConfig",
        "ray.types.ObjectRef": "daybreak:ObjectRef",
        "ray.util.get_node_ip_address": "daybreak.runtime.session:get_node_ip_address",
        "ray._private.services.get_node_ip_address": "daybreak.runtime.session:get_node_ip_address",
        "ray.timeline": "daybreak.runtime.history:timeline",
        "ray.profiling.profile": "daybreak.runtime.history:profile",
        "ray._private.profiling.profile": "daybreak.runtime.history:profile",
        "ray.util.list_named_actors": "daybreak.runtime.state:list_named_actors",
        "ray.util.serialization.deregister_serializer": "daybreak.runtime.util.serialization:deregister_serializer",
        "ray.util.serialization.register_serializer": "daybreak.runtime.util.serialization:register_serializer",
        "ray.util.deregister_serializer": "daybreak.runtime.util.serialization:deregister_serializer",
        "ray.util.register_serializer": "daybreak.runtime.util.serialization:register_serializer",
        **{f"ray.tune.{name}": f"daybreak.tune:{name}" for name in _TUNE.split()},
        **{f"ray.tune.stopper.{name}": f"daybreak.tune.stoppers:{name}" for name in _STOPPERS.split()},
        "ray.tune.error.TuneError": "daybreak.tune:TuneError",
        "ray.tune.registry.register_trainable": "daybreak.tune:register_trainable",
        **{
            f"ray.tune.{room}.{module}.{name}": f"daybreak.tune.{room}:{name}"
            for (room, module), names in _TUNE_MODULES.items()
            for name in names.split()
        },
        **{
            f"ray.tune.{module}.{name}": f"daybreak.tune.study_search:{name}"
            for name, modules in _SEARCHERS.items()
            for module in modules
        },
    },
    {
        "ray.ClientBuilder": "the program itself is the driver: ray.init() starts a runtime on this machine",
        "ray.client": "the program itself is the driver: ray.init() starts a runtime on this machine",
        "ray.java_actor_class": "there is no Java here",
        "ray.java_function": "there is no Java here",
        "ray.air.config": "ray.tune has RunConfig, FailureConfig and CheckpointConfig",
        "ray.air.integrations.comet": "a LoggerCallback of your own, or keep results with daybreak.track",
        "ray.air.integrations.keras": "report from a callback of your own: ray.tune.report",
        "ray.air.integrations.wandb": "a LoggerCallback of your own, or keep results with daybreak.track",
        "ray.air.session": "ray.tune has report, get_checkpoint and get_context",
        "ray.data": "read the files with pandas, polars or pyarrow in tasks of your own",
        "ray.train": "train in actors of your own",
        "ray.serve": "daybreak.serve serves models under a deadline, by names of its own",
        "ray.rllib": "daybreak.rl has PPO, A2C, DQN, PG and BC, by names of its own",
        "ray.dag": "call the methods of actors one after the other; their references are passed on without a copy",
        "ray.workflow": "keep what must survive with daybreak.track",
    },
    rooms={
        "ray.util": "daybreak.runtime.util",
        "ray.experimental.shuffle": "daybreak.runtime.util.shuffle",
        "ray.air.integrations": "daybreak.tune.integration",
        "ray.tune.integration": "daybreak.tune.integration",
        "ray.tune.logger": "daybreak.tune.logger",
        "ray.tune.schedulers": "daybreak.tune.schedulers",
        "ray.tune.search": "daybreak.tune.search",
    },
    expected={"ray.data.from_pandas_refs": "modin"},
)


def install() -> None:
    """`import ray` gives Daybreak, in this process and in the workers of a later `init`. Errors have Ray's names in texts, and
    what asks for more than the runtime has waits, with a warning, as in Ray."""
    ALIASES.install()
    if importlib.util.find_spec("setproctitle") is None:  # which comes with Ray
        sys.modules["setproctitle"] = importlib.import_module(_TITLE)
    _session.patient = True
    _exceptions.show_as("ray.exceptions", "RayTaskError")


def install_in_worker() -> None:
    """In a worker: with stand-ins for what the program's own hooks give it (`aliases.Absent`)."""
    ALIASES.lenient = True
    ALIASES.add_private({"ray._private.worker.global_worker": "daybreak.runtime.runtime_context:global_worker"})
    install()


def uninstall() -> None:
    ALIASES.uninstall()
    if getattr(sys.modules.get("setproctitle"), "__name__", "") == _TITLE:
        del sys.modules["setproctitle"]
    _session.patient = False
    _exceptions.show_as("daybreak.exceptions", "TaskError")

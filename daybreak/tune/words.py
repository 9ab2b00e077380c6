"""Optuna's names, and what they are here: the table of docs/from/optuna.md; the suite optuna_samplers holds it against Optuna."""

from __future__ import annotations

__all__ = ["OPTUNA", "Word"]

Word = tuple[str, str]  # the verdict (same, differs, refused), what it is here or what to do instead

_BEHIND = "`daybreak.tune.optuna`"
_STUDY = "also `daybreak.tune`"


def _same(names: str, here: str = "") -> dict[str, Word]:
    return {name: ("same", here) for name in names.split()}


def _theirs(names: str, why: str) -> dict[str, Word]:
    return {name: ("differs", why) for name in names.split()}


# By module of Optuna's: its public names.
OPTUNA: dict[str, dict[str, Word]] = {
    "optuna.samplers": {
        **_same(
            "BruteForceSampler CmaEsSampler GPSampler GridSampler NSGAIISampler NSGAIIISampler QMCSampler RandomSampler TPESampler",
            _BEHIND,
        ),
        **_theirs("PartialFixedSampler", "Optuna's own, around one of ours; in C++ `partial_fixed`"),
        **_theirs(
            "BaseSampler BaseGASampler", "yours work on our storage; ours are no subclasses for a GA of your own"
        ),
        **_theirs("nsgaii", "its crossovers: uniform and SBX, by name"),
    },
    "optuna.pruners": {
        **_same(
            "HyperbandPruner MedianPruner NopPruner PatientPruner PercentilePruner SuccessiveHalvingPruner ThresholdPruner "
            "WilcoxonPruner",
            _BEHIND,
        ),
        **_theirs("BasePruner", "yours work on our storage"),
    },
    "optuna.importance": {
        **_same(
            "FanovaImportanceEvaluator MeanDecreaseImpurityImportanceEvaluator PedAnovaImportanceEvaluator", _BEHIND
        ),
        **_theirs("BaseImportanceEvaluator get_param_importances", "Optuna's own, with one of ours as evaluator"),
    },
    "optuna.storages": {
        **_theirs(
            "BaseStorage InMemoryStorage JournalStorage JournalFileStorage RDBStorage",
            "`daybreak.tune.optuna.Storage(path)`, or `Storage()` in memory",
        ),
        **_theirs(
            "JournalFileSymlinkLock JournalFileOpenLock BaseJournalLogStorage", "a kernel lock, which a death frees"
        ),
        **_theirs("JournalRedisStorage", "a file on a network file system, or Optuna's gRPC proxy over `Storage`"),
        **_theirs("GrpcStorageProxy run_grpc_proxy_server", "Optuna's own, over `Storage`"),
        **_theirs(
            "RetryFailedTrialCallback RetryHeartbeatStaleTrialCallback fail_stale_trials",
            "a trial whose process died is asked for again, or has failed: `dead_trials=`",
        ),
    },
    "optuna.study": {
        **_same(
            "Study StudyDirection copy_study create_study delete_study get_all_study_names get_all_study_summaries load_study",
            _STUDY,
        ),
        **_theirs("MaxTrialsCallback", "`n_trials`, or `study.stop()` in a callback"),
        **_theirs("StudySummary", "what `get_all_study_summaries` gives"),
    },
    "optuna.Study": {
        **_same(
            "add_trial add_trials ask best_params best_trial best_trials best_value direction directions enqueue_trial get_trials "
            "optimize set_user_attr stop tell trials trials_dataframe user_attrs",
            "`daybreak.tune.Study`",
        ),
        **_theirs("metric_names set_metric_names", "objectives have numbers; pictures call them value 0, value 1"),
    },
    "optuna.Trial": {
        **_same(
            "number params report set_user_attr should_prune suggest_categorical suggest_float suggest_int",
            "`daybreak.tune.Trial`",
        ),
        **_theirs("constraints set_constraint", "`set_violation`: the sum of what is above 0"),
        **_theirs("datetime_start distributions relative_params user_attrs", "of the trial in `study.trials`"),
        **_theirs("suggest_discrete_uniform suggest_loguniform suggest_uniform", "`suggest_float(..., log=, step=)`"),
    },
    "optuna.visualization": {
        **_theirs(
            "plot_optimization_history plot_intermediate_values plot_parallel_coordinate plot_param_importances plot_pareto_front "
            "plot_slice plot_timeline",
            "`tune.plots.plot(study, 'page.html')`; Optuna's own over our `Storage`",
        ),
        **_theirs(
            "plot_contour plot_edf plot_hypervolume_history plot_rank plot_terminator_improvement is_available matplotlib",
            "Optuna's own over our `Storage`",
        ),
    },
}

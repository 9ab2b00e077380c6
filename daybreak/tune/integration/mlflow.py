"""An experiment's trials as runs of MLflow (`ray.air.integrations.mlflow`). It needs mlflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlflow.entities import Metric, Param, RunStatus
from mlflow.tracking import MlflowClient

from daybreak.base.errors import UnimplementedError
from daybreak.tune.callbacks import LoggerCallback
from daybreak.tune.session import number_of
from daybreak.tune.variants import flattened

__all__ = ["MLflowLoggerCallback"]

_NOT_METRICS = ("config", "pid", "hostname", "node_ip", "trial_id", "date", "done", "timestamp")
_MAX_PARAMS = 100  # of one call of MLflow's


class MLflowLoggerCallback(LoggerCallback):
    """Each trial is a run: its config the parameters, its numbers the metrics at ``training_iteration``, its folder an artifact
    with ``save_artifact``. The experiment is made where there is none of the name."""

    def __init__(
        self,
        tracking_uri: str | None = None,
        *,
        registry_uri: str | None = None,
        experiment_name: str | None = None,
        tags: Mapping[str, Any] | None = None,
        tracking_token: str | None = None,
        save_artifact: bool = False,
        log_params_on_trial_end: bool = False,
    ) -> None:
        if tracking_token is not None:
            raise UnimplementedError("tracking_token: set MLFLOW_TRACKING_TOKEN in the environment")
        self._where = (tracking_uri, registry_uri)
        self._name, self._tags = experiment_name, dict(tags or {})
        self._saves, self._at_end = save_artifact, log_params_on_trial_end
        self._client: Any = None
        self._experiment = ""
        self._runs: dict[str, str] = {}

    def setup(self, *args: Any, **info: Any) -> None:
        self._client = MlflowClient(*self._where)
        name = self._name or "Default"
        found = self._client.get_experiment_by_name(name)
        self._experiment = found.experiment_id if found is not None else self._client.create_experiment(name)

    def log_trial_start(self, trial: Any) -> None:
        if trial.trial_id in self._runs:
            return  # it goes on
        tags = {**{name: str(value) for name, value in self._tags.items()}, "trial_name": str(trial)}
        run = self._client.create_run(self._experiment, tags={**tags, "mlflow.runName": str(trial)})
        self._runs[trial.trial_id] = run.info.run_id
        if not self._at_end:
            self._log_params(trial)

    def _log_params(self, trial: Any) -> None:
        params = [Param(name, str(value)) for name, value in flattened(trial.config).items()]
        for at in range(0, len(params), _MAX_PARAMS):
            self._client.log_batch(self._runs[trial.trial_id], params=params[at : at + _MAX_PARAMS])

    def log_trial_result(self, iteration: int, trial: Any, result: Mapping[str, Any]) -> None:
        at, step = int(float(result.get("timestamp", 0)) * 1000), int(result.get("training_iteration", 0))
        metrics = []
        for name, value in flattened({k: v for k, v in result.items() if k not in _NOT_METRICS}).items():
            number = None if isinstance(value, bool) else number_of(value)
            if number is not None:
                metrics.append(Metric(name, number, at, step))
        self._client.log_batch(self._runs[trial.trial_id], metrics=metrics)

    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        run = self._runs.get(trial.trial_id)
        if run is None:
            return  # it has never begun
        if self._at_end:
            self._log_params(trial)
        if self._saves:
            self._client.log_artifacts(run, trial.logdir)
        self._client.set_terminated(run, RunStatus.to_string(RunStatus.FAILED if failed else RunStatus.FINISHED))

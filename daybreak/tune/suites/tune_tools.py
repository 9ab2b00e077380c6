"""Tools of others beside ours: TensorBoard, xgboost, MLflow, Optuna's dashboard and its gRPC proxy, in one environment."""

from __future__ import annotations

REQUIREMENTS = [
    "pytest==9.2.0",
    "pytest-timeout==2.4.0",
    "numpy==2.4.6",
    "cloudpickle==3.1.2",
    "optuna==5.0.0",
    "optuna-dashboard==0.21.0",
    "grpcio==1.85.3",
    "protobuf==7.36.2",
    "tensorboard==2.21.0",
    "xgboost-cpu==3.2.0",
    "mlflow-skinny==3.17.2",
]
FOLDER = "../tests/tools"
TESTS = [
    "-c",
    "/dev/null",
    "--rootdir=.",
    "--confcutdir=.",
    "-W",
    "ignore",
    "test_loggers.py",
    "test_optuna_servers.py",
]
ENV = {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ALLOW_FILE_STORE": "true"}

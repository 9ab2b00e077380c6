"""Callbacks of other libraries that report to an experiment, and loggers that write to them, by Ray Tune's names."""

__all__: list[str] = []
MODULES = ("mlflow", "pytorch_lightning", "xgboost")  # each needs the package that it is called after

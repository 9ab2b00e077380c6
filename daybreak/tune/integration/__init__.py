"""Callbacks of other libraries that report to an experiment, and loggers that write to them, by Ray Tune's names."""

"""Lithops programs on Daybreak's workers: `install()`, then `backend: daybreak` in Lithops' configuration.

    from daybreak.map import lithops_backend
    import lithops

    lithops_backend.install()
    with lithops.FunctionExecutor(backend="daybreak") as executor:
        executor.map(lambda x: x * x, range(4))
        print(executor.get_result())

Calls run in the runtime's workers, which stay warm: no process is started for a call. Results are pushed to the driver through a
Unix socket (`monitoring: daybreak`), and what Lithops stores lies in files of this machine (`storage: daybreak`), unless the
configuration names another storage or monitoring. Needs Lithops 3.8 or later: `pip install daybreak[lithops]`.

What differs from Lithops' own back ends: a module that a call has imported stays imported for the next call of that worker (its
variables of the environment and its folder do not stay changed); a call over its time limit ends its worker.
"""

from __future__ import annotations

__all__ = ["MIN_LITHOPS", "NAME", "install"]

NAME = "daybreak"
MIN_LITHOPS = (3, 8)


def install() -> None:
    """Makes `daybreak` a compute, storage and monitoring back end of the Lithops of this process. May be called again.

    Raises:
        daybreak.base.errors.FailedPreconditionError: Lithops is not installed, or is older than 3.8.
    """
    import sys

    from daybreak.base.errors import FailedPreconditionError

    try:
        from lithops import constants, version
    except ImportError as error:
        raise FailedPreconditionError(f"Lithops cannot be imported ({error}): pip install 'lithops>=3.8'") from error
    found = tuple(int(part) for part in version.__version__.split(".")[:2])
    if found < MIN_LITHOPS:
        raise FailedPreconditionError(f"Lithops {version.__version__} is older than 3.8: pip install 'lithops>=3.8'")
    if NAME not in constants.SERVERLESS_BACKENDS:
        constants.SERVERLESS_BACKENDS += (NAME,)
    from . import compute, config, files, monitoring

    # Lithops has no entry points for back ends: it imports lithops.serverless.backends.NAME, and so on, by name.
    for kind, module in (("serverless", compute), ("storage", files), ("monitoring", monitoring)):
        sys.modules[f"lithops.{kind}.backends.{NAME}"] = module
    sys.modules[f"lithops.serverless.backends.{NAME}.config"] = config.of_compute
    sys.modules[f"lithops.storage.backends.{NAME}.config"] = config.of_storage
    sys.modules[f"lithops.monitoring.backends.{NAME}.config"] = config.of_monitoring

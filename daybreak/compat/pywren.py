"""PyWren 0.4's names. What lies there is `daybreak.map.pywren`."""

from .aliases import Aliases

__all__ = ["ALIASES", "install", "install_in_worker", "uninstall"]

_NAMES = """
    ALL_COMPLETED ALWAYS ANY_COMPLETED Executor SOURCE_DIR __version__ default_executor dummy_executor get_all_results
    lambda_executor local_executor remote_executor standalone_executor wait
"""  # by themselves, as `pywren.wait` is the function and not the module of that name
_NOT_OURS = "calls run in the workers of this machine, or by daybreak.map.executor(backend='lithops') in a cloud"

ALIASES = Aliases(
    "pywren",
    {f"pywren.{name}": f"daybreak.map.pywren:{name}" for name in _NAMES.split()},
    {
        "pywren.ec2standalone": _NOT_OURS,
        "pywren.jobrunner": _NOT_OURS,
        "pywren.local": _NOT_OURS,
        "pywren.queues": _NOT_OURS,
        "pywren.scripts": "`daybreak map --help` lists its commands",
        "pywren.serialize": "functions travel as the runtime pickles them (daybreak.runtime.serialization)",
        "pywren.wrenhandler": _NOT_OURS,
    },
    rooms={"pywren": "daybreak.map.pywren"},
)

install = install_in_worker = ALIASES.install
uninstall = ALIASES.uninstall

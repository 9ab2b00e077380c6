"""In a process that one with `daybreak.frame` has started: it is installed here, too; then the sitecustomize which it hides."""

import os
import sys


def _run() -> None:
    here = os.path.dirname(os.path.abspath(__file__))
    if os.environ.get("DAYBREAK_FRAME") == "1":
        try:
            from daybreak.frame import hook
        except ImportError:  # another environment, without us
            pass
        else:
            hook.install()
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    rest = [path for path in sys.path if os.path.abspath(path or ".") != here]
    found = PathFinder.find_spec("sitecustomize", rest)
    if found is not None and found.loader is not None:
        found.loader.exec_module(module_from_spec(found))


_run()

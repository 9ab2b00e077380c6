"""PyWren's own tests, with ours in the place of `pywren`. Its source distribution on PyPI has none: a checkout of
https://github.com/pywren/pywren has, and $DAYBREAK_PYWREN names it. Without that this suite is left out."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from daybreak.compat import pywren

REQUIREMENTS = [
    "pytest==9.2.0",
    "pytest-timeout==2.4.0",
    "numpy==2.4.6",
    "cloudpickle==3.1.2",
    "PyYAML==6.0.4",
    "boto3==1.44.8",
    "six==1.17.0",
    "flaky==3.8.1",
]
FOLDER = "$DAYBREAK_PYWREN"
TESTS = [
    "--timeout=120",
    "tests/test_simple.py",
    "tests/test_modules.py",
    "tests/test_pickle.py",
    "tests/test_local_invoker.py",
    "tests/test_dummy_invoker.py",
    "tests/test_util.py",
]
ENV = {"OMP_NUM_THREADS": "1", "PYWREN_EXECUTOR": "local"}

pywren.install()

# Two of its tests run `python -c "import pywren"`: that finds ours by a file, as it has no plug-in.
_place = tempfile.mkdtemp(prefix="daybreak-pywren-")
Path(_place, "pywren.py").write_text(
    "import sys\ndel sys.modules['pywren']\nfrom daybreak.compat import pywren\npywren.install()\nimport importlib\n"
    "importlib.import_module('pywren')\n"
)
os.environ["PYTHONPATH"] = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), _place])
os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])

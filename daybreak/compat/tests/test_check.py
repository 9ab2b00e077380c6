"""What the checker says of a Ray program is what happens when it runs."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from daybreak.base import errors
from daybreak.compat import check
from daybreak.compat import ray as table

PROGRAM = """
    import ray
    import ray.data
    from ray.util import ActorPool, nonsense
    from ray.util.queue import Queue as Line
    import numpy as np


    @ray.remote(num_cpus=2, enable_task_events=False, colour="red")
    def f(x):
        return np.sum(x)


    @ray.remote
    class A:
        @ray.method(num_returns=2, shape=1)
        def two(self):
            return 1, 2


    ray.init(num_cpus=4, include_dashboard=False, flavour=1, runtime_env={"env_vars": {}, "conda": "x", "working_dir": "."})
    ray.get(f.options(num_gpus=1, taste=2).remote(1), timeout=3)
    ray.wait([f.remote(1)], num_return=1)
    f.bind(1)
    Line(3), ActorPool([])
    ray.ObjectRef.nil()
    ray._private.worker.global_worker
    ray.train.report({})
    np.options(3)
"""


def verdicts(source: str) -> dict[str, str]:
    return {finding.name: finding.verdict for finding in check.check_source(textwrap.dedent(source))}


def test_names_and_options_are_the_same_differ_or_are_refused() -> None:
    found = verdicts(PROGRAM)
    assert {name for name, verdict in found.items() if verdict == "refused"} == {
        "ray.data", "ray.util.nonsense", "ray.remote(colour=)", "ray.method(shape=)", "ray.init(flavour=)", "runtime_env['conda']",
        "options(taste=)", "ray.wait(num_return=)", "bind()", "ray._private.worker.global_worker", "ray.train.report",
    }  # fmt: skip
    assert {name for name, verdict in found.items() if verdict == "differs"} == {
        "ray.remote(enable_task_events=)", "ray.init(include_dashboard=)",
    }  # fmt: skip
    same = {name for name, verdict in found.items() if verdict == "same"}
    assert same >= {
        "ray", "ray.remote", "ray.remote(num_cpus=)", "ray.get", "ray.get(timeout=)", "options(num_gpus=)", "ray.ObjectRef.nil",
        "ray.util.ActorPool", "ray.util.queue.Queue", "ray.init(runtime_env=)", "runtime_env['env_vars']",
        "runtime_env['working_dir']",
        "ray.method(num_returns=)",
    }  # fmt: skip


def test_lines_and_reasons_are_named() -> None:
    found = check.check_source("import ray\n\n\nx = ray.train.run(1)\n", "p.py")
    assert [str(finding) for finding in found if finding.verdict == "refused"] == [
        f"p.py:4: ray.train.run: refused ({table.ALIASES.refused['ray.train']})"
    ]


def test_another_name_for_ray_is_followed_and_another_package_is_not() -> None:
    assert verdicts("import ray as r\nr.serve.run(1)\nray.tune.run(1)") == {"ray": "same", "ray.serve.run": "refused"}
    assert (
        verdicts("from ray import remote as task\n@task(num_cpu=1)\ndef f(): ...")["ray.remote(num_cpu=)"] == "refused"
    )
    assert verdicts("import rayon\nrayon.get(1)\nfrom .ray import x") == {}


def test_the_verdict_on_a_name_is_what_its_import_does() -> None:
    names = [
        *table.ALIASES.names,
        *table.ALIASES.refused,
        "ray.nothing",
        "ray.util.nothing",
        "ray.util.queue.Empty",
        "ray.util.joblib",
    ]
    table.install()
    try:
        for name in names:
            module, _, last = name.rpartition(".")
            try:
                getattr(importlib.import_module(module), last)
                there = True
            except (AttributeError, ImportError):
                there = False
            assert (check._verdict(name)[0] != "refused") == there, name
    finally:
        table.uninstall()


@pytest.mark.parametrize("source", [b"def (", b"x = 1\x00", b"\xff\xfe\x00", "print 'no'"])
def test_what_is_no_program_is_refused_by_name(source: str | bytes) -> None:
    with pytest.raises(errors.InvalidArgumentError, match="p.py: no Python program"):
        check.check_source(source, "p.py")


def test_the_command_reads_folders_and_runs_nothing(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "one.py").write_text("import ray\nray.get(1)\n")
    (tmp_path / "two.py").write_text("import ray\nopen('ran', 'w')\nray.serve.run(1)\nraise SystemExit(9)\n")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "daybreak.cli", "ray", "check", *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    both = run(".")
    assert both.returncode == 1 and "two.py:3: ray.serve.run: refused" in both.stdout
    assert both.stdout.endswith("3 same, 0 differ, 1 refused\n") and not (tmp_path / "ran").exists()
    one = run("deep/one.py", "--json")
    assert one.returncode == 0 and [row["name"] for row in json.loads(one.stdout)] == ["ray", "ray.get"]
    assert "one.py:2: ray.get: same" in run("deep", "--all").stdout
    nothing = run("nowhere.py")
    assert nothing.returncode == 1 and "nowhere.py: there is no Python program" in nothing.stderr

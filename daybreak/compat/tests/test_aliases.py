"""Every name of every table is there, and what is not there is refused with the way out."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from daybreak import compat
from daybreak.compat.aliases import Aliases

TABLES = [getattr(compat, name).ALIASES for name in compat.__all__]


@pytest.fixture(params=TABLES, ids=lambda table: table.package)
def table(request: pytest.FixtureRequest) -> Iterator[Aliases]:
    request.param.install()
    yield request.param
    request.param.uninstall()


def test_each_name_is_the_very_thing_of_its_room(table: Aliases) -> None:
    for name, target in table.names.items():
        module, _, attribute = name.rpartition(".")
        there, _, ours = target.partition(":")
        assert getattr(importlib.import_module(module), attribute) is getattr(importlib.import_module(there), ours)
        assert attribute in dir(importlib.import_module(module))


def test_a_star_import_takes_the_names_and_no_module_of_ours(table: Aliases) -> None:
    names: dict[str, object] = {}
    exec(f"from {table.package} import *", names)
    names.pop("__builtins__")
    assert sorted(names) == sorted(
        name.rpartition(".")[2] for name in table.names if name.rpartition(".")[0] == table.package
    )


def test_what_is_refused_says_the_way_out(table: Aliases) -> None:
    for name, way_out in table.refused.items():
        with pytest.raises(ImportError, match=f"Daybreak has no {name}: ") as refused:
            importlib.import_module(name)
        assert way_out in str(refused.value)
        with pytest.raises(ImportError, match=rf"Daybreak has no {name}(\.deeper)?: "):
            importlib.import_module(f"{name}.deeper")


def test_what_nobody_knows_is_refused_by_name(table: Aliases) -> None:
    package = importlib.import_module(table.package)
    with pytest.raises(
        AttributeError, match=rf"Daybreak has no {table.package}\.nonsense; dir\({table.package}\) lists"
    ):
        package.nonsense  # noqa: B018
    with pytest.raises(ImportError, match=rf"Daybreak has no {table.package}\.nonsense"):
        importlib.import_module(f"{table.package}.nonsense")
    with pytest.raises(ImportError, match="nonsense"):
        exec(f"from {table.package} import nonsense")
    said = (
        f"{table.package}.__version__" in table.names
    )  # where programs ask for it; else we are not that version of it
    assert hasattr(package, "__version__") is said


def test_after_uninstall_the_package_itself_is_found_again(table: Aliases) -> None:
    importlib.import_module(table.package)
    table.uninstall()
    assert table.package not in sys.modules
    try:
        found = importlib.util.find_spec(table.package)
    except ModuleNotFoundError:
        found = None
    assert found is None or found.loader is not table


def test_install_after_the_package_itself_was_imported_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", sys)
    with pytest.raises(ImportError, match="ray itself is imported already, from .*: call daybreak.compat.ray.install"):
        compat.ray.install()
    assert compat.ray.ALIASES not in sys.meta_path


def test_a_program_of_ray_runs_as_it_stands() -> None:
    program = """
import daybreak.compat.ray; daybreak.compat.ray.install()
import ray
from ray.exceptions import RayTaskError
@ray.remote
def fail(x): raise ValueError(x)
@ray.remote
class Counter:
    n = 0
    def add(self, k): self.n += k; return self.n
ray.init(num_cpus=2, object_store_memory=64 << 20)
c = Counter.remote()
counts = ray.get([c.add.remote(i) for i in range(4)])
print(counts, isinstance(c.add.remote(1), ray.ObjectRef), isinstance(ray.put(1), ray.ObjectID))
try: ray.get(fail.remote("no"))
except RayTaskError as e: print(type(e).__mro__[1].__name__, isinstance(e, ValueError))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "[0, 1, 3, 6] True True"
    assert done.stdout.splitlines()[1].endswith("True")


def test_workers_know_the_names_too_in_functions_of_main_and_in_modules(tmp_path: Path) -> None:
    (tmp_path / "library.py").write_text(
        "import ray\nfrom ray.exceptions import RayTaskError\n\n\n@ray.remote\ndef inner(x):\n    return x + 1\n\n\n"
        "def outer(x):\n    return ray.get(inner.remote(x)), RayTaskError.__name__\n"
    )
    program = """
import sys; sys.path.insert(0, sys.argv[1])
import daybreak.compat.ray; daybreak.compat.ray.install()
import library, ray
ray.init(num_cpus=2, object_store_memory=64 << 20)
@ray.remote
def of_main(x): return ray.get(ray.put(x)), ray.exceptions.GetTimeoutError.__name__
print(ray.get(of_main.remote(3)), ray.get(ray.remote(library.outer).remote(4)))
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "(3, 'GetTimeoutError') (5, 'RayTaskError')\n"


def test_a_module_that_only_the_programs_own_hook_knows_is_a_stand_in_in_workers(tmp_path: Path) -> None:
    (tmp_path / "hooked.py").write_text(
        "from ray._private.helper import help_me\nfrom ray import ObjectRef\n\n\ndef works():\n    return ObjectRef.__name__\n\n\n"
        "def needs():\n    return help_me()\n"
    )
    program = """
import importlib.abc, importlib.machinery, sys, types; sys.path.insert(0, sys.argv[1])
import daybreak.compat.ray; daybreak.compat.ray.install()
class Hook(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name.startswith("ray._private"): return importlib.machinery.ModuleSpec(name, self, is_package=True)
    def create_module(self, spec): return None
    def exec_module(self, module): module.help_me = lambda: "helped"
sys.meta_path.append(Hook())
import hooked, ray
ray.init(num_cpus=1, object_store_memory=64 << 20)
print(hooked.needs(), ray.get(ray.remote(hooked.works).remote()))
try: ray.get(ray.remote(hooked.needs).remote())
except RuntimeError as error: print(str(error).splitlines()[-1])
try: import ray.nonsense
except ImportError as error: print(error)
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "helped ObjectRef",
        "RuntimeError: Daybreak has no ray._private.helper.help_me",
        "Daybreak has no ray.nonsense; dir(ray) lists what it has",
    ]


def test_errors_have_rays_names_in_texts_while_the_alias_is_there() -> None:
    program = """
import daybreak.compat.ray as compat; compat.install()
import ray
@ray.remote
def fails(): return 1 / 0
@ray.remote
def asks(): return ray.get(fails.remote())
ray.init(num_cpus=2, object_store_memory=64 << 20)
try: ray.get(asks.remote())
except ZeroDivisionError as error:
    print([line.partition(" (pid")[0] for line in str(error).splitlines() if "TaskError" in line], type(error))
compat.uninstall()
import daybreak
try: daybreak.get(asks.remote())
except ZeroDivisionError as error: print(type(error))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.endswith("<class 'ray.exceptions.RayTaskError(ZeroDivisionError)'>")
    assert "ray.exceptions.RayTaskError(ZeroDivisionError): ray::fails()" in first
    assert second == "<class 'daybreak.exceptions.TaskError(ZeroDivisionError)'>"


def test_a_name_and_a_module_of_the_same_name_are_both_there() -> None:
    program = """
import daybreak.compat.ray; daybreak.compat.ray.install()
import ray.util, ray.util.placement_group
from ray.util.placement_group import PlacementGroup, placement_group
import ray.cloudpickle
print(ray.util.placement_group is placement_group, PlacementGroup.__name__, ray.cloudpickle.loads(ray.cloudpickle.dumps(1)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "True PlacementGroup 1\n", done.stderr

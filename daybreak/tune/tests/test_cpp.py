"""The C++ example, as a stranger builds it: installed, found by CMake, outside of this tree, without Python."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from daybreak import tune

ROOT = Path(__file__).resolve().parents[3]
BUILT = ROOT / "build/dev"
SECONDS = 240  # a cold build, on two cores that others use, too

pytestmark = pytest.mark.skipif(
    not (BUILT / "cmake_install.cmake").exists() or (ROOT / "daybreak/.core-from-wheel").exists(),
    reason="the C++ library is not built here",
)


def run(*command: str) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout[-6000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def parabola(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("stranger")
    run("cmake", "--install", str(BUILT), "--prefix", str(folder / "prefix"))
    launcher = ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
    build = str(folder / "build")
    shutil.copytree(ROOT / "examples/tune", folder / "source")
    source = ["-S", str(folder / "source"), "-B", build]
    run("cmake", "-G", "Ninja", *source, f"-DCMAKE_PREFIX_PATH={folder / 'prefix'}", *launcher)
    run("cmake", "--build", build)
    return os.path.join(build, "parabola")


@pytest.mark.timeout(SECONDS * 2)
def test_a_study_of_a_cpp_program_goes_on_in_the_next_run_and_in_python(parabola: str, tmp_path: Path) -> None:
    path = str(tmp_path / "studies.journal")
    assert run(parabola, path, "30").startswith("30 trials; the best is ")
    said = run(parabola, path, "30")
    study = tune.load_study(storage=path)
    assert said.splitlines()[0] == f"60 trials; the best is {study.best_trial.number}: {study.best_value:.3f}"
    again = tune.create_study(seed=1)  # the same seed, the same numbers, in one go

    def objective(trial: tune.Trial) -> float:
        return (trial.suggest_float("x", -10, 10) - 2) ** 2 + trial.suggest_int("depth", 1, 8)

    again.optimize(objective, n_trials=60)
    assert [trial.params for trial in again.trials] == [trial.params for trial in study.trials]

"""The maker of environments, without a runtime: made once, found again, swept, and never half there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daybreak import exceptions as ex
from daybreak.runtime.env import RuntimeEnv, cache, maker, requirements

from .conftest import eventually
from .wheels import write_project, write_wheel

MAKE = """
import sys
from daybreak.runtime.env import maker
made = maker.make(maker.Spec(tuple(sys.argv[1:])))
print(made.path)
"""


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of wheels, which is all that there is, and empty caches."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    write_wheel(folder, "envpkg", "1.0")
    write_wheel(folder, "envpkg", "2.0")
    monkeypatch.setenv("DAYBREAK_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("UV_OFFLINE", "1")
    yield folder


def says(made: maker.Environment, code: str) -> str:
    done = subprocess.run([made.python, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def make(*packages: str, **fields: Any) -> maker.Environment:
    return maker.make(maker.Spec(packages, **fields))


def test_an_environment_has_its_packages_before_those_of_the_interpreter(index: Path) -> None:
    write_wheel(index, "iniconfig", "99.0")  # which pytest has brought here in another version
    made = make("envpkg==1.0", "iniconfig==99.0")
    code = "import envpkg, iniconfig, numpy, cloudpickle, sys; print(envpkg.VERSION, iniconfig.VERSION, sys.prefix)"
    assert says(made, code) == f"1.0 99.0 {made.path}"
    code = "from importlib.metadata import version; print(version('iniconfig'), version('pytest') != '')"
    assert says(made, code) == "99.0 True"
    import iniconfig  # type: ignore[import-not-found]

    assert not hasattr(iniconfig, "VERSION")
    made.close()


def test_what_the_interpreter_has_is_not_installed_again(index: Path) -> None:
    write_wheel(index, "needy", "1.0", requires=("pytest>=5", "envpkg<2"))  # of which there is no wheel in the index
    made = make("needy", check=True)
    packages = {path.name for path in Path(made.path).glob("lib/*/site-packages/*.dist-info")}
    assert packages == {"needy-1.0.dist-info", "envpkg-1.0.dist-info"}
    assert says(made, "import needy, pytest, envpkg; print(envpkg.VERSION)") == "1.0"
    made.close()


def test_the_same_list_is_made_once_and_another_is_another(index: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first, again, other = make("envpkg==1.0"), make("envpkg==1.0"), make("envpkg==2.0")
    assert first.path == again.path != other.path
    assert capfd.readouterr().err.count("makes an environment") == 2
    assert os.stat(os.path.dirname(first.path)).st_mode & 0o777 == 0o700
    for made in (first, again, other):
        made.close()


def test_processes_that_ask_at_once_make_it_once(index: Path) -> None:
    asking = [
        subprocess.Popen(
            [sys.executable, "-c", MAKE, "envpkg==2.0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(8)
    ]
    said = [each.communicate(timeout=60) for each in asking]
    assert len({out for out, _ in said}) == 1 and said[0][0].strip()
    assert sum(err.count("makes an environment") for _, err in said) == 1


def test_what_the_resolver_says_is_in_the_error_and_nothing_is_left(index: Path) -> None:
    with pytest.raises(ex.RuntimeEnvSetupError, match="there is no version of envpkg==3.0"):
        make("envpkg==3.0")
    assert list((Path(cache.root()) / "environments").iterdir()) == []
    with pytest.raises(ex.RuntimeEnvSetupError, match="unexpected argument '--nonsense'"):
        make("envpkg", options=("--nonsense",))


def test_versions_that_do_not_fit_together_are_refused_where_check_is_asked(index: Path) -> None:
    write_wheel(index, "strict", "1.0", requires=("envpkg==1.0",))
    packages = ("strict", "envpkg==2.0")
    options = ("--no-deps",)
    make(*packages, options=options).close()
    with pytest.raises(ex.RuntimeEnvSetupError, match="strict.* requires .envpkg==1.0."):
        make(*packages, options=options, check=True)


def test_a_killed_maker_leaves_nothing_that_counts(index: Path, tmp_path: Path) -> None:
    began = tmp_path / "began"
    hook = f"import os, time; open({str(began)!r}, 'w').close()\nwhile os.path.exists({str(tmp_path / 'wait')!r}): time.sleep(0.01)"
    project = write_project(tmp_path / "slow project", "slowpkg", hook=hook)
    (tmp_path / "wait").touch()
    line = str(requirements.of_list("uv", [str(project)], None)[0])
    asking = subprocess.Popen([sys.executable, "-c", MAKE, line], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert eventually(began.exists, 30)
    asking.kill()
    asking.wait()
    folders = [path for path in (Path(cache.root()) / "environments").iterdir() if path.is_dir()]
    assert len(folders) == 1 and cache.ready(str(folders[0])) is None
    assert cache.sweep() == []  # uv itself still runs, and holds it
    (tmp_path / "wait").unlink()
    made = make(line)  # waits for that uv, and begins anew
    assert says(made, "import slowpkg; print(slowpkg.VERSION)") == "1.0"
    made.close()


def test_half_made_old_and_too_many_are_swept_by_name_but_none_that_is_used(
    index: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    used, idle = make("envpkg==1.0"), make("envpkg==2.0")
    idle.close()
    half = Path(cache.root()) / "environments" / "half"
    half.mkdir()
    assert cache.sweep() == [str(half)]
    assert "it was never finished" in capfd.readouterr().err
    long_ago = time.time() - 40 * 86400
    for made in (used, idle):
        os.utime(os.path.join(made.path, cache.READY), (long_ago, long_ago))
    assert cache.sweep() == [idle.path]
    said = capfd.readouterr().err
    assert "envpkg==2.0" in said and "unused for 40 days, more than DAYBREAK_ENV_CACHE_DAYS=30" in said
    used.close()
    os.utime(os.path.join(used.path, cache.READY))
    monkeypatch.setenv("DAYBREAK_ENV_CACHE_SIZE_GB", "0.0000001")
    assert cache.sweep() == [used.path]
    assert "more than DAYBREAK_ENV_CACHE_SIZE_GB=1e-07" in capfd.readouterr().err
    assert list((Path(cache.root()) / "environments").iterdir()) == []
    monkeypatch.setenv("DAYBREAK_ENV_CACHE_SIZE_GB", "ten")
    with pytest.raises(ValueError, match="DAYBREAK_ENV_CACHE_SIZE_GB='ten': it must be a number"):
        cache.sweep()


def test_what_takes_too_long_ends_with_what_to_change(index: Path, tmp_path: Path) -> None:
    project = write_project(tmp_path / "hangs", "hangs", hook="import time; time.sleep(600)")
    began = time.monotonic()
    with pytest.raises(ex.RuntimeEnvSetupError, match="within setup_timeout_seconds=1: raise it"):
        maker.make(maker.Spec((str(project),)), timeout_s=1)
    assert time.monotonic() - began < 30


def test_without_uv_pip_makes_what_is_asked_of_pip_and_uv_is_named(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maker, "find_uv", lambda: None)
    with pytest.raises(ex.RuntimeEnvSetupError, match="there is no uv.*: pip install uv"):
        make("envpkg==1.0")
    options = ("--no-index", "--find-links", str(index))
    made = make("envpkg==1.0", tool="pip", options=options)
    assert says(made, "import envpkg, numpy; print(envpkg.VERSION)") == "1.0"
    made.close()


def test_the_version_of_uv_is_the_one_that_is_asked_for(index: Path) -> None:
    uv = maker.find_uv()
    assert uv is not None
    version = subprocess.run([uv, "--version"], capture_output=True, text=True).stdout.split()[1]
    make("envpkg==1.0", version=f"=={version}").close()
    make("envpkg==1.0", version=">=0.1").close()
    with pytest.raises(ex.RuntimeEnvSetupError, match="uv==0.0.1"):
        make("envpkg==1.0", version="==0.0.1")


def test_the_version_of_pip_is_the_one_that_is_asked_for(index: Path) -> None:
    from importlib.metadata import version

    options = ("--no-index", "--find-links", str(index))
    made = make("envpkg==1.0", tool="pip", options=options, version=f"=={version('pip')}")
    assert says(made, "import envpkg; print(envpkg.VERSION)") == "1.0"
    made.close()
    with pytest.raises(ex.RuntimeEnvSetupError, match="pip==0.0.1"):
        make("envpkg==1.0", tool="pip", version="==0.0.1")


def test_variables_of_pip_are_heeded_where_uv_has_no_word_for_it(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UV_FIND_LINKS")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("UV_OFFLINE", "1")
    made = make("envpkg", tool="pip")
    assert says(made, "import envpkg; print(envpkg.VERSION)") == "2.0"
    made.close()
    constraints = index / "constraints.txt"
    constraints.write_text("envpkg<2\n")
    monkeypatch.setenv("PIP_CONSTRAINT", str(constraints))
    made = make("envpkg", tool="pip")
    assert says(made, "import envpkg; print(envpkg.VERSION)") == "1.0"
    made.close()


def test_what_local_files_say_makes_another_environment(index: Path, tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path, "local", "1.0", "WHAT = 'before'\n")
    first = make(str(wheel))
    write_wheel(tmp_path, "local", "1.0", "WHAT = 'after'\n")
    second = make(str(wheel))
    assert [says(made, "import local; print(local.WHAT)") for made in (first, second)] == ["before", "after"]
    project = write_project(tmp_path / "project", "editme")
    lines = requirements.of_list("uv", [f"-e {project}"], None)
    third = make(*lines)
    (project / "editme.py").write_text("VERSION = 'edited'\n")
    fourth = make(*lines)
    assert third.path == fourth.path and says(fourth, "import editme; print(editme.VERSION)") == "edited"
    for made in (first, second, third, fourth):
        made.close()


def test_packages_that_bring_another_daybreak_are_refused(index: Path) -> None:
    write_wheel(index, "daybreak", "9.0")
    with pytest.raises(ex.RuntimeEnvSetupError, match="bring another daybreak .daybreak-9.0.dist-info."):
        make("daybreak==9.0")


def test_programs_of_an_environment_run(index: Path) -> None:
    write_wheel(index, "tool", "1.0", "def main():\n    print('ran', VERSION)\n")
    made = make("tool")
    done = subprocess.run([os.path.join(made.path, "bin", "tool-says")], capture_output=True, text=True)
    assert done.stdout.strip() == "ran 1.0"
    made.close()


def test_a_cache_that_cannot_be_written_is_named_with_the_way_out(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAYBREAK_CACHE_DIR", "/proc/nowhere")
    with pytest.raises(
        ex.RuntimeEnvSetupError, match="the cache /proc/nowhere cannot be made .*: set DAYBREAK_CACHE_DIR"
    ):
        make("envpkg")
    monkeypatch.setenv("DAYBREAK_CACHE_DIR", "here")
    with pytest.raises(ex.RuntimeEnvSetupError, match="DAYBREAK_CACHE_DIR='here': an absolute path expected"):
        make("envpkg")
    monkeypatch.delenv("DAYBREAK_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(index / "xdg"))
    assert cache.root() == str(index / "xdg" / "daybreak")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(index))
    assert cache.root() == str(index / ".cache" / "daybreak")


# ----------------------------------------------------------------------------------------------------------------------
# Requirement files, as people have them.


def test_a_requirement_file_means_the_same_in_any_folder(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    above = tmp_path / "the project – ü"
    (above / "more").mkdir(parents=True)
    wheel = write_wheel(above / "more", "local", "1.0", extras={"more": "envpkg==1.0"})
    write_project(above / "edit able", "editme")
    (above / "requirements.txt").write_text(
        "\ufeff# what we need\n\n-r more/base.txt  # and that\n-c more/constraints.txt\n-e './edit able'\n"
        "envpkg; python_version >= '3'\nabsent-here; sys_platform == 'win32'\n"
    )
    (above / "more" / "base.txt").write_text("./local-1.0-py3-none-any.whl[more] \\\n  ; python_version >= '3'\n")
    (above / "more" / "constraints.txt").write_text("envpkg<2\n")
    monkeypatch.setenv("HOME", str(above))
    lines = requirements.of_file("uv", "~/requirements.txt", None)
    assert len(lines) == 5 and not any(line.startswith(("-r", "#")) for line in lines)
    made = make(*lines)
    assert (
        says(made, "import envpkg, local, editme; print(envpkg.VERSION, local.VERSION, editme.VERSION)")
        == "1.0 1.0 1.0"
    )
    made.close()
    before = requirements.local_files(lines)
    assert str(wheel) in before and str(above / "more" / "constraints.txt") in before
    (above / "more" / "constraints.txt").write_text("envpkg<3\n")
    assert requirements.local_files(lines) != before


def test_hashes_over_several_lines_are_held_against_the_wheel(index: Path, tmp_path: Path) -> None:
    import hashlib

    right = hashlib.sha256((index / "envpkg-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    file = tmp_path / "requirements.txt"
    file.write_text(f"envpkg==1.0 \\\n    --hash=sha256:{right} \\\n    --hash=sha256:{'0' * 64}\n")
    lines = requirements.of_file("uv", file, None)
    assert len(lines) == 1
    make(*lines, options=("--require-hashes",)).close()
    file.write_text(f"envpkg==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(ex.RuntimeEnvSetupError, match="[Hh]ash"):
        make(*requirements.of_file("uv", file, None))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("-r absent.txt", "absent.txt is not a valid file"),
        ("-c absent.txt", "absent.txt in '-c absent.txt' does not exist"),
        ("-e ./absent", "absent in './absent' does not exist"),
        ("./absent.whl", "absent.whl in './absent.whl' does not exist"),
        ("-r requirements.txt", "20 requirement files in a row, perhaps by itself"),
    ],
)
def test_what_a_requirement_file_names_and_is_not_there_is_refused(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "requirements.txt").write_text(text + "\n")
    with pytest.raises(ValueError, match=error):
        requirements.of_file("uv", tmp_path / "requirements.txt", None)


def test_a_file_in_another_encoding_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_bytes("# café\n".encode("latin-1"))
    with pytest.raises(ValueError, match="requirements.txt is not in UTF-8 .*: save it so"):
        requirements.of_file("pip", tmp_path / "requirements.txt", None)


def test_lines_with_options_of_an_index_stay_as_they_are() -> None:
    lines = ["--extra-index-url https://example.org/simple", "-f https://example.org/x", "six @ https://example.org/six.whl",
             "--no-binary :all:", "package[extra]>=1,<2; python_version<'4'", "git+https://example.org/x.git"]  # fmt: skip
    assert requirements.of_list("uv", lines, None) == [*lines[:1], "--find-links https://example.org/x", *lines[2:]]
    assert json.dumps(requirements.local_files(lines)) == "{}"


def test_paths_in_options_are_relative_to_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wheels").mkdir()
    (tmp_path / "c.txt").write_text("envpkg<2\n")
    given = [
        "--find-links",
        "wheels",
        "--constraint=c.txt",
        "--index-url",
        "name",
        "--no-deps",
        "-f",
        "https://example.org/x",
    ]
    field = {"packages": ["envpkg", "-e .[dev]"], "uv_pip_install_options": given}
    found = RuntimeEnv(uv=field)["uv"]
    assert found["packages"] == ["envpkg", f"--editable {tmp_path}[dev]"]
    assert found["uv_pip_install_options"] == [
        *("--find-links", f"{tmp_path}/wheels", f"--constraint={tmp_path}/c.txt"),
        *given[3:],
    ]
    assert list(requirements.local_files((), found["uv_pip_install_options"])) == [f"{tmp_path}/c.txt"]
    with pytest.raises(ValueError, match="absent of the option --find-links does not exist"):
        RuntimeEnv(uv={"packages": ["envpkg"], "uv_pip_install_options": ["--find-links", "absent"]})

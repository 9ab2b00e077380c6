"""The command line as a person meets it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from daybreak import cli

COMMANDS_MODULE = """
import typer
from daybreak.base.errors import NotFoundError

app = typer.Typer()

@app.callback()
def group() -> None: ...

@app.command()
def greet(name: str, loud: bool = False) -> None:
    print("HELLO" if loud else "hello", name)

@app.command()
def lose() -> None:
    raise NotFoundError("no file 'x': name one that is there")

@app.command()
def stop() -> None:
    raise KeyboardInterrupt
"""


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, cli.Command]:
    (tmp_path / "sample_commands.py").write_text(COMMANDS_MODULE)
    (tmp_path / "lacking_commands.py").write_text("import a_package_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sample_commands", raising=False)
    return {
        "sample": cli.Command("sample_commands", "Says hello."),
        "lacking": cli.Command("lacking_commands", "Lacks a package.", "rl"),
        "gone": cli.Command("daybreak.no_such_room.commands", "Not part of this installation."),
    }


def test_help_lists_what_is_installed_and_loads_none_of_it(
    commands: dict[str, cli.Command], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["--help"], commands) == 0
    out = capsys.readouterr().out
    assert "sample   Says hello." in out and "lacking" in out and "gone" not in out
    assert "sample_commands" not in sys.modules


def test_a_subcommand_gets_its_arguments(commands: dict[str, cli.Command], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sample", "greet", "Ada", "--loud"], commands) == 0
    assert capsys.readouterr().out == "HELLO Ada\n"


def test_an_error_of_ours_is_one_line(commands: dict[str, cli.Command], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sample", "lose"], commands) == 1
    assert capsys.readouterr().err == "daybreak: no file 'x': name one that is there\n"


def test_ctrl_c_is_130(commands: dict[str, cli.Command]) -> None:
    assert cli.main(["sample", "stop"], commands) == 130


WAITING = """
import sys, time, types
import typer
from daybreak import cli

module = types.ModuleType("waiting")
sys.modules["waiting"] = module
module.__spec__ = types.SimpleNamespace()
module.app = app = typer.Typer()

@app.callback()
def group() -> None: ...

@app.command()
def wait() -> None:
    try:
        print("waits", flush=True)
        time.sleep(60)
    finally:
        print("put away", flush=True)
        if "--twice" in sys.argv:
            time.sleep(60)

sys.exit(cli.main(["waiting", "wait"], {"waiting": cli.Command("waiting", "Waits.")}))
"""


@pytest.mark.parametrize(("arguments", "status"), [((), 128 + signal.SIGTERM), (("--twice",), -signal.SIGTERM)])
def test_sigterm_ends_a_command_in_order_where_ctrl_c_is_ignored_and_the_second_one_at_once(
    arguments: tuple[str, ...], status: int
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),  # as a shell does for a background job
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waits\n"
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGTERM)
    assert process.stdout.readline() == "put away\n"
    if arguments:
        os.kill(process.pid, signal.SIGTERM)
    assert process.wait(30) == status
    process.stdout.close()


def test_main_leaves_the_caller_his_own_handler(commands: dict[str, cli.Command]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert cli.main(["sample", "greet", "Ada"], commands) == 0
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_wrong_command_is_named_with_its_neighbour(
    commands: dict[str, cli.Command], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["smaple"], commands) == 2
    assert capsys.readouterr().err == "daybreak: no command 'smaple': did you mean 'sample'?\n"
    assert cli.main(["sample", "no-such"], commands) == 2


def test_a_missing_package_names_the_extra(
    commands: dict[str, cli.Command], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["lacking"], commands) == 1
    assert "needs the package 'a_package_that_is_not_there': pip install 'daybreak[rl]'" in capsys.readouterr().err


def test_the_module_runs_as_a_program() -> None:
    done = subprocess.run([sys.executable, "-m", "daybreak.cli", "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("daybreak ")

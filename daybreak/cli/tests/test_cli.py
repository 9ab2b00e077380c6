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


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    from daybreak import track

    before = track.root() if os.environ.get("DAYBREAK_TRACK_DIR") else None
    track.init(tmp_path / "root")
    for i in range(30):
        with track.run("Zoë", params={"lr": i, "näme": "ü" * 40}, capture=False) as run:
            run.log_array("Verlust ₁", [1.0, 2.0, 3.0])
    if before is not None:
        track.init(before)
    return tmp_path / "root"


COMMANDS = [
    "runs list --limit 1000",
    "runs list --json --limit 1000",
    "runs plot Verlust\u00a0₁",
    "runs --help",
    "--help",
]


def daybreak(command: str, root: Path, **environment: str) -> list[str]:
    words = [word.replace("\u00a0", " ") for word in command.split(" ")]
    return [sys.executable, "-m", "daybreak.cli", *words, *(["--root", str(root)] if "help" not in command else [])]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_reader_that_has_seen_enough_ends_a_command_without_a_traceback(recorded: Path, command: str) -> None:
    shell = subprocess.Popen(daybreak(command, recorded), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert shell.stdout is not None and shell.stderr is not None
    shell.stdout.close()  # as `| true`
    complaints = shell.stderr.read().decode()
    shell.wait()
    assert "Traceback" not in complaints and "Exception ignored" not in complaints and "BrokenPipe" not in complaints
    assert shell.returncode in (0, 1, 141)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("locale", [{"PYTHONIOENCODING": "ascii"}, {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_a_terminal_with_ascii_alone_shows_everything(recorded: Path, command: str, locale: dict[str, str]) -> None:
    # rich 68, huami-token 5, devthrottle 3338, orchestra-py 31
    environment = {**os.environ, "LC_ALL": "C", **locale}
    environment.pop("PYTHONUTF8", None) if "PYTHONUTF8" not in locale else None
    arguments = daybreak(command, recorded)
    done = subprocess.run(arguments, capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    out = done.stdout.decode("ascii")
    if "list" in command:
        assert "Zo\\xeb" in out or "Zo\\u00eb" in out
    if "plot" in command:
        assert "o" in out and "\\u28" not in out

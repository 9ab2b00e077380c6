"""How a run ends: by its block, by the process, by whatever the process ends with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from daybreak import track

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    return Path(track.init(tmp_path / "track"))


def ended(
    folder: Path, code: str, *options: str, stdin: str | None = None, status: int | None = None
) -> tuple[str, str]:
    """(status, reason) of the run that a program of its own made."""
    arguments = (
        [sys.executable, *options] if stdin is not None else [sys.executable, *options, "-c", textwrap.dedent(code)]
    )
    variables = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "DAYBREAK_TRACK_DIR": str(folder),
        "DAYBREAK_TRACK_CAPTURE": "0",
    }
    done = subprocess.run(arguments, input=stdin, text=True, capture_output=True, env=variables)
    if status is not None:
        assert done.returncode == status, done.stderr
    (record,) = track.runs()
    assert record.metrics["x"] == 1.0
    return record.status, record.reason


BEGIN = "import sys\nfrom daybreak import track\nrun = track.run('r')\nrun.log('x', 1)\n"


@pytest.mark.parametrize(
    ("end", "status", "reason"),
    [
        ("sys.exit()", "finished", ""),
        ("sys.exit(0)", "finished", ""),
        ("sys.exit(None)", "finished", ""),
        ("raise SystemExit(256)", "finished", ""),  # as the system counts them
        ("sys.exit(3)", "failed", "exit status 3"),
        ("sys.exit('no data')", "failed", "exit status 1: no data"),
        ("raise SystemExit(True)", "failed", "exit status 1"),
        ("import typer; raise typer.Exit()", "finished", ""),
        ("import typer; raise typer.Exit(2)", "failed", "Exit: 2"),
        ("raise KeyboardInterrupt", "failed", "KeyboardInterrupt"),
        ("raise GeneratorExit", "finished", ""),
        ("raise ValueError('no')", "failed", "ValueError: no"),
    ],
)
def test_a_block_that_is_left_by_an_exit_ends_as_the_exit_says(end: str, status: str, reason: str) -> None:
    with pytest.raises(BaseException), track.run("r", capture=False) as run:  # noqa: B017
        exec(f"import sys\n{end}", {})
    record = track.get(run.id)
    assert (record.status, record.reason) == (status, reason)


@pytest.mark.parametrize(
    ("end", "expected", "code"),
    [
        ("", ("finished", ""), 0),
        ("sys.exit(0)", ("finished", ""), 0),
        ("sys.exit(3)", ("failed", "exit status 3"), 3),
        ("raise SystemExit(4)", ("failed", "exit status 4"), 4),
        ("exit(5)", ("failed", "exit status 5"), 5),
        ("sys.exit('no')", ("failed", "exit status 1"), 1),
        ("1 / 0", ("failed", "ZeroDivisionError: division by zero"), 1),
        ("import os; os.kill(os.getpid(), 2)", ("failed", "KeyboardInterrupt"), -signal.SIGINT),
        ("import threading; threading.Thread(target=sys.exit, args=(3,)).start()", ("finished", ""), 0),
        ("import os; os.fork() or os._exit(3); os.wait()", ("finished", ""), 0),
        ("import multiprocessing as m; p = m.get_context('fork').Process(target=exit, args=(3,)); p.start(); p.join()",
         ("finished", ""), 0),
        ("import os\nif os.fork() == 0: sys.exit(3)\nos.wait()", ("finished", ""), 0),
        ("import sys\ntry: 1 / 0\nexcept ZeroDivisionError: sys.excepthook(*sys.exc_info())", ("finished", ""), 0),
    ],
)  # fmt: skip
def test_a_run_without_a_block_ends_as_its_process_does(
    folder: Path, end: str, expected: tuple[str, str], code: int
) -> None:
    assert ended(folder, BEGIN + end, status=code) == expected


def test_in_a_shell_or_a_notebook_an_earlier_error_is_no_end(folder: Path) -> None:
    program = BEGIN.replace("run.log", "1 / 0\nrun.log")
    assert ended(folder, "", "-i", "-q", stdin=program) == ("finished", "")


def test_in_a_notebook_whose_kernel_ends_well_a_run_is_finished(folder: Path) -> None:
    # What a kernel does: it shows the error of a cell, keeps it in sys.last_value, and goes on.
    cell = "import builtins\nbuiltins.__IPYTHON__ = True\ntry:\n    1 / 0\nexcept ZeroDivisionError as e:\n    sys.last_value = e\n"
    assert ended(folder, "import sys\n" + cell + BEGIN) == ("finished", "")


def test_a_stale_interrupt_of_a_notebook_is_no_end(folder: Path) -> None:
    cell = "import builtins, sys\nbuiltins.__IPYTHON__ = True\nsys.last_value = KeyboardInterrupt()\n"
    assert ended(folder, cell + BEGIN + "sys.exit(0)") == ("finished", "")


def test_a_run_in_a_generator_that_is_closed_is_finished() -> None:
    def steps():
        with track.run("r", capture=False) as run:
            yield run

    run = next(steps())
    assert track.get(run.id).status == "finished"


def test_a_child_forked_while_threads_set_parameters_goes_on(folder: Path) -> None:
    code = """
        import os, sys, threading, time
        from daybreak import track
        run = track.run("r", capture=False)
        run.log("x", 1)
        stop = False
        def work(name):
            i = 0
            while not stop:
                run.param(f"{name}{i}", i)
                run.tag("t", i)
                i += 1
        threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
        for t in threads: t.start()
        for n in range(12):
            time.sleep(0.01)
            child = os.fork()
            if child == 0:
                run.param(f"child{n}", n)
                run.log("y", n)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        stop = True
        for t in threads: t.join()
        run.param("last", 1)
        run.finish()
    """
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "DAYBREAK_TRACK_DIR": str(folder)}
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, env=variables, timeout=60)
    (record,) = track.runs()
    assert {f"child{n}" for n in range(12)} <= set(record.params) and record.params["last"] == 1

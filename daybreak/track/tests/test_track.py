"""Runs from Python: written, read, resumed, killed, shared by many processes."""

from __future__ import annotations

import math
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest

from daybreak import track
from daybreak.base import errors

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    track.init(tmp_path / "track")
    return tmp_path / "track"


def python(code: str, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *args]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True)
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return done


def test_a_run_keeps_what_it_was_told() -> None:
    with track.run("pong", params={"lr": 0.01, "net": [64, 64], "env": "Pong"}, tags={"machine": "lab"}) as run:
        run.log({"return": 3.2, "loss": math.nan}, step=7)
        run.log("return", math.inf)
        run.log("return", -1, step=9)
        run.log({"return": 5.0}, 12)
        run.param("gamma", 0.99)
        run.tag("machine", "other")
        assert track.get(run.id).status == "running"
        assert track.get(run.id).end is None
        assert run.metrics["return"] == 5.0
    record = track.get(run.id)
    assert record.status == "finished" and record.name == "pong" and record.parent is None
    assert record.params == {"lr": 0.01, "net": [64, 64], "env": "Pong", "gamma": 0.99}
    assert record.tags == {"machine": "other"}
    assert record.metrics["return"] == 5.0 and math.isnan(record.metrics["loss"])
    history = record.history("return")
    assert history.steps.tolist() == [7, 8, 9, 12]
    assert history.values.tolist() == [3.2, math.inf, -1.0, 5.0]
    assert record.history("return", 8, 9).values.tolist() == [math.inf, -1.0]
    assert record.start is not None and record.end is not None and record.start <= record.end
    assert len(record.preview("return", 3)) == 3


def test_numbers_of_all_kinds_are_logged_and_other_leaves_are_passed_over() -> None:
    class Number:
        def __float__(self) -> float:
            return 2.5

    with track.run("kinds") as run:
        result = {
            "int": 3, "bool": True, "numpy": np.float32(0.5), "zero_d": np.array(4), "own": Number(),
            "info": {"learner": {"loss": 1.5, "name": "ppo"}}, "text": "3.5", "none": None, "list": [1], "array": np.zeros(3),
        }  # fmt: skip
        with pytest.warns(RuntimeWarning, match="'info/learner/name'.*'text'.*'none'.*'list'.*'array'"):
            run.log(result)
        assert dict(run.metrics) == {
            "int": 3.0, "bool": 1.0, "numpy": 0.5, "zero_d": 4.0, "own": 2.5, "info/learner/loss": 1.5,
        }  # fmt: skip
        many = {f"m{i}": i for i in range(300)}
        run.log(many, step=np.int64(5))
        assert run.metrics["m299"] == 299.0
        for bad in (("x", "3.5"), ("x", None), ("x",), ({1: 2.0},), (3.0,), ({"a": 1}, 1.5), ("", 1.0), ("a\n", 1.0)):
            with pytest.raises((errors.InvalidArgumentError, TypeError)):
                run.log(*bad)
        with pytest.raises(errors.InvalidArgumentError, match="x=1000.* does not fit"):
            run.log("x", 10**400)
        with pytest.raises(errors.InvalidArgumentError, match="step=9223372036854775808"):
            run.log("x", 1.0, step=2**63)
        with pytest.raises(TypeError):
            run.log("x", 1.0, steps=1)
        with pytest.raises(TypeError):
            run.log({"x": 1.0}, step=1, value=2, other=3)
        loop: dict[str, object] = {}
        loop["self"] = loop
        with pytest.raises(errors.InvalidArgumentError, match="deep"):
            run.log(loop)


def test_log_is_the_callback_of_a_trainer() -> None:
    from daybreak import rl

    with track.run("cartpole") as run:
        trainer = rl.PPO(env="CartPole-v1", seed=1, on_result=run.log)
        trainer.train()
        trainer.train()
    record = track.get(run.id)
    assert record.history("timesteps_total").steps.tolist() == [0, 1]
    assert record.metrics["timesteps_total"] > 0


def test_an_exception_makes_the_run_failed_with_the_reason() -> None:
    with pytest.raises(ZeroDivisionError), track.run("broken") as run:
        run.log("x", 1)
        1 / 0  # noqa: B018
    record = track.get(run.id)
    assert (record.status, record.reason) == ("failed", "ZeroDivisionError: division by zero")


def test_parameters_never_change() -> None:
    with track.run("fixed", params={"lr": 0.01}) as run:
        run.param("lr", 0.01)
        with pytest.raises(errors.AlreadyExistsError, match=r"'lr' is 0\.01 already"):
            run.param("lr", 0.02)
        handle = pickle.dumps(run)
    code = """
        import pickle, sys
        from daybreak.base import errors
        run = pickle.loads(bytes.fromhex(sys.argv[1]))
        run.params({"lr": 0.01, "late": 1})
        try:
            run.param("lr", 0.5)
        except errors.AlreadyExistsError:
            print("refused")
    """
    with track.run("shared", params={"lr": 0.01}) as run:
        handle = pickle.dumps(run)
        assert python(code, handle.hex()).stdout == "refused\n"
        with pytest.raises(errors.AlreadyExistsError):
            run.param("late", 2)
    assert track.get(run.id).params == {"lr": 0.01, "late": 1}


def test_sizes_and_names_are_bounded() -> None:
    with track.run("bounds") as run:
        run.param("big", "x" * 32_000)
        for call in (
            lambda: run.param("bigger", "x" * 33_000),
            lambda: run.param("", 1),
            lambda: run.param("x" * 251, 1),
            lambda: run.tag("a\x00b", 1),
            lambda: run.tag("t", "x" * 33_000),
            lambda: run.goal("loss", "smallest"),
            lambda: run.finish("done"),
            lambda: track.run(""),
            lambda: track.run(),
            lambda: track.run("a\nb"),
            lambda: track.get("../../etc/passwd") if False else track.run(resume="../../etc/passwd"),
        ):
            with pytest.raises(errors.InvalidArgumentError):
                call()
    with pytest.raises(errors.NotFoundError):
        track.get("../../etc/passwd")
    with pytest.raises(errors.NotFoundError):
        track.run(resume="01934a1c-9f7b-7c3e-8a5d-0123456789ab")


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "", ".", "a//b", "a/../b", "a\\b", "a\nb", "a\x00", "x" * 251, "a/", 3]
)
def test_names_of_artifacts_never_leave_their_folder(name: str) -> None:
    with track.run("names") as run, pytest.raises(errors.InvalidArgumentError):
        run.artifact(name, b"x")


def test_children_have_statuses_of_their_own() -> None:
    with track.run("sweep") as run:
        with run.child("trial", params={"lr": 1}) as first:
            first.log("x", 1)
        with pytest.raises(RuntimeError), run.child("trial", params={"lr": 2}):
            raise RuntimeError
    found = track.get(run.id).children
    assert [(child.status, child.params["lr"], child.parent) for child in found] == [
        ("finished", 1, run.id),
        ("failed", 2, run.id),
    ]
    assert len(track.runs(f"parent = '{run.id}'")) == 2
    assert [record.id for record in track.runs("parent is null")] == [run.id]


def test_a_run_is_resumed_with_its_steps_and_parameters() -> None:
    with pytest.raises(KeyError), track.run("long", params={"lr": 1}) as run:
        run.log({"x": 0.5}, step=41)
        raise KeyError("x")
    with track.run(resume=run.id, params={"lr": 1, "late": True}) as again:
        assert again.id == run.id and track.get(run.id).status == "running"
        again.log("x", 1.5)
        with pytest.raises(errors.FailedPreconditionError, match="still runs"):
            track.run(resume=run.id)
        with pytest.raises(errors.AlreadyExistsError):
            again.param("lr", 2)
    record = track.get(run.id)
    assert record.status == "finished" and record.reason == ""
    assert record.history("x").steps.tolist() == [41, 42]
    assert record.params == {"lr": 1, "late": True}
    with pytest.raises(errors.FailedPreconditionError):
        run.log("x", 3)


def test_a_killed_process_leaves_a_killed_run_and_all_that_it_logged() -> None:
    code = """
        import os, signal, sys
        from daybreak import track
        track.init(sys.argv[1])
        run = track.run("doomed", params={"a": 1})
        for i in range(10_000):
            run.log({"x": i})
        print(run.id, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = python(code, track.root(), check=False)
    assert done.returncode == -signal.SIGKILL
    run = done.stdout.strip()
    record = track.get(run)
    assert record.status == "killed" and record.end is not None
    assert record.history("x").values.tolist() == list(range(10_000))
    assert not list(Path(track.root(), "runs", run).glob("*.log"))
    with track.run(resume=run) as again:
        again.log({"x": -1.0})
    assert track.get(run).status == "finished" and track.get(run).metrics["x"] == -1.0


def test_what_the_disk_refuses_in_the_background_is_a_warning_of_the_next_log_and_an_error_of_the_end() -> None:
    code = """
        import resource, sys, time, warnings
        from daybreak import track
        from daybreak.base import errors
        track.init(sys.argv[1])
        run = track.run("full")
        run.log({"x": 0.0}, step=0)
        # No file may have more than so many bytes from now on: neither the next segment nor the columns.
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))
        seen, step, end = [], 0, time.monotonic() + 30
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            for step in range(1, 3 * 2047):  # more than half of the segment, which makes the keeper allocate another
                run.log({"x": 1.0}, step=step)
            while not seen and time.monotonic() < end:
                time.sleep(0.2)  # each tag takes room in the segment, which must not be full before the keeper has looked
                run.tag("still", "here")
        (warned,) = {f"{each.category.__name__}: {each.message}" for each in seen}  # again where logging takes a second
        assert run.id in warned and "cannot be allocated" in warned and warned.startswith("RuntimeWarning"), warned
        try:
            run.finish()
        except errors.Error as error:
            print("refused:", error)
        print(run.id, step)
    """
    done = python(code, track.root())
    said = done.stdout.splitlines()
    assert said[0].startswith("refused:"), done.stdout
    run, step = said[1].split()
    assert "cannot be allocated" in done.stderr, done.stderr  # and in the log, once
    assert done.stderr.count("cannot be allocated") == 1
    record = track.get(run)
    assert record.status == "finished"
    assert record.history("x").steps.tolist() == list(range(int(step) + 1))


def test_a_run_that_cannot_be_ended_at_the_end_of_the_interpreter_says_so() -> None:
    code = """
        import resource, sys
        from daybreak import track
        track.init(sys.argv[1])
        run = track.run("full")
        for i in range(5000):
            run.log({"x": i})
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY))
        print(run.id)
    """
    done = python(code, track.root())
    run = done.stdout.strip()
    assert f"run {run} could not be ended: " in done.stderr, done.stderr
    assert track.get(run).status == "finished" and len(track.get(run).history("x")) == 5000


def test_a_run_that_nobody_ended_is_finished_when_the_interpreter_ends() -> None:
    code = """
        import sys
        from daybreak import track
        track.init(sys.argv[1])
        run = track.run("loose")
        run.log("x", 1)
        print(run.id)
    """
    assert track.get(python(code, track.root()).stdout.strip()).status == "finished"
    failed = python(
        code + "    raise ValueError('no')\n" if False else textwrap.dedent(code) + "raise ValueError('no')\n",
        track.root(),
        check=False,
    )
    record = track.get(failed.stdout.strip())
    assert (record.status, record.reason) == ("failed", "ValueError: no")


def _writer(handle: bytes, number: int, points: int) -> None:
    run = pickle.loads(handle)
    for i in range(points):
        run.log({f"own{number % 4}": number, "shared": number}, step=i)
    run.finish()


def test_64_processes_write_to_one_run() -> None:
    context = multiprocessing.get_context("fork")
    with track.run("crowd") as run:
        handle = pickle.dumps(run)
        workers = [context.Process(target=_writer, args=(handle, n, 500)) for n in range(64)]
        for worker in workers:
            worker.start()
        run.log("shared", -1.0, step=1000)
        for worker in workers:
            worker.join()
        assert [worker.exitcode for worker in workers] == [0] * 64
        assert len(run.history("shared")) == 64 * 500 + 1
    record = track.get(run.id)
    assert record.status == "finished" and record.metrics["shared"] == -1.0
    values = record.history("shared").values
    assert sorted(set(values.tolist())) == [-1.0, *map(float, range(64))]
    assert len(record.history("own3")) == 16 * 500
    assert not list(Path(track.root(), "runs", run.id).glob("*.log"))
    assert os.listdir(Path(track.root(), "open")) == []


def test_a_handle_travels_to_tasks_and_actors() -> None:
    import daybreak

    @daybreak.remote
    def work(run: track.Run, n: int) -> str:
        run.log({"from_task": n}, step=n)
        return run.id

    @daybreak.remote
    class Actor:
        def __init__(self, run: track.Run) -> None:
            self.run = run

        def work(self, n: int) -> None:
            self.run.log({"from_actor": n}, step=n)

    daybreak.init(num_cpus=2)
    try:
        with track.run("distributed") as run:
            actor = Actor.remote(run)
            assert set(daybreak.get([work.remote(run, n) for n in range(20)])) == {run.id}
            daybreak.get([actor.work.remote(n) for n in range(20)])
            assert sorted(run.history("from_task").values.tolist()) == list(range(20))
            assert run.history("from_actor").values.tolist() == list(range(20))
    finally:
        daybreak.shutdown()
    assert len(track.get(run.id).history("from_task")) == 20


def test_threads_share_a_handle() -> None:
    with track.run("threads") as run:

        def work(n: int) -> None:
            for i in range(2000):
                run.log({f"t{n}": i, "all": n}, step=i)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(run.history("all")) == 16_000
    assert track.get(run.id).history("t7").values.tolist() == list(range(2000))


def test_a_flipped_bit_is_an_error_that_names_file_and_block_and_the_rest_is_read() -> None:
    with track.run("flip") as run:
        for i in range(20_000):
            run.log({"x": i, "y": i}, step=i)
    track.runs()
    files = sorted(Path(track.root(), "runs", run.id).glob("*.col"), key=lambda path: path.stat().st_size)
    data = bytearray(files[-1].read_bytes())
    data[5000] ^= 16  # in a page of x
    files[-1].write_bytes(data)
    record = track.get(run.id)
    assert record.history("y").values.tolist() == list(range(20_000))
    with pytest.raises(errors.DataLossError, match=rf"{files[-1].name}, page at byte \d+"):
        record.history("x")
    data[-10] ^= 1  # the trailer: all of the file is lost
    files[-1].write_bytes(data)
    with pytest.raises(errors.DataLossError, match=files[-1].name):
        record.history("y")
    os.remove(Path(track.root(), "catalog.db"))
    with pytest.raises(errors.DataLossError, match=files[-1].name):
        track.get(run.id)
    with pytest.raises(errors.DataLossError):
        track.live_objects()
    assert track.get(run.id, damaged=True).name in ("flip", "")


def test_delete_and_restore() -> None:
    with track.run("kept") as run, pytest.raises(errors.FailedPreconditionError):
        track.delete(run.id)
    track.delete(run.id)
    track.delete(run.id)
    assert track.runs() == [] and track.get(run.id).deleted
    assert [record.id for record in track.runs(deleted=True)] == [run.id] == [r.id for r in track.runs(deleted=None)]
    with pytest.raises(errors.FailedPreconditionError, match="restore"):
        track.run(resume=run.id)
    track.restore(run.id)
    assert [record.id for record in track.runs()] == [run.id]


def test_metrics_as_dict_arrow_and_pandas() -> None:
    with track.run("tables") as run:
        for step in range(70_000):
            run.log({"return": step * 0.5, "loss": -step}, step=step)
        run.log("nan", math.nan)
    metrics = track.get(run.id).metrics
    series = metrics(as_="dict")
    assert list(series) == ["loss", "nan", "return"] and len(series["loss"]) == 70_000
    with pytest.raises(errors.NotFoundError, match="did you mean 'return'"):
        metrics("retrun", as_="dict")
    with pytest.raises(errors.InvalidArgumentError):
        metrics(as_="excel")  # type: ignore[call-overload]
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table(metrics(["return", "nan"], as_="arrow"))
    assert table.num_rows == 70_001
    assert table.schema.names == ["name", "step", "time", "value"]
    assert table.column("name").combine_chunks().dictionary_decode()[0].as_py() == "return"
    assert table.column("value")[69_999].as_py() == 69_999 * 0.5
    assert str(table.schema.field("time").type) == "timestamp[ns, tz=UTC]"
    table.validate(full=True)
    pytest.importorskip("pandas")
    frame = run.metrics("return")
    assert frame.shape == (70_000, 4) and frame["value"].iloc[-1] == 69_999 * 0.5
    assert frame["name"].unique().tolist() == ["return"]
    assert str(frame["time"].dtype) == "datetime64[ns, UTC]"


def test_a_long_series_is_read_in_bounded_memory() -> None:
    pytest.importorskip("pyarrow")
    code = """
        import resource, sys
        import pyarrow
        from daybreak import track
        track.init(sys.argv[1])
        run = track.run("long")
        batch = {f"m{i}": 1.0 for i in range(8)}
        for step in range(500_000):
            run.log(batch, step=step)
        run.finish()
        reader = pyarrow.RecordBatchReader.from_stream(track.get(run.id).metrics(as_="arrow"))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with open("/proc/self/clear_refs", "w") as clear:
            clear.write("5")  # the peak starts anew
        def peak():
            for line in open("/proc/self/status"):
                if line.startswith("VmHWM"):
                    return int(line.split()[1]) / 1024
        base = peak()
        rows = sum(batch.num_rows for batch in reader)
        print(rows, peak() - base)
    """
    rows, used = python(code, track.root()).stdout.split()
    assert int(rows) == 4_000_000  # 128 MB of points
    assert float(used) < 40, f"{used} MB"


def test_the_root_is_private_versioned_and_ignored_by_git(tmp_path: Path) -> None:
    root = Path(track.root())
    assert (root / ".gitignore").read_text() == "*\n"
    assert (root / "format").read_text() == "daybreak track 1\n"
    assert root.stat().st_mode & 0o777 == 0o700
    with track.run("x"):
        pass
    assert all(
        path.stat().st_mode & 0o077 == 0 for path in root.rglob("*") if path.name not in ("format", ".gitignore")
    )
    (root / "format").write_text("daybreak track 2\n")
    with pytest.raises(errors.UnimplementedError, match="track 2"):
        track.init(root)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(errors.FailedPreconditionError):
        track.init(tmp_path / "mine")


def test_importing_track_loads_neither_numpy_nor_pandas() -> None:
    code = (
        "import sys; from daybreak import track; print([m for m in ('numpy', 'pandas', 'pyarrow') if m in sys.modules])"
    )
    assert python(code).stdout == "[]\n"


def test_the_environment_variable_and_the_default_name_the_root(tmp_path: Path) -> None:
    code = "from daybreak import track; print(track.root())"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for extra, expected in (
        ({}, tmp_path / ".daybreak" / "track"),
        ({"DAYBREAK_TRACK_DIR": "elsewhere"}, tmp_path / "elsewhere"),
    ):
        environment.pop("DAYBREAK_TRACK_DIR", None)
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env={**environment, **extra}, text=True, capture_output=True
        )
        assert done.stdout.strip() == str(expected), done.stderr


def test_an_array_is_logged_as_a_loop_over_its_values_would() -> None:
    import numpy as np

    with track.run("array") as run:
        run.log_array("x", np.arange(5000) * 0.5)
        run.log_array("x", [1.0, math.nan], steps=[7, 10_000])
        run.log_array("x", [])
        run.log("x", 2.0)
        history = run.history("x")
        assert len(history) == 5003 and history.steps[-1] == 10_001
        for bad in (np.zeros((2, 2)), [[1]], 3.0):
            with pytest.raises(errors.InvalidArgumentError):
                run.log_array("x", bad)
        with pytest.raises(errors.InvalidArgumentError):
            run.log_array("x", [1, 2], steps=[1])


def test_artifacts_are_kept_as_changes_of_the_ones_before(monkeypatch: pytest.MonkeyPatch) -> None:
    store = pytest.importorskip("daybreak.track.store", reason="the content store is not built into this tree")
    parents: list[str | None] = []
    original = store.Store.put

    def put(self: object, value: object, name: str = "", parent: str | None = None) -> object:
        parents.append(parent)
        return original(self, value, name=name, parent=parent)

    monkeypatch.setattr(store.Store, "put", put)
    with track.run("pong") as run:
        first = run.artifact("policy", b"a" * 1000, meta={"epoch": 1})
        second = run.artifact("policy", b"b" * 1000)
        run.artifact("other/name", b"c")
    with track.run("pong") as again:
        again.artifact("policy", b"d")
    assert parents == [None, first.id, None, second.id]
    assert track.load(first) == b"a" * 1000 and track.load(second.id) == b"b" * 1000
    kept = track.get(run.id).artifacts
    assert [artifact.name for artifact in kept] == ["policy", "policy", "other/name"]
    assert kept[0].meta == {"epoch": 1} and kept[0].size_bytes == 1000
    assert {a.id for a in kept} <= track.live_objects()


def test_a_run_that_cannot_be_resumed_as_asked_stays_as_it_was() -> None:
    with track.run("x", params={"n": 3}) as run:
        pass
    for options in ({"params": {"n": 4}}, {"params": {"": 1}}, {"tags": {"a\n": 1}}, {"name": "y"}, {"params": [1]}):
        with pytest.raises((errors.AlreadyExistsError, errors.InvalidArgumentError)):
            track.run(resume=run, **options)
        assert track.get(run).status == "finished"
    assert track.runs("status = 'running'") == []


def test_words_from_elsewhere_are_answered_with_ours() -> None:
    import argparse

    with track.run("x") as run:
        with pytest.raises(AttributeError, match=r"use run\.log\(name, value, step=step\)"):
            run.log_metric("a", 1)
        with pytest.raises(AttributeError, match="has no 'nonsense'$"):
            run.nonsense  # noqa: B018
        with pytest.raises(errors.InvalidArgumentError, match=r"give vars\(it\)"):
            run.params(argparse.Namespace(lr=1))  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"give pathlib\.Path\(it\) for a file"):
            run.artifact("model", "model.pt")
        with pytest.raises(errors.InvalidArgumentError, match="is a folder"):
            run.artifact("model", Path(track.root()))
    with pytest.raises(AttributeError, match="no run is the current one"):
        track.start_run()
    for where, hint in (
        ("status = 'FINISHED'", "'finished'"),
        ("status in ('running', 'Failed')", "a status is one of"),
        ("attributes.start_time > 5", "here it is start"),
        ("metrics.loss = nan", "is null"),
    ):
        with pytest.raises(errors.InvalidArgumentError, match=hint):
            track.runs(where)


def test_text_that_is_no_unicode_is_kept_and_breaks_no_search() -> None:
    with track.run("x", params={"a": "\ud800", "b": {"\udfff": ["\ud800"]}}, tags={"t": "x"}) as run:
        run._event(0x24, "raw", '"\\ud800"')  # as another writer may say it
    assert track.get(run).params["a"] == "\ud800" and track.get(run).params["b"] == {"\udfff": ["\ud800"]}
    assert [record.id for record in track.runs("params.a = '?' and tags.t = 'x'")] == [run.id]  # in a search it is "?"
    assert track.sql("select count(*) as n from params")["n"].tolist() == [3]


def test_names_in_every_script_are_kept_and_found() -> None:
    with track.run("実験 ü", params={"学習率": 0.1}, tags={"ü": "ö"}) as run:
        run.log({"損失": 1.0})
        run.artifact("モデル/重み", b"x")
    assert [record.id for record in track.runs("params.学習率 = 0.1 and metrics.損失 = 1 and tags.ü = 'ö'")] == [run.id]
    assert track.get(run).artifact("モデル/重み").size_bytes == 1


def test_artifacts_are_found_by_name_the_newest_first() -> None:
    with track.run("x") as run:
        first, second = run.artifact("a", b"1"), run.artifact("a", b"2")
        assert run.artifacts == [first, second]
    assert track.get(run).artifact("a") == second
    with pytest.raises(errors.NotFoundError, match="no artifact 'b': there is 'a'"):
        track.get(run).artifact("b")
    with pytest.raises(errors.InvalidArgumentError, match="RunRecord"):
        track.load(track.get(run))  # type: ignore[arg-type]

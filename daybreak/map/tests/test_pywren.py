"""PyWren's surface: what its users and the notebooks of 2018 rely on."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import daybreak
from daybreak.base.errors import InvalidArgumentError
from daybreak.compat import pywren as table

RUN_STATUS = (
    "start_time setup_time end_time exec_time host_submit_time runtime_cached runtime_s3_key_used runtime_s3_bucket_used "
    "free_disk_bytes func_key data_key output_key status_key call_id callset_id retcode stdout server_info exception "
    "func_download_time data_download_time output_upload_time aws_request_id log_group_name log_stream_name"
).split()
INVOKE_STATUS = (
    "host_submit_time lambda_invoke_timestamp lambda_invoke_time job_invoke_timestamp agg_data data_size_bytes data_upload_time "
    "data_upload_timestamp func_upload_time func_upload_timestamp func_module_str_len status_done_timestamp status_query_count "
    "download_output_time download_output_timestamp func_key data_key output_key status_key call_id callset_id job_max_runtime "
    "data_byte_range use_cached_runtime runtime storage_config pywren_version"
).split()


@pytest.fixture(scope="module")
def pywren(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("DAYBREAK_MAP_DIR", str(home / "kept"))
        patch.delenv("PYWREN_CONFIG_FILE", raising=False)
        patch.delenv("PYWREN_EXECUTOR", raising=False)
        patch.chdir(home)
        daybreak.shutdown()
        table.install()
        import pywren

        yield pywren
        table.uninstall()
        daybreak.shutdown()


@pytest.fixture
def pwex(pywren: Any) -> Any:
    return pywren.default_executor()


def square(x: int) -> int:
    return x * x


def test_the_package_has_its_names(pywren: Any) -> None:
    import pywren.wrenutil
    from pywren import runtime, wren, wrenconfig, wrenlogging, wrenutil  # noqa: F401
    from pywren.future import ResponseFuture  # noqa: F401
    from pywren.wait import wait  # noqa: F401

    assert (pywren.ALL_COMPLETED, pywren.ANY_COMPLETED, pywren.ALWAYS) == (1, 2, 3) == (
        pywren.wren.ALL_COMPLETED, pywren.wren.ANY_COMPLETED, pywren.wren.ALWAYS,
    )  # fmt: skip
    assert pywren.__version__.startswith("0.4") and os.path.isdir(pywren.SOURCE_DIR)
    assert callable(pywren.wait) and pywren.standalone_executor is pywren.remote_executor
    with pytest.raises(ImportError, match="backend='lithops'"):
        import pywren.ec2standalone


@pytest.mark.parametrize("name", ["lambda", "remote", "standalone", "local"])
def test_each_executor_runs_calls(pywren: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("PYWREN_EXECUTOR", name)
    pwex = pywren.default_executor()
    for attribute in ("invoker", "config", "storage", "runtime_meta_info", "map_item_limit"):
        assert hasattr(pwex, attribute)
    assert pwex.map_item_limit == 10000
    assert [future.result() for future in pwex.map(square, range(4))] == [0, 1, 4, 9]


def test_a_dummy_executor_waits_to_be_told(pywren: Any) -> None:
    pwex = pywren.dummy_executor()
    futures = pwex.map(square, range(3))
    assert not futures[0].done() and len(pwex.invoker.payloads) == 1
    pwex.invoker.run_jobs()
    assert pywren.get_all_results(futures) == [0, 1, 4]
    late = pwex.call_async(time.sleep, 60)
    pwex.invoker.run_jobs_threaded()
    late.cancel()
    with pytest.raises(Exception, match="cancelled"):
        late.result(timeout=30)
    never = pwex.call_async(square, 2)
    never.cancel()
    with pytest.raises(Exception, match="cancelled"):
        never.result(timeout=30)


def test_success_is_seen_and_not_known_before(pywren: Any, pwex: Any) -> None:
    good, bad = pwex.call_async(square, 3), pwex.call_async(lambda x: 1 / 0, None)
    while not (good.done() and bad.done()):
        time.sleep(0.005)
    assert [good.succeeded(), good.errored(), bad.succeeded(), bad.errored()] == [False] * 4
    assert good.run_status is None
    pywren.wait([good, bad])
    assert [good.succeeded(), good.errored(), bad.succeeded(), bad.errored()] == [True, False, False, True]


def test_exceptions_have_their_own_type_and_the_workers_traceback(pywren: Any, pwex: Any) -> None:
    class Mine(Exception):
        pass

    def fail(x: Any) -> None:
        raise Mine("here", 7)

    future = pwex.call_async(fail, None)
    with pytest.raises(Mine) as caught:
        future.result()
    assert type(caught.value) is Mine and caught.value.args == ("here", 7)
    assert 'raise Mine("here", 7)' in str(caught.value.__cause__)
    assert future.result(throw_except=False) is None and isinstance(future.exception(), Mine)
    with pytest.raises(Exception, match="non-zero return code"):
        pwex.call_async(lambda x: sys.exit(-1), 1).result()


def test_every_status_has_its_keys_and_true_values(pywren: Any, pwex: Any) -> None:
    before = time.time()
    futures = pwex.map(square, [2, 3])
    assert [future.result() for future in futures] == [4, 9]
    for number, future in enumerate(futures):
        run, invoked = future.run_status, future.invoke_status
        assert set(RUN_STATUS) <= set(run) and set(INVOKE_STATUS) <= set(invoked)
        assert before <= run["host_submit_time"] <= run["start_time"] + 1
        assert (
            run["start_time"] + run["setup_time"] <= run["end_time"] + 1e-3 <= invoked["download_output_timestamp"] + 1
        )
        assert run["call_id"] == future.call_id == f"{number:05d}" and run["callset_id"] == future.callset_id
        assert run["retcode"] == 0 and run["exception"] is None and run["runtime_cached"] is True
        assert run["free_disk_bytes"] > 0 and "not here" in run["aws_request_id"]
        assert run["output_key"] == f"pywren.jobs/{future.callset_id}/{number:05d}/output.pickle"
        assert invoked["agg_data"] is True and invoked["data_byte_range"][0] == (0, len(pickle.dumps(2, 5)))[number]
        assert invoked["data_size_bytes"] == 2 * len(pickle.dumps(2, 5))
    apart = pwex.map(square, [2], data_all_as_one=False)[0]
    apart.result()
    assert apart.invoke_status["agg_data"] is False and apart.invoke_status["data_key"].endswith("00000/data.pickle")
    large = pwex.call_async(len, np.zeros(600_000))
    large.result()
    assert large.invoke_status["data_size_bytes"] > 4_800_000 and large.invoke_status["agg_data"] is False


def test_what_is_given_to_map_counts(pywren: Any, pwex: Any) -> None:
    assert pwex.map(square, []) == []
    assert pwex.call_async(lambda x: os.environ.get("HELLO"), None, extra_env={"HELLO": "WORLD"}).result() == "WORLD"
    future = pwex.call_async(square, 2, extra_meta={"mine": 1})
    assert future.result() == 4 and future.invoke_status["mine"] == 1
    with pytest.raises(ValueError, match="already in dict"):
        pwex.call_async(square, 2, extra_meta={"call_id": 1})
    config = pywren.wrenconfig.default()
    config["scheduler"]["map_item_limit"] = 3
    with pytest.raises(ValueError, match="map item limit of 3"):
        pywren.default_executor(config=config).map(square, range(4))


def test_reduce_gets_all_results(pywren: Any, pwex: Any) -> None:
    assert pwex.reduce(sum, pwex.map(square, range(5))).result() == 30
    with pytest.raises(ZeroDivisionError):
        pwex.reduce(sum, pwex.map(lambda x: 1 / x, [1, 0])).result()


def test_wait_keeps_the_order_and_tells_sets_apart(pywren: Any, pwex: Any) -> None:
    one, two = pwex.map(square, range(3)), pwex.map(lambda x: -x, range(3))
    done, pending = pywren.wait(two + one, WAIT_DUR_SEC=1)
    assert done == two + one and pending == []
    assert [future.result() for future in done] == [0, -1, -2, 0, 1, 4]
    slow = pwex.call_async(time.sleep, 60)
    done, pending = pywren.wait([slow, one[0]], return_when=pywren.ANY_COMPLETED)
    assert (done, pending) == ([one[0]], [slow])
    assert pywren.wait([slow], return_when=pywren.ALWAYS) == ([], [slow])
    with pytest.raises(ValueError):
        pywren.wait([slow], return_when=9)
    slow.cancel()


def test_futures_pickle_and_are_waited_for_again(pywren: Any, pwex: Any) -> None:
    futures = pickle.loads(pickle.dumps(pwex.map(square, range(3))))
    pywren.wait(futures)
    assert [future.result() for future in futures] == [0, 1, 4]


def test_what_others_left_out_is_here(pywren: Any, pwex: Any) -> None:
    seen: list[Any] = []
    future = pwex.call_async(time.sleep, 60)
    future.add_done_callback(seen.append)
    with pytest.raises(TimeoutError):
        future.result(timeout=0.05)
    assert not future.cancelled()
    future.cancel()
    assert future.cancelled() and future.exception(timeout=30) is not None and seen == [future]


def test_a_call_may_not_run_longer_than_its_executor_says(pywren: Any) -> None:
    pwex = pywren.lambda_executor(job_max_runtime=0.2)
    with pytest.raises(Exception, match="ran out of time"):
        pwex.call_async(time.sleep, 60).result(timeout=60)


def test_logs_of_a_call(pywren: Any, pwex: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def talk(x: int) -> None:
        print("one")
        print("two")

    future = pwex.call_async(talk, 1)
    with pytest.raises(ValueError, match="wait"):
        pwex.get_logs(future)
    future.result()
    logs = pwex.get_logs(future)
    assert [message for _, message in logs] == ["one", "two"] and all(stamp > 1e12 for stamp, _ in logs)
    assert "one" in capsys.readouterr().out
    assert pwex.get_logs(future, verbose=False) == logs and capsys.readouterr().out == ""


@pytest.fixture
def module_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "beside_map").mkdir()
    (tmp_path / "beside_map" / "__init__.py").write_text("from . import inner\nHERE = 7\n")
    (tmp_path / "beside_map" / "inner.py").write_text("def add(x):\n    return x + 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "beside_map"


def test_an_excluded_module_is_not_there(pywren: Any, pwex: Any, module_beside: str) -> None:
    import beside_map  # type: ignore[import-not-found]

    def use(x: int) -> int:
        return int(beside_map.inner.add(x) + beside_map.HERE)

    assert pwex.map(use, [1])[0].result() == 9
    assert pwex.map(use, [1], use_cached_runtime=False)[0].result() == 9  # shipped
    assert pwex.map(use, [1], exclude_modules=["nothing-of-it"])[0].result() == 9
    with pytest.raises(ImportError, match="beside_map"):
        pwex.map(use, [1], exclude_modules=["beside_map"])[0].result()


def test_a_runtime_that_is_not_cached_is_a_new_interpreter(pywren: Any, pwex: Any) -> None:
    def once(x: int) -> int:
        sys.been_here = getattr(sys, "been_here", 0) + 1  # type: ignore[attr-defined]
        print("said")
        return int(sys.been_here)  # type: ignore[attr-defined]

    futures = pwex.map(once, range(2), use_cached_runtime=False)
    assert [future.result() for future in futures] == [1, 1]
    assert futures[0].run_status["runtime_cached"] is False and futures[0].run_status["stdout"] == "said\n"
    with pytest.raises(ZeroDivisionError):
        pwex.map(lambda x: 1 / x, [0], use_cached_runtime=False)[0].result()
    with pytest.raises(Exception, match="non-zero return code"):
        pwex.map(lambda x: os._exit(4), [0], use_cached_runtime=False)[0].result()


def test_a_runtime_of_another_python_is_refused(pywren: Any) -> None:
    here = pywren.runtime.version_str(sys.version_info)
    for version, key in pywren.wrenconfig.default_runtime.items():
        config = pywren.wrenconfig.default()
        config["runtime"]["s3_key"] = key
        if version == here:
            pywren.lambda_executor(config)
        else:
            with pytest.raises(Exception, match=f"python version: it is of {version}, this is {here}"):
                pywren.lambda_executor(config)


def test_the_configuration_comes_from_its_file(pywren: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrenconfig = pywren.wrenconfig
    assert wrenconfig.default()["s3"]["bucket"] == "pywren.data"
    home = Path(os.path.expanduser("~/.pywren_config"))
    home.write_text("s3: {bucket: of-home}\n")
    assert wrenconfig.default()["s3"]["bucket"] == "of-home"
    monkeypatch.chdir(tmp_path)
    Path(".pywren_config").write_text("s3: {bucket: of-here}\n")
    assert wrenconfig.default()["s3"]["bucket"] == "of-here"
    monkeypatch.setenv("PYWREN_CONFIG_FILE", str(tmp_path / "named"))
    (tmp_path / "named").write_text(
        "s3: {bucket: named, pywren_prefix: p}\naccount: {aws_region: eu-west-1}\nscheduler:\n"
    )
    config = wrenconfig.default()
    assert wrenconfig.extract_storage_config(config) == {
        "storage_backend": "s3", "storage_prefix": "p", "backend_config": {"bucket": "named", "region": "eu-west-1"},
    }  # fmt: skip
    for text, says in (
        ("s3: {bucket: BUCKET_NAME}", "change the default"),
        ("[1, 2]", "sections"),
        ("a: [", "no YAML"),
    ):
        (tmp_path / "named").write_text(text)
        with pytest.raises(InvalidArgumentError, match=says):
            wrenconfig.default()
    (tmp_path / "named").unlink()
    with pytest.raises(FileNotFoundError):
        wrenconfig.default()
    home.unlink()


def test_the_executors_log_as_theirs_do(pywren: Any, tmp_path: Path) -> None:
    program = """
    from daybreak.compat import pywren as table
    table.install()
    import pywren
    pwex = pywren.default_executor()
    print([future.result() for future in pwex.map(abs, range(2))])
    """
    (tmp_path / "program.py").write_text(textwrap.dedent(program))
    environment = {**os.environ, "PYWREN_LOGLEVEL": "INFO"}
    said = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert said.stdout == "[0, 1]\n" and "[INFO] pywren.executor: map" in said.stderr, said.stderr


# ---- the camp of 2018, in small


def test_the_introduction(pywren: Any, pwex: Any) -> None:
    def hello_world(param: int) -> str | None:
        return "Hello world!" if param == 42 else None

    assert pwex.call_async(hello_world, 42).result() == "Hello world!"
    parameters = list(range(10))
    futures = pwex.map(square, parameters)
    pywren.wait(futures)
    assert pywren.get_all_results(futures) == list(map(square, parameters))

    def matrix_of(seed: int) -> Any:
        np.random.seed(seed)
        return np.random.normal(0, 1, (64, 512)), np.random.normal(0, 1, 512), np.random.normal(0, 1, 512)

    def multiply_1(seed: int) -> Any:
        a, x, y = matrix_of(seed)
        return np.dot(a, x + y)

    def multiply_2(seed: int) -> Any:
        a, x, y = matrix_of(seed)
        return np.dot(a, x) + np.dot(a, y)

    one, two = pwex.map(multiply_1, range(12)), pwex.map(multiply_2, range(12))
    assert np.allclose(np.stack(pywren.get_all_results(one)), np.stack(pywren.get_all_results(two)))
    pd = pytest.importorskip("pandas")  # the data of their plot
    run = pd.DataFrame([future.run_status for future in one + two])
    invoked = pd.DataFrame([future.invoke_status for future in one + two])
    offset = run.host_submit_time.min()
    columns = [
        run.host_submit_time,
        run.start_time,
        run.start_time + run.setup_time,
        run.end_time,
        invoked.download_output_timestamp,
    ]
    assert all(np.isfinite(column - offset).all() and (column - offset >= -1).all() for column in columns)
    pywren.wrenlogging.default_config("ERROR")


def test_the_hyperparameters(pywren: Any, pwex: Any) -> None:
    import itertools

    pytest.importorskip("sklearn")
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    data = load_breast_cancer()
    folds = [train_test_split(data["data"], data["target"], test_size=0.4, random_state=i) for i in range(2)]
    choices = [{"C": 10.0, "kernel": "rbf"}, {"C": 1.0, "kernel": "rbf"}, {"C": 0.1, "kernel": "rbf"}]

    def train_model(args: Any) -> Any:
        (x_train, _, y_train, _), chosen = args

        pipeline = Pipeline(steps=[("standardize", StandardScaler()), ("learn", SVC(**chosen))])
        return pipeline.fit(x_train, y_train)

    args = list(itertools.product(folds, choices))
    fitted = pywren.get_all_results(pwex.map(train_model, args))
    scores = [model.score(fold[1], fold[3]) for model, (fold, _) in zip(fitted, args, strict=True)]
    assert len(scores) == 6 and min(scores) > 0.9


def test_the_pages_of_an_encyclopedia(pywren: Any, pwex: Any, tmp_path: Path) -> None:
    from collections import Counter

    titles = ["Main_Page", "Python", "Wren"]
    expected: Counter[str] = Counter()
    for part in range(6):
        lines = []
        for row in range(200):
            title, views = titles[(part * row) % 3], row % 7
            expected[title] += views
            lines.append(f"en {title} {views} 0\n")
        (tmp_path / f"part-{part:05d}").write_text("".join(lines))

    def count_views(path: str) -> Counter[str]:
        found: Counter[str] = Counter()
        for line in Path(path).read_text().splitlines():
            _, title, views, _ = line.split(" ")
            found[title] += int(views)
        return found

    futures = pwex.map(count_views, [str(path) for path in sorted(tmp_path.iterdir())])
    total = pwex.reduce(lambda counters: sum(counters, Counter()), futures).result()
    assert total == expected and total.most_common(1)[0][0] == expected.most_common(1)[0][0]


def test_a_matrix_in_shards(pywren: Any, pwex: Any, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    matrix, vector = random.normal(size=(40, 30)), random.normal(size=30)
    for shard in range(4):
        np.save(tmp_path / f"{shard}.npy", matrix[10 * shard : 10 * shard + 10])

    def multiply(shard: int) -> Any:
        return np.load(tmp_path / f"{shard}.npy") @ vector

    assert np.allclose(np.concatenate(pywren.get_all_results(pwex.map(multiply, range(4)))), matrix @ vector)

"""What went wrong for users of other trackers, file formats and command lines, by their public reports: how it goes here."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import enum
import fractions
import json
import math
import os
import struct
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from daybreak import track
from daybreak.base import errors, paths
from daybreak.store import Store
from daybreak.track import capture, reading
from daybreak.track.redact import redact, redact_text
from daybreak.track.screen import shown

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAYBREAK_TRACK_CAPTURE", "0")
    return Path(track.init(tmp_path / "track"))


def program(folder: Path, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "DAYBREAK_TRACK_DIR": str(folder), **environment}
    return subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, env=variables)


# -- numbers


def test_metrics_that_are_arrays_without_dimensions_go_in_one_by_one_and_together() -> None:  # mlflow 12870, 5739
    with track.run("r") as run:
        run.log({"x": np.array(1.0), "y": np.array([[2.0]])}, step=1)
        run.log("x", np.array(3.0), step=2)
    assert track.get(run.id).metrics == {"x": 3.0, "y": 2.0}


def test_what_is_no_number_is_named_once_and_not_dropped_without_a_word() -> None:
    with track.run("r", capture=False) as run:
        with pytest.warns(RuntimeWarning, match=r"'a' \(a str\), 'b' \(a list\), 'd/x' \(a NoneType\)\. Make it one"):
            run.log({"a": "1.5", "b": [1, 2], "d": {"x": None, "z": 2}, "n": 1})
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run.log({"a": "1.5", "n": 2})
        with pytest.warns(RuntimeWarning, match=r": 'e' \(a tuple\)\."):
            run.log({"a": "1.5", "e": (1,)})
        with warnings.catch_warnings(), pytest.raises(RuntimeWarning, match="'f'"):
            warnings.simplefilter("error")
            run.log({"f": "x", "n": 3})
    record = track.get(run.id)
    assert dict(record.metrics) == {
        "n": 3.0,
        "d/z": 2.0,
    }  # what is a number beside it is there, also when the warning raises
    assert record.history("n").values.tolist() == [1.0, 2.0, 3.0]


def test_a_step_that_is_a_whole_float_is_that_step() -> None:  # mlflow 15180, pytorch-lightning 20692, sacred 279
    with track.run("r") as run:
        for step in (50.0, np.float32(51), np.int16(52), np.array(53.0)):
            run.log("x", 1, step=step)
        with pytest.raises(errors.InvalidArgumentError, match=r"step=50\.5"):
            run.log("x", 1, step=50.5)
    assert track.get(run.id).history("x").steps.tolist() == [50, 51, 52, 53]


def test_a_parameter_that_is_a_number_is_compared_as_one() -> None:  # mlflow compares 2000 and 10000 as text; 2664
    for samples in (500, 2000, 10_000, 1_000_000, 1e6 + 1):
        track.run("r", params={"samples": samples}).finish()
    assert len(track.runs("params.samples >= 2000")) == 4 and len(track.runs("params.samples = 1000000")) == 1


class Loss(enum.Enum):
    OF_ONE = 0.25


class Meta:
    """A tensor of torch's meta device: it has a type and a shape, and no numbers."""

    dtype, shape = "float32", ()

    def item(self) -> float:
        raise RuntimeError("Tensor.item() cannot be called on meta tensors")

    def tolist(self) -> float:
        raise NotImplementedError("Cannot copy out of meta tensor; no data!")

    detach = cpu = lambda self: self

    def numpy(self, force: bool = False) -> Any:
        raise NotImplementedError("Cannot copy out of meta tensor; no data!")


def test_metric_that_others_dropped_or_turned_into_another_is_its_number() -> None:
    given = {
        "wandb 12116: NaN of 16 bits": np.float16("nan"),
        "wandb 12116: NaN of 32 bits": np.float32("nan"),
        "tensorflow 7554: a whole number of numpy": np.int64(202),
        "mlflow 5462: a flag of numpy": np.bool_(True),
        "mlflow 3752, 20969: a flag": False,
        "makeMoE 3: a loss without dimensions": np.array(5.25, "f4"),
        "axlearn 1173: an enum": Loss.OF_ONE,
        "of the other byte order": np.array([1.5], ">f8"),
        "a Decimal": decimal.Decimal("0.1"),
        "of Arrow": pa.scalar(2.5),
    }
    with track.run("r") as run, warnings.catch_warnings():
        warnings.simplefilter("error")
        run.log(given)
        for name, value in given.items():
            run.log(f"one/{name}", value)
    kept = track.get(run.id).metrics
    wanted = [math.nan, math.nan, 202.0, 1.0, 0.0, 5.25, 0.25, 1.5, 0.1, 2.5]
    np.testing.assert_array_equal([kept[name] for name in given], wanted)
    np.testing.assert_array_equal([kept[f"one/{name}"] for name in given], wanted)


def test_metrics_that_have_no_number_are_refused_by_name() -> None:  # of torch's meta device among them
    with track.run("r") as run:
        for name, value in {"meta": Meta(), "complex": 1j, "masked": np.ma.masked, "huge": 10**400}.items():
            for log in (lambda name=name, value=value: run.log(name, value), lambda n=name, v=value: run.log({n: v})):
                with pytest.raises(errors.InvalidArgumentError, match=f"^{name}"):
                    log()
        for log in (
            lambda: run.log("x", 1, step=Meta()),
            lambda: run.log_array("x", Meta()),
            lambda: run.log_array("x", [1], steps=Meta()),
            lambda: run.param("x", Meta()),
        ):
            with pytest.raises(errors.InvalidArgumentError, match="Meta without numbers to read: .*meta tensor"):
                log()
        with pytest.raises(errors.InvalidArgumentError, match=r"name is text, 'a/\\ud800' is no Unicode"):
            run.log({"a": {"\ud800": 1}})  # dvc 5083: a name of the file system


def test_steps_are_whole_and_of_64_bits() -> (
    None
):  # track-mjx 32, mujoco_playground 48, mlflow 1443, tensorflow 26407, pytorch 65588
    with track.run("r") as run:
        for step in (np.int32(2**31 - 1), np.int64(2**31), np.uint64(2**40), 2**62, decimal.Decimal(2**62 + 1)):
            run.log("x", 1, step=step)
        for step in (np.float64(3.1), math.nan, True, "3", 2**63, np.uint64(2**63)):
            with pytest.raises(errors.InvalidArgumentError, match="^step="):
                run.log("x", 1, step=step)
    assert track.get(run.id).history("x").steps.tolist() == [2**31 - 1, 2**31, 2**40, 2**62, 2**62 + 1]


def test_parameters_of_any_library_are_found_as_the_numbers_that_they_are() -> None:
    config: dict[str, Any] = {
        "wandb 1184": np.array([2.0], np.float32),
        "wandb 9487": {"depth": np.int32(3)},
        "exact": decimal.Decimal("0.1"),
        "long": decimal.Decimal("0.10000000000000000000001"),
        "half": fractions.Fraction(1, 2),
        "third": fractions.Fraction(1, 3),
        "opt": None,
    }
    with track.run("r", params=config) as run:
        pass
    assert track.get(run.id).params == {
        "wandb 1184": [2.0],
        "wandb 9487": {"depth": 3},
        "exact": 0.1,
        "long": "0.10000000000000000000001",
        "half": 0.5,
        "third": "1/3",
        "opt": None,
    }
    for where in ("params.exact = 0.1", "params.long like '0.1%'", "params.opt is null", "not params.exact > 1"):
        assert len(track.runs(where)) == 1, where
    assert not track.runs("params.opt is not null") and not track.runs("params.opt = 1 or not params.opt = 1")


def test_keys_of_a_parameter_are_text_as_in_json_or_are_refused() -> None:
    # wandb client-ng 33: keys that are no text; Sequoia 155: a resumed run takes them for other ones
    schedule = {0: {"level": 0}, np.int64(200_000): {None: 4}, Loss.OF_ONE: 1, True: 2, "é": 3}
    with track.run("r", params={"schedule": schedule}) as run:
        run.param("schedule", schedule)  # the same again
    wanted = {"0": {"level": 0}, "200000": {"null": 4}, "0.25": 1, "true": 2, "é": 3}
    assert track.get(run.id).params["schedule"] == wanted
    with track.run(resume=run.id) as run:
        run.param("schedule", wanted)
        with pytest.raises(errors.InvalidArgumentError, match=r"two keys that are '1' in JSON"):
            run.param("x", {1: 1, "1": 2})
        with pytest.raises(errors.InvalidArgumentError, match=r"'x' has the key \(1, 2\) \(a tuple\)"):
            run.param("x", [{(1, 2): 3}])


# -- names


NAMES = {
    "mlflow 4785, 249: a space": "train times",
    "mlflow 4879: a colon": "sklearn:model",
    "mlflow 21269, 21085: per cent": "loss%20step%26",
    "mlflow 10823, 9425: at": "MAP@k",
    "mlflow 9425: brackets": "huber_loss[delta=1.3]",
    "mlflow 7807: a comma": "f1,macro",
    "mlflow 1042: points and dashes": "cat-dog.metric",
    "mlflow 4199: equals and plus": "E=-+~.",
    "wandb 5416: a star and a question": "a*b?",
    "static-serve 13: composed": "e\u0301😀",
    "vllm-project speculators 623: quotes": 'team\'s "run"',
    "a word of the language": "and",
}


@pytest.mark.parametrize("report", NAMES)
def test_name_that_others_refused_or_mangled_is_kept_found_and_exported(tmp_path: Path, report: str) -> None:
    name = NAMES[report]
    with track.run(name, params={name: 1}, tags={name: "v"}) as run:
        run.log(name, 2.0)
        run.artifact(name, b"x")
    record = track.get(run.id)
    assert (record.name, record.params, record.tags, dict(record.metrics)) == (
        name,
        {name: 1},
        {name: "v"},
        {name: 2.0},
    )
    quoted = name.replace("'", "''")
    for where in (f"params.`{name}` = 1", f"tags.`{name}` = 'v'", f"metrics.`{name}` > 1", f"name = '{quoted}'"):
        assert [found.id for found in track.runs(where)] == [run.id]
    track.export(run.id, tmp_path / "out")
    assert (tmp_path / "out" / "artifacts" / name).read_bytes() == b"x"


@pytest.mark.parametrize(
    ("where", "words"),
    [  # mlflow 18491, 1042, 1099, 11191
        (
            "metrics.avg model score > 0.5",
            "position 12: .* a name of other characters stands in backticks, metrics.`such",
        ),
        ('params."cat-dog" = "1"', "position 7: .* in backticks, params.`such a name`"),
        ("metrics.acc@1 > 1", "position 11: '@' means nothing here: .* backticks, metrics.`such a name`"),
        ("attributes.status = 'finished'", "here it is status"),
        ("status = 'FINISHED'", "a status is one of 'running'"),
        (r"tags.team = 'team\'s'", "this quote is never closed"),
    ],
)
def test_question_as_it_is_written_elsewhere_says_how_it_is_written_here(where: str, words: str) -> None:
    with pytest.raises(errors.InvalidArgumentError, match=words):
        track.runs(where)


# -- endings


def test_a_run_whose_program_fails_is_not_finished(folder: Path) -> None:  # mlflow 5963, kedro-mlflow 121
    program(folder, "from daybreak import track\ntrack.run('r')\n1 / 0")
    (record,) = track.runs()
    assert record.status == "failed" and "ZeroDivisionError" in record.reason


def test_an_exit_without_a_word_is_a_good_end_with_and_without_a_block(folder: Path) -> None:  # mlflow 3932
    program(folder, "from daybreak import track\ntrack.run('r')\nexit()")
    program(folder, "from daybreak import track\nwith track.run('r'):\n    exit()")
    assert [record.status for record in track.runs()] == ["finished", "finished"]


class NoWords(Exception):
    def __str__(self) -> str:
        raise KeyError("words")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NoWords(), "NoWords: its str() raises KeyError"),  # the error was lost to that of its words
        (ValueError("\ud800\0"), "ValueError: \\ud800\0"),
        (ExceptionGroup("two", [ValueError(), KeyError()]), "ExceptionGroup: two (2 sub-exceptions)"),
        (
            KeyboardInterrupt(),
            "KeyboardInterrupt",
        ),  # apify-sdk 1048: what is no error of the program's stays what it is
        (SystemExit(True), "exit status 1"),
        (SystemExit(5), "exit status 5"),
        (asyncio.CancelledError(), "CancelledError"),
    ],
)
def test_error_that_leaves_a_block_goes_on_and_is_the_reason(error: BaseException, reason: str) -> None:
    with pytest.raises(type(error)) as caught, track.run("r") as run:
        raise error
    assert caught.value is error and (track.get(run.id).status, track.get(run.id).reason) == ("failed", reason)


@pytest.mark.parametrize(
    ("ends", "status"),
    [  # ray 18890, 50004, 23566: an end by a signal, or past Python's own, is nobody's success
        ("os._exit(0)", "killed"),
        ("os.abort()", "killed"),
        ("os.execv('/bin/true', ['true'])", "killed"),
        ("atexit.register(lambda: os._exit(3))", "killed"),
        ("threading.Thread(target=lambda: sys.exit(3)).start()", "finished"),
        ("atexit.register(lambda: run.log('x', 1))", "finished"),
    ],
)
def test_run_ends_as_its_process_does_however_that_is(folder: Path, ends: str, status: str) -> None:
    program(folder, f"import atexit, os, sys, threading\nfrom daybreak import track\nrun = track.run('r')\n{ends}")
    assert [record.status for record in track.runs()] == [status]


def test_sigterm_leaves_a_killed_run(folder: Path) -> None:  # Megatron-Bridge 3822
    program(folder, "import os\nfrom daybreak import track\ntrack.run('r')\nos.kill(os.getpid(), 15)")
    assert track.runs()[0].status == "killed"


# -- output


def test_a_bar_that_never_ended_its_line_is_kept_in_its_last_state() -> None:  # wandb 9425, 1265
    kept: list[str] = []
    output = capture.Output(lambda stream, text: kept.append(text))
    for i in range(1001):
        output.add("stderr", f"\r{i / 10:3.0f}%|{'#' * (i // 100):10}| {i}/1000 [00:10<00:00, 99.9it/s]")
    output.stop()
    assert kept == ["100%|##########| 1000/1000 [00:10<00:00, 99.9it/s]\n"]


def test_bars_below_each_other_are_kept_in_their_last_states() -> None:  # wandb 1265, client-ng 152
    kept: list[str] = []
    output = capture.Output(lambda stream, text: kept.append(text))
    for i in range(4):  # as tqdm draws an inner bar: down a line, and up again
        output.add("stderr", f"\router {i}/3")
        for j in range(4):
            output.add("stderr", f"\n\rinner {j}/3\x1b[A")
    output.add("stderr", "\n\n")
    output.stop()
    assert shown("".join(kept)).rstrip("\n") == "outer 3/3\ninner 3/3"


def test_lines_of_any_ending_are_whole() -> None:  # yolov5 2685
    kept: list[str] = []
    output = capture.Output(lambda stream, text: kept.append(text))
    output.add("stdout", "one\r\ntwo\r\r\n\x1b[1mthree\x1b[0m\n 1%\r")
    output.add("stdout", "100%\r\nfour")
    output.stop()
    assert kept == ["one\n", "two\n", "three\n", "100%\n", "four\n"]


# -- secrets


def test_keys_in_configurations_headers_and_queries_are_kept_out() -> None:
    # rocketride 361, cli_debrid 488, Obsyd 97, zeekr_ev_api 41, mcp-gateway-registry 1405
    config: dict[str, Any] = {
        "Plex": {"token": "T0"},
        "Debrid Provider": {"api_key": "T0", "limits": {"max_tokens": 5}},
    }
    kept = json.dumps(redact("config", config))
    assert "T0" not in kept and '"max_tokens": 5' in kept
    text = f"{config} GET /api?securityToken=T0-36&documentType=A09 authorization: Bearer T0 X-HMAC-ACCESS-KEY: T0 accessToken=T0"
    assert "T0" not in redact_text(text) and "documentType" not in redact_text("x=1")


@pytest.mark.parametrize(
    "name",
    [
        "DIFY_KEY",  # CherryHQ cherry-studio 18650
        "OPENROUTER_KEY",  # gotgenes pi-packages 920
        "OPENAI_COMPATIBLE_API_KEY",  # langchain-ai openwiki 245
        "DASHBOARD_AUTH_PW",  # p2pool-starter-stack pithead 1621
        "SECRET_PASSWORD",  # gitpod 12924
        "MISTRAL_API_KEY",  # gemini-cli 22225
        "openai_key", "wandb_key", "sendgridKey", "DB_PW", "admin_pw", "dbpass", "userpass", "privkey", "csrftoken", "SENTRY_DSN",
        "DISCORD_WEBHOOK",
    ],
)  # fmt: skip
def test_secret_that_others_wrote_down_is_kept_out(name: str) -> None:
    assert "T0" not in json.dumps(redact("config", {name: "T0", "x": {name: {"y": "T0"}}}))
    assert "T0" not in redact_text(f"{name}=T0 run") and "T0" not in redact_text(f"{{'{name}': 'T0'}}")
    for pair in (
        {"name": name, "value": "T0"},
        {"key": name, "value": "T0"},
    ):  # gitpod 12924: the name was hidden, not the value
        kept = redact("env", [pair, {"name": "SHELL", "value": "zsh"}])
        assert kept == [{**pair, "value": "[redacted]"}, {"name": "SHELL", "value": "zsh"}]


@pytest.mark.parametrize("head", ["Authorization: Bearer T0", "authorization: token T0", "AUTHORIZATION: BASIC T0"])
def test_header_of_authorization_is_kept_out_in_any_case(head: str) -> None:
    assert "T0" not in redact_text(f"> {head}\n< 200")


def test_what_only_looks_like_a_secret_stays_clear() -> None:
    clear = {
        "pw_conv": 3,
        "low_pass": 1,
        "google_model": "x",
        "openai_base": "x",
        "together": 1,
        "key": "k",
        "name": "n",
        "value": "v",
    }
    assert redact("config", clear) == clear
    assert redact("env", [{"name": "lr", "value": 0.1}, {"key": "tokens", "value": 5}])[1]["value"] == 5


class Settings(NamedTuple):
    password: str
    depth: int
    db: Any


def test_secrets_of_a_named_tuple_and_of_kinds_of_lists_are_kept_out() -> None:
    class Many(list[Any]):
        pass

    given = {
        "settings": Settings("T0", 3, [{"token": "T0"}]),
        "all": Many([{"api_key": "T0"}, Settings("T0", 1, None)]),
    }
    with track.run("r", params=given) as run:
        pass
    kept = track.get(run.id).params
    assert kept == {
        "settings": ["[redacted]", 3, [{"token": "[redacted]"}]], "all": [{"api_key": "[redacted]"}, ["[redacted]", 1, None]],
    }  # fmt: skip


# -- tables and files


@pytest.mark.parametrize("where", ["index", "column"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "+01:00", datetime.UTC])
def test_a_time_zone_survives_in_the_index_too(tmp_path: Path, where: str, zone: Any) -> None:
    # pandas 35997, 64978, fastparquet 433, 831
    moments = pd.date_range("2024-01-01", periods=5, freq="D", tz=zone)
    frame = pd.DataFrame({"value": range(5)}, index=moments) if where == "index" else pd.DataFrame({"t": moments})
    store = Store(tmp_path / "store")
    pd.testing.assert_frame_equal(store.load(store.put(frame).id), frame)


def test_a_tensor_whose_shape_claims_more_than_its_bytes_is_no_tensor(tmp_path: Path) -> None:
    # ds4 543, runai-model-streamer 121
    store = Store(tmp_path / "store")
    ids = []
    for fill in (b"a", b"b"):
        header = json.dumps({"w": {"dtype": "F16", "shape": [128, 128], "data_offsets": [0, 127]}}).encode()
        ids.append(store.put(struct.pack("<Q", len(header)) + header + fill * 127).id)
    assert store.tensors(ids[0]) == () and not store.diff(*ids).equal


def test_a_name_near_the_limit_is_written_and_leaves_nothing_else(tmp_path: Path) -> None:
    # bmad-loop 595, write-file-atomic 63
    (tmp_path / "out").mkdir()
    for size in (240, 242, 243, 249, 251, 255):
        paths.write(tmp_path / "out" / ("n" * size), b"x")
    assert len(list((tmp_path / "out").iterdir())) == 6


def test_a_link_out_of_a_folder_that_may_not_be_written_is_followed(tmp_path: Path) -> None:
    # write-file-atomic 65, terminal 10787
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "settings").symlink_to("../real/settings")
    (tmp_path / "real").mkdir()
    before = sorted(os.listdir(tmp_path / "links"))
    (tmp_path / "links").chmod(0o555)
    paths.write(tmp_path / "links" / "settings", b"1")
    paths.write(tmp_path / "links" / "settings", b"2")
    assert (tmp_path / "real" / "settings").read_bytes() == b"2"
    assert sorted(os.listdir(tmp_path / "links")) == before and os.listdir(tmp_path / "real") == ["settings"]


def test_file_that_is_not_there_is_the_error_that_people_catch(tmp_path: Path) -> None:
    with track.run("r") as run:
        for missing in (tmp_path / "none", tmp_path / "none" / "none"):
            with pytest.raises(FileNotFoundError) as caught:
                run.artifact("x", missing)
            assert isinstance(caught.value, errors.NotFoundError)
            assert (caught.value.errno, caught.value.filename) == (2, str(missing)) and str(missing) in str(
                caught.value
            )
        (tmp_path / "broken").symlink_to("nowhere")
        with pytest.raises(FileNotFoundError):
            run.artifact("x", tmp_path / "broken")
        kept = run.artifact("x", b"x")
    store = reading.store(str(track.root()))
    with pytest.raises(FileNotFoundError):
        store.write_to(kept.id, tmp_path / "none" / "none")
    with pytest.raises(errors.NotFoundError, match="no artifact") as lost:
        store.write_to("0" * 64, tmp_path / "out")
    assert not isinstance(lost.value, FileNotFoundError)


def test_what_is_no_mapping_or_no_query_is_refused_by_name() -> None:
    with track.run("r") as run:
        for meta in ([1], "text", 5):
            with pytest.raises(errors.InvalidArgumentError, match="^meta are a dict, not a"):
                run.artifact("x", b"x", meta=meta)  # type: ignore[arg-type]
        with pytest.raises(errors.InvalidArgumentError, match=r"^meta of artifact 'x' has the key \(1,\)"):
            run.artifact("x", b"x", meta={(1,): 2})  # type: ignore[dict-item]
    for query in (None, 5, "select '\ud800'"):
        with pytest.raises(errors.InvalidArgumentError, match="^the query (is a str|holds text)"):
            track.sql(query)  # type: ignore[arg-type]


# -- places and code


def test_the_root_does_not_follow_the_working_directory_nor_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # ludwig 2927, tesseract-core 319, hyrax 693, mlflow 3317
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    track.init("~/results/mlruns")
    (tmp_path / "job").mkdir()

    def work() -> None:
        os.chdir(tmp_path / "job")
        track.run("r").finish()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(track.runs()) == 1 and os.listdir(tmp_path / "job") == []


def test_a_repository_without_origin_or_with_new_files_alone_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # labml 65, clearml 287, 427
    root = tmp_path / "repository"
    root.mkdir()
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=root, check=True)
    subprocess.run(["git", "remote", "add", "upstream", "ssh://nowhere.invalid/x"], cwd=root, check=True)
    (root / ("long" * 60 + ".py")).write_text("x = 1\n")
    monkeypatch.chdir(root)
    with track.run("r", capture=True) as run:
        pass
    git = track.get(run.id).captured["git"]
    listed = subprocess.run(
        ["git", "ls-tree", "--name-only", git["ref"]], cwd=root, capture_output=True, text=True
    ).stdout
    assert listed.strip() == "long" * 60 + ".py" and git["commit"] is None


def test_an_unpacked_copy_of_a_repository_starts_none_of_its_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # BossConsole 1420
    root, mark = tmp_path / "repository", tmp_path / "mark"
    root.mkdir()
    for command in ("init -q", "config user.name a", "config user.email a@b"):
        subprocess.run(["git", *command.split()], cwd=root, check=True)
    (root / ".gitattributes").write_text("* filter=x\n")
    (root / "a").write_text("a\n")
    for command in (["add", "."], ["commit", "-qm", "x"], ["config", "core.fsmonitor", f"touch {mark}; false"],
                    ["config", "filter.x.clean", f"touch {mark}; cat"]):  # fmt: skip
        subprocess.run(["git", *command], cwd=root, check=True)
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", root, copy], check=True)  # new inodes and times: git must look at every file
    monkeypatch.chdir(copy)
    kept = capture.capture_git("run")
    assert kept is not None and not kept["dirty"] and not mark.exists()

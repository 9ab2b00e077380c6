"""Paths that a user gives, and the files that they name."""

import os
import pathlib
import subprocess
import sys
import threading
import time

import pytest

from daybreak.base import errors, paths


def test_a_path_is_absolute_from_the_moment_it_is_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept = paths.given("runs")
    monkeypatch.chdir("/")
    assert kept == str(tmp_path / "runs")


def test_the_tilde_is_the_home_and_never_a_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert paths.given("~") == str(tmp_path / "home")
    assert paths.given(pathlib.Path("~/runs")) == paths.given(b"~/runs") == str(tmp_path / "home" / "runs")
    assert paths.given("./~/runs") == str(tmp_path / "~" / "runs")
    with pytest.raises(errors.InvalidArgumentError, match=r"'\./~nobody_here/x'"):
        paths.given("~nobody_here/x")
    (tmp_path / "~$report").write_text("x")
    assert paths.given("~$report") == str(tmp_path / "~$report")


@pytest.mark.parametrize(
    "name", ["plain", "ümlaut 你好", os.fsdecode(b"latin-1 \xe9\xff"), "n" * 255, "ü" * 127, " lead", "a\nb"]
)
def test_any_name_that_a_file_may_have_is_written_and_read(tmp_path, name):
    for given in (tmp_path / name, str(tmp_path / name), os.fsencode(tmp_path / name)):
        paths.write(given, b"bytes")
        assert paths.read(given, 10) == b"bytes"
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "empty"),
        ("a\0b", "zero byte"),
        ("s3://bucket/x", "URL"),
        ("file:///tmp/x", "URL"),
        ("http://localhost:5000", "URL"),
        ("sqlite:///x.db", "URL"),
    ],
)
def test_what_names_no_file_of_this_machine_is_refused(path, words):
    with pytest.raises(errors.InvalidArgumentError, match=words):
        paths.given(path, "root")


@pytest.mark.parametrize("path", [3, None, 1.5, ["x"]])
def test_what_is_no_path_is_a_type_error_that_says_what_is_one(path):
    with pytest.raises(TypeError, match="root: a str, bytes or os.PathLike expected"):
        paths.given(path, "root")


def test_a_dot_dot_behind_a_link_is_what_the_kernel_makes_of_it(tmp_path):
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")
    assert paths.given(tmp_path / "link" / ".." / "x") == str(tmp_path / "far" / "x")


def test_a_missing_file_is_the_built_in_error_too(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        paths.read(tmp_path / "no", 10)
    assert isinstance(caught.value, errors.NotFoundError)
    assert caught.value.filename == str(tmp_path / "no") and caught.value.errno == 2
    with pytest.raises(FileNotFoundError):
        paths.write(tmp_path / "no" / "x", b"")


def test_a_silent_pipe_ends_and_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="nobody wrote for 5 s"):
        paths.read(tmp_path / "pipe", 10)
    assert time.monotonic() - began < 20
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(b"late"))
    writer.start()
    assert paths.read(tmp_path / "pipe", 10) == b"late"
    writer.join()


def test_standard_output_is_written_into_wherever_it_goes(tmp_path):
    program = "from daybreak.base import paths; print('one', flush=True); paths.write('/dev/stdout', b'two\\n'); print('three')"
    piped = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert piped.stdout == b"one\ntwo\nthree\n"
    with (tmp_path / "out").open("wb") as out:
        subprocess.run([sys.executable, "-c", program], stdout=out, check=True)
    assert (tmp_path / "out").read_bytes() == b"one\ntwo\nthree\n"


def test_a_name_beyond_ascii_is_the_same_file_in_a_locale_that_has_ascii_alone(tmp_path):
    text = r"paths.write('\u00fcber/\u4f60', b'x'); print(len(paths.read(b'\xc3\xbcber/\xe4\xbd\xa0')))"
    program = f"from daybreak.base import paths; {text}"
    (tmp_path / "über").mkdir()
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.stdout == "1\n", done.stderr
    assert (tmp_path / "über" / "你").read_bytes() == b"x"

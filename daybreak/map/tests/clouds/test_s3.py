"""The seam of S3-compatible stores, against a real server. `./dev test --suite=map_clouds`."""

from __future__ import annotations

import pickle
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("boto3", reason="needs boto3 and an S3 server: ./dev test --suite=map_clouds")

import numpy as np
import servers

from daybreak.base import errors
from daybreak.map.storage import ObjectInfo, S3Store, parsed
from daybreak.map.storage import s3 as module


@pytest.fixture(scope="module")
def store(s3: str) -> S3Store:
    made = S3Store("daybreak-test", timeout_s=20)
    made.make_bucket()
    made.make_bucket()
    return made


def test_what_is_put_is_listed_read_in_ranges_and_deleted(store: S3Store) -> None:
    data = bytes(range(256)) * 8
    etag = store.put("a/one", data)
    assert store.info("a/one") == ObjectInfo("a/one", 2048, etag)
    assert store.get("a/one") == data
    for start, stop in ((0, 1), (0, 2048), (100, 200), (2047, 2048), (2000, 9999), (5, None), (0, 0), (7, 3)):
        assert store.get("a/one", start, stop) == data[start:stop], (start, stop)
    assert store.get("a/one", 2048) == store.get("a/one", 5000, 6000) == b""
    store.put("a/empty", b"")
    assert store.get("a/empty") == b"" and store.info("a/empty").size == 0
    assert [each.key for each in store.list("a/")] == ["a/empty", "a/one"]
    assert store.delete(["a/one", "a/empty", "a/never"]) == 3
    assert list(store.list("a/")) == []


def test_listings_have_pages_and_deletions_parts(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [f"many/{i:04d}" for i in range(1005)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put(key, b"x"), keys))
    assert [each.key for each in store.list("many/")] == keys
    monkeypatch.setattr(module, "_DELETED_AT_ONCE", 400)
    assert store.delete(keys) == 1005
    assert list(store.list("many/")) == []


@pytest.mark.parametrize("key", ["ünïcode/日本", "with space & + % ? #.txt", "/".join(["x" * 204] * 5), "tab\there"])
def test_keys_of_all_kinds_come_back(store: S3Store, key: str) -> None:
    store.put(key, b"k")
    assert store.get(key) == b"k" and key in [each.key for each in store.list(key[:1])]
    store.delete(key)


def test_arrays_of_all_kinds_are_bytes(store: S3Store) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    for value in (array, bytearray(b"ab"), memoryview(b"ab"), np.zeros((0, 3)), array.astype(complex)):
        store.put("arrays", value)
        assert store.get("arrays") == bytes(memoryview(value).tobytes())
    with pytest.raises(errors.InvalidArgumentError, match="not contiguous"):
        store.put("arrays", array.T)
    with pytest.raises(TypeError):
        store.put("arrays", "text")
    store.delete("arrays")


def test_what_is_not_there_is_said_by_its_name(store: S3Store) -> None:
    with pytest.raises(errors.NotFoundError, match="get s3://daybreak-test/nothing: NoSuchKey"):
        store.get("nothing")
    with pytest.raises(errors.NotFoundError, match="info s3://daybreak-test/nothing"):
        store.info("nothing")
    with pytest.raises(errors.NotFoundError):
        store.get("nothing", 3, 3)
    with pytest.raises(errors.NotFoundError, match="s3://no-such-bucket/"):
        list(S3Store("no-such-bucket").list())


def test_wrong_credentials_are_said_and_never_shown(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = (("unknown-access-key", servers.SECRET), (servers.ACCESS, "wrong-secret-key"))
    for access, secret in secrets:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", access)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        store = S3Store("daybreak-test")
        with pytest.raises((errors.UnauthenticatedError, errors.PermissionDeniedError)) as caught:
            store.get("x")
        text = f"{caught.value!r} {store!r} {caught.value.__cause__} {pickle.dumps(store)!r}"
        assert access not in text and secret not in text
        assert "AWS_ACCESS_KEY_ID" in text or "permission" in text


def test_no_credentials_are_said(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(errors.UnauthenticatedError, match="no credentials: set AWS_ACCESS_KEY_ID"):
        S3Store("daybreak-test").get("x")


def test_nobody_there_and_nobody_who_answers_are_two_errors(s3: str) -> None:
    [port] = servers.free_ports(1)
    with pytest.raises(errors.UnavailableError, match="is the store there"):
        S3Store("b", endpoint=f"http://127.0.0.1:{port}", attempts=1).get("x")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = S3Store("b", endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}", attempts=1, timeout_s=0.3)
        with pytest.raises(errors.DeadlineExceededError, match="timeout_s=0.3"):
            store.get("x")


def _answering(answers: list[bytes]) -> tuple[socket.socket, list[bytes]]:
    """A server that gives these, one to each request, and then closes."""
    server, asked = socket.create_server(("127.0.0.1", 0)), []

    def serve() -> None:
        for answer in answers:
            connection, _ = server.accept()
            with connection:
                asked.append(connection.recv(65536))
                connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    return server, asked


def test_an_answer_that_is_cut_short_is_asked_for_again_then_refused(s3: str) -> None:
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
    server, asked = _answering([whole[:-2], whole[:-5], whole])
    with server:
        store = S3Store("b", endpoint=f"http://127.0.0.1:{server.getsockname()[1]}", attempts=3)
        assert store.get("k") == b"hello" and len(asked) == 3
    server, _ = _answering([whole[:-2]] * 2)
    with server:
        store = S3Store("b", endpoint=f"http://127.0.0.1:{server.getsockname()[1]}", attempts=2)
        with pytest.raises(errors.DataLossError, match="in each of 2 attempts"):
            store.get("k")


def test_a_busy_store_is_asked_again(s3: str) -> None:
    busy = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
    server, asked = _answering([busy, whole])
    with server:
        assert S3Store("b", endpoint=f"http://127.0.0.1:{server.getsockname()[1]}").get("k") == b"ok"
    assert len(asked) == 2


def test_a_store_that_knows_no_ranges_is_cut_here(s3: str) -> None:
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
    server, _ = _answering([whole])
    with server:
        assert S3Store("b", endpoint=f"http://127.0.0.1:{server.getsockname()[1]}").get("k", 1, 3) == b"el"


def test_a_store_pickles_without_credentials(store: S3Store) -> None:
    store.put("pickled", b"1")
    again = pickle.loads(pickle.dumps(store))
    assert again.get("pickled") == b"1" and again.timeout_s == store.timeout_s
    store.delete("pickled")


def test_urls_and_names_that_are_none_are_refused() -> None:
    assert parsed("s3://b/k/x") == ("b", "k/x") and parsed("s3://b") == ("b", "")
    for url in ("http://b/k", "s3://", "s3:///k", "s3://user:secret@b/k", "s3://b:80/k", Path("s3://b/k")):
        with pytest.raises(errors.InvalidArgumentError) as caught:
            parsed(url)  # type: ignore[arg-type]
        assert "secret" not in str(caught.value)
    for endpoint in ("127.0.0.1:80", "ftp://x", "http://user:secret@host", ""):
        with pytest.raises(errors.InvalidArgumentError) as caught:
            S3Store("b", endpoint=endpoint)
        assert "secret" not in str(caught.value)
    for key in ("", "x" * 1025, "\ud800"):
        with pytest.raises(errors.InvalidArgumentError):
            S3Store("b").put(key, b"")
    with pytest.raises(errors.InvalidArgumentError):
        S3Store("b/c")

"""What doctor and clean find, against a real S3 server. `./dev test --suite=map_clouds`."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lithops", reason="needs Lithops: ./dev test --suite=map_clouds")

import servers
from test_inside_lithops import s3_section

from daybreak.map.clouds import clean, doctor
from daybreak.map.lithops_backend import channel
from daybreak.map.storage import S3Store


def on_s3(endpoint: str) -> dict[str, Any]:
    return {"lithops": {"backend": "localhost", "storage": "minio"}, "minio": s3_section(endpoint)}


def test_nothing_is_missing_where_all_is_there(s3: str) -> None:
    found = doctor.examine("localhost", on_s3(s3))
    assert {each.state for each in found} == {"ok"}, found
    assert any("'lithops-test' answers" in each.text for each in found)
    assert servers.SECRET not in repr(found) and servers.ACCESS not in repr(found)


def test_a_storage_that_refuses_is_missing_and_no_secret_is_said(s3: str) -> None:
    config = on_s3(s3)
    config["minio"]["secret_access_key"] = "wrong-and-secret"
    found = doctor.examine("localhost", config)
    assert [each.subject for each in found if each.state == "missing"] == ["storage"]
    assert "wrong-and-secret" not in repr(found)


def test_what_is_not_set_is_named_with_its_key() -> None:
    found = doctor.examine("singularity", {"lithops": {"backend": "singularity", "storage": "redis"}})
    missing = {each.subject: each.way for each in found if each.state == "missing"}
    assert "rabbitmq.amqp_url" in missing and "rabbitmq: {amqp_url: ...}" in missing["rabbitmq.amqp_url"]
    assert [each.subject for each in doctor.examine("moon") if each.state == "missing"] == ["back end"]


def test_what_was_left_is_listed_then_deleted_and_the_rest_stays(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    config, store = on_s3(s3), S3Store("lithops-test")
    for key in ("lithops.jobs/a-0-M000/status.json", "daybreak.packages/x.zip", "mine/data"):
        store.put(key, b"12345")
    here = tmp_path / f"daybreak-modules-{__import__('os').geteuid()}"
    (here / "digest").mkdir(parents=True)
    receiver = channel.Receiver("in-use")
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(channel.place("gone"))
    found = clean.find(config)
    kinds = {(each.kind, each.where) for each in found}
    assert ("object", "lithops.jobs/a-0-M000/status.json") in kinds and ("object", "daybreak.packages/x.zip") in kinds
    assert ("folder", str(here)) in kinds and ("socket", channel.place("gone")) in kinds
    assert not any("mine" in where or where == receiver.path for _, where in kinds)
    assert here.is_dir()  # listing has changed nothing
    assert clean.remove(found, config) == []
    assert clean.find(config) == [] and store.get("mine/data") == b"12345" and Path(receiver.path).exists()
    receiver.close()
    store.delete("mine/data")

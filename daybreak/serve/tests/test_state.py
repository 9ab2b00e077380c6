"""The state directory: whole after a crash at any moment, private, held by one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from daybreak.base import errors
from daybreak.serve import state as states
from daybreak.serve.state import App, Blob, Model, State, Store, Version

GOLDEN = Path(__file__).parent / "golden" / "state.json"


def example() -> State:
    """With every field used, as docs/formats/serve-state.md shows it."""
    blob = Blob("ab" * 32, "policy", 1234, "daybreak.rl.policy:Policy")
    first = Version("doubles", labels=["v1"], replicas=2, blob=blob, lineage={"run": "r1", "artifact": "a1"})
    second = Version(
        "doubles", container_name="c-pong:2", model_data_path="/m", batch_size=8, batch="array", output="str"
    )
    placed = Version("doubles", registered=False, replicas=1, blob=Blob("cd" * 32, "pickle", 9))
    return State(
        {"pong": App("doubles", "0", 100_000, gated=True, models=["pong"]), "idle": App("strings", None, 1, "503")},
        {"pong": Model("2", ["1"], {"1": first, "2": second, "3": placed})},
    )


def test_the_state_reads_as_it_was_written_and_its_bytes_do_not_change() -> None:
    assert State.from_json(example().to_json()) == example()
    assert example().to_json() == GOLDEN.read_bytes()


def _damaged() -> list[tuple[str, Any]]:
    def with_(change: Any) -> bytes:
        found = json.loads(example().to_json())
        change(found)
        return json.dumps(found).encode()

    def model(found: Any) -> Any:
        return found["models"]["pong"]

    return [
        ("nothing", b""),
        ("half", example().to_json()[:200]),
        ("a list", b"[]"),
        ("nested", b"[" * 100_000),
        ("another format", with_(lambda s: s.update(format="x"))),
        ("a later version", with_(lambda s: s.update(version=2))),
        ("no apps", with_(lambda s: s.pop("apps"))),
        ("a bad name", with_(lambda s: s["apps"].update({"../x": s["apps"]["pong"]}))),
        ("an unknown field", with_(lambda s: s["apps"]["pong"].update(more=1))),
        ("a missing field", with_(lambda s: s["apps"]["pong"].pop("slo_us"))),
        ("a bad deadline", with_(lambda s: s["apps"]["pong"].update(slo_us=0))),
        ("a bad type", with_(lambda s: s["apps"]["pong"].update(input_type="d"))),
        ("gated by a word", with_(lambda s: s["apps"]["pong"].update(gated="yes"))),
        ("a link to nothing", with_(lambda s: s["apps"]["pong"].update(models=["x"]))),
        ("current is nothing", with_(lambda s: model(s).update(current="9"))),
        ("history is nothing", with_(lambda s: model(s).update(history=["9"]))),
        ("a bad batch", with_(lambda s: model(s)["versions"]["1"].update(batch_size=0))),
        ("a bad hash", with_(lambda s: model(s)["versions"]["1"]["blob"].update(sha256="../../etc/passwd"))),
        ("a bad kind", with_(lambda s: model(s)["versions"]["1"]["blob"].update(kind="exe"))),
        ("too many replicas", with_(lambda s: model(s)["versions"]["1"].update(replicas=10**9))),
    ]


@pytest.mark.parametrize("data", [data for _, data in _damaged()], ids=[name for name, _ in _damaged()])
def test_a_damaged_state_is_refused_and_not_guessed_at(data: bytes) -> None:
    with pytest.raises(errors.DataLossError, match="the server's state"):
        State.from_json(data)


def test_the_directory_is_private_and_its_token_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    store.save(example())
    token = store.token
    store.put(b"model", "pickle")
    for path in (tmp_path / "s").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700
    assert len(token) >= 43  # 32 bytes, url-safe
    store.close()
    again = Store(tmp_path / "s")
    assert again.token == token
    assert again.state == example()
    again.close()


def test_what_others_may_read_is_refused(tmp_path: Path) -> None:
    Store(tmp_path / "s").close()
    os.chmod(tmp_path / "s" / "admin.token", 0o644)
    with pytest.raises(errors.FailedPreconditionError, match="others may read"):
        Store(tmp_path / "s")
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(errors.FailedPreconditionError, match="0700"):
        Store(tmp_path / "open")


def test_two_servers_do_not_share_a_directory(tmp_path: Path) -> None:
    first = Store(tmp_path / "s")
    with pytest.raises(errors.FailedPreconditionError, match="another server"):
        Store(tmp_path / "s")
    first.close()
    Store(tmp_path / "s").close()


def test_a_failed_write_leaves_the_old_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "s")
    store.save(example())
    full = OSError(28, "No space left on device")

    def fail(descriptor: int) -> None:
        raise full

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(errors.ResourceExhaustedError, match="No space left"):
        store.save(State())
    monkeypatch.undo()
    assert store.state == example()
    store.close()
    again = Store(tmp_path / "s")
    assert again.state == example()
    assert not [path for path in (tmp_path / "s").iterdir() if path.name.endswith(".tmp")]
    again.close()


def test_models_that_nobody_names_are_removed_at_the_start(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    kept, lost = store.put(b"kept", "pickle"), store.put(b"lost", "pickle")
    store.save(State(models={"m": Model("1", [], {"1": Version("doubles", blob=kept)})}))
    (store.models / ".half.tmp").write_bytes(b"x")
    store.close()
    again = Store(tmp_path / "s")
    assert [path.name for path in again.models.iterdir()] == [kept.file_name()]
    assert again.read(kept) == b"kept"
    with pytest.raises(errors.NotFoundError, match="deploy it again"):
        again.read(lost)
    again.blob_path(kept).write_bytes(b"other")
    with pytest.raises(errors.DataLossError, match="altered"):
        again.read(kept)
    again.close()


def test_rollback_history_is_of_those_that_are_there_and_bounded() -> None:
    model = Model()
    for i in range(100):
        model.versions[str(i)] = Version("doubles")
        model.set_current(str(i))
    assert model.history == [str(i) for i in range(99 - states.MAX_HISTORY, 99)]
    model.set_current("98")
    assert model.history[-1] == "99" and "98" not in model.history
    model.drop("98")
    assert model.current is None and "98" not in model.history

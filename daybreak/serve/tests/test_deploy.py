"""Deploys: what becomes live, what is undone, what a restart has again."""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from daybreak import grant, rl, serve
from daybreak.base import errors

Start = Callable[..., serve.Server]


def constant(value: Any) -> Callable[[Any], list[Any]]:
    return lambda inputs: [value for _ in inputs]


def holding(value: Any) -> Callable[[Any], Any]:
    return lambda inputs: [value for _ in inputs]


def version_of(server: serve.Server, model: str, version: str) -> dict[str, Any]:
    models = {each["name"]: each for each in server.models()}
    return {each["version"]: each for each in models[model]["versions"]}[version]


def test_a_deploy_makes_app_model_and_link_and_answers(server: serve.Server, call: Any) -> None:
    server.deploy("sums", lambda inputs: [float(x.sum()) for x in inputs], default="0", slo_ms=5000)
    assert call.predict("sums", [1, 2.5])["output"] == 3.5
    assert server.apps()[0]["models"] == ["sums"] and server.apps()[0]["slo_ms"] == 5000
    assert version_of(server, "sums", "1")["ready"] == 1


@pytest.mark.parametrize(
    ("input_type", "value", "described"),
    [
        ("doubles", [1, 2], "float64"),
        ("floats", [1.5], "float32"),
        ("integers", [1, 2], "int32"),
        ("strings", "héllo", "str"),
        ("bytes", "aGk=", "bytes"),
    ],
)
def test_the_model_gets_what_the_input_type_says(
    server: serve.Server, call: Any, input_type: str, value: Any, described: str
) -> None:
    server.deploy(
        "kinds",
        lambda inputs: [str(getattr(x, "dtype", type(x).__name__)) for x in inputs],
        input_type=input_type,
        default="-",
        slo_ms=5000,
    )
    assert call.predict("kinds", value)["output"] == described


def test_an_object_is_warmed_up_once_before_it_is_ready(server: serve.Server, call: Any) -> None:
    class Model:
        warm = 0

        def warm_up(self) -> None:
            self.warm += 1

        def predict(self, inputs: Any) -> Any:
            return [self.warm for _ in inputs]

    server.deploy("warm", Model(), default="-", slo_ms=5000)
    assert call.predict("warm", [1.0])["output"] == 1


def test_arrays_and_text_are_options(server: serve.Server, call: Any) -> None:
    server.deploy("rows", lambda x: x.sum(axis=1), batch="array", output="str", default="-", slo_ms=5000)
    assert call.predict("rows", [1.0, 2.0])["output"] == 3.0


def test_a_policy_runs_in_this_process_and_is_there_after_a_restart(start: Start, caller: Any, tmp_path: Path) -> None:
    policy = rl.PPO("CartPole-v1").policy
    server = start(tmp_path / "s")
    server.deploy("pole", policy, default="-", slo_ms=5000)
    server.deploy("pole", policy.to_bytes(), version=2, lineage={"run": "r1"})
    observation = [0.1, 0.2, 0.03, 0.4]
    want = policy.compute_action(observation)
    assert caller(server).predict("pole", observation)["output"] == want
    assert version_of(server, "pole", "2")["lineage"] == {"run": "r1"}
    assert {slot["pid"] for slot in version_of(server, "pole", "1")["replicas"]} <= {None, 0, os.getpid()}
    server.stop()
    server = start(tmp_path / "s")
    assert server.wait_ready(30)
    assert caller(server).predict("pole", observation)["output"] == want
    assert version_of(server, "pole", "2")["kind"] == "policy"


def test_versions_roll_back_and_forward(server: serve.Server, call: Any) -> None:
    for version in (1, 2):
        server.deploy("pong", constant(version), version=version, default="0", slo_ms=5000)
    assert call.predict("pong", [1.0])["output"] == 2
    assert call.predict("pong", [1.0], version="1")["output"] == 1
    assert server.rollback("pong") == "1"
    assert call.predict("pong", [1.0])["output"] == 1
    with pytest.raises(errors.FailedPreconditionError, match="was current before"):
        server.rollback("pong")
    server.set_version("pong", "2")
    assert call.predict("pong", [1.0])["output"] == 2
    assert server.rollback("pong") == "1"


def test_a_staged_version_waits_until_it_is_set(server: serve.Server, call: Any) -> None:
    server.deploy("pong", constant(1), default="0", slo_ms=5000)
    server.deploy("pong", constant(2), version=2, live=False)
    assert version_of(server, "pong", "2")["ready"] == 1
    assert call.predict("pong", [1.0])["output"] == 1
    server.set_version("pong", "2")
    assert call.predict("pong", [1.0])["output"] == 2


def test_deleting_the_current_version_needs_force(server: serve.Server, call: Any) -> None:
    server.deploy("pong", constant(1), default="0", slo_ms=5000)
    server.deploy("pong", constant(2), version=2)
    with pytest.raises(errors.FailedPreconditionError, match="is the current one"):
        server.delete_version("pong", "2")
    server.delete_version("pong", "1")
    blobs = list((Path(server.state_dir) / "models").iterdir())
    assert len(blobs) == 1
    server.delete_version("pong", "2", force=True)
    assert call.predict("pong", [1.0])["default"] is True
    assert list((Path(server.state_dir) / "models").iterdir()) == []
    server.deploy("pong", constant(3), version=3)  # the app is linked still
    assert call.predict("pong", [1.0])["output"] == 3


def test_versions_of_another_type_wait_until_they_are_set(server: serve.Server, call: Any) -> None:
    """As long as no app is linked, as in Clipper."""
    server.add_version("m", "1", input_type="doubles")
    server.add_version("m", "2", input_type="integers")
    server.add_app("ints", input_type="integers", default="0")
    server.link("ints", "m")
    with pytest.raises(errors.FailedPreconditionError, match="takes doubles"):
        server.set_version("m", "1")
    server.unlink("ints", "m")
    server.set_version("m", "1")
    with pytest.raises(errors.FailedPreconditionError, match="takes integers, and model m takes doubles"):
        server.link("ints", "m")
    server.set_version("m", "2")
    server.link("ints", "m")


# What goes wrong changes nothing.


def bad_models() -> dict[str, tuple[Any, str]]:
    class Raises:
        def __setstate__(self, state: Any) -> None:
            raise ValueError("boom")

        def __getstate__(self) -> Any:
            return {"x": 1}

        def predict(self, inputs: Any) -> Any:
            return inputs

    class Warms:
        def warm_up(self) -> None:
            raise OSError("no such model")

        def predict(self, inputs: Any) -> Any:
            return inputs

    class Exits(Warms):
        def warm_up(self) -> None:
            os._exit(3)

    class Hangs(Warms):
        def warm_up(self) -> None:
            threading.Event().wait()

    return {
        "raises when it is loaded": (Raises(), "ValueError: boom"),
        "raises when it warms up": (Warms(), "OSError: no such model"),
        "ends its process": (Exits(), "exit"),
        "hangs": (Hangs(), "not ready after 1 s"),
    }


@pytest.mark.parametrize("name", bad_models())
def test_a_model_that_does_not_come_up_changes_nothing(start: Start, caller: Any, tmp_path: Path, name: str) -> None:
    model, why = bad_models()[name]
    server = start(tmp_path / "s", ready_timeout_s=1.0 if name == "hangs" else 60.0)
    server.deploy("pong", constant(1), default="0", slo_ms=5000)
    before, files = server.state.copy(), sorted((tmp_path / "s" / "models").iterdir())
    with pytest.raises(errors.FailedPreconditionError, match=why):
        server.deploy("pong", model, version="2")
    with pytest.raises(errors.FailedPreconditionError, match=why):
        server.deploy("new", model)
    assert server.state == before and sorted((tmp_path / "s" / "models").iterdir()) == files
    assert [app["name"] for app in server.apps()] == ["pong"]
    assert caller(server).predict("pong", [1.0])["output"] == 1
    server.deploy("pong", constant(2), version="2")  # the name is free
    assert caller(server).predict("pong", [1.0])["output"] == 2


def test_bytes_that_are_no_pickle_are_opened_by_the_replica_alone(server: serve.Server, call: Any) -> None:
    for data in (b"no pickle", b"cos\nsystem\n(S'true'\ntR.", b"\x80\x05N."):
        status, found = call.admin("/daybreak/v1/deploy/pong?version=1", data)
        assert status == 400 and found["error"] == "failed_precondition", found
    assert server.apps() == [] and server.models() == []


def test_what_cannot_be_a_model_is_refused(server: serve.Server) -> None:
    for model, why in [
        (3, "a function or an object with predict"),
        (threading.Lock(), "a function or an object"),
        (type("Model", (), {"predict": lambda self, x: x}), "this is a type"),
        (holding(threading.Lock()), "cannot be pickled"),
        (b"", "did not read|policy|container|truncated|file"),
    ]:
        with pytest.raises((errors.InvalidArgumentError, errors.DataLossError), match=why):
            server.deploy("pong", model)
    for options, why in [
        ({"replicas": 0}, "at least one replica"),
        ({"replicas": 65}, "0 to 64"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch": "tuple"}, "batch is"),
        ({"output": "xml"}, "output"),
        ({"overload": "drop"}, "overload"),
        ({"slo_ms": 0}, "slo_ms"),
        ({"slo_ms": float("nan")}, "slo_ms"),
        ({"input_type": "tensor"}, "is none of"),
        ({"version": "a/b"}, "not allowed"),
        ({"lineage": {"x": object()}}, "lineage"),
    ]:
        with pytest.raises(errors.InvalidArgumentError, match=why):
            server.deploy("pong", constant(1), **options)
    for name in ("../x", "a,b", "a:b", "", "x" * 129):
        with pytest.raises(errors.InvalidArgumentError):
            server.deploy(name, constant(1))
    assert server.apps() == [] and server.models() == []


def test_an_app_that_is_there_keeps_what_it_has(server: serve.Server) -> None:
    server.deploy("pong", constant(1), default="0", slo_ms=50, overload="503")
    for options, why in [
        ({"slo_ms": 60}, r"slo_ms=50\.0"),
        ({"default": "1"}, "default='0'"),
        ({"overload": "default"}, "overload='503'"),
        ({"input_type": "floats"}, "input_type='doubles'"),
    ]:
        with pytest.raises(errors.FailedPreconditionError, match=why):
            server.deploy("pong", constant(2), version="2", **options)
    with pytest.raises(errors.AlreadyExistsError, match="Version 1 of pong exists"):
        server.deploy("pong", constant(2))
    server.deploy("pong", constant(2), version="2", slo_ms=50, default="0")
    server.add_app("other", default="0")
    server.link("other", "pong")
    with pytest.raises(errors.FailedPreconditionError, match="linked to another model, pong"):
        server.deploy("other", constant(1))


def test_a_state_that_cannot_be_written_changes_nothing(
    server: serve.Server, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.deploy("pong", constant(1), default="0", slo_ms=5000)
    store = server._store

    def full(state: Any) -> None:
        raise errors.ResourceExhaustedError("the state directory cannot be written")

    monkeypatch.setattr(store, "save", full)
    with pytest.raises(errors.ResourceExhaustedError):
        server.deploy("pong", constant(2), version="2")
    with pytest.raises(errors.ResourceExhaustedError):
        server.scale("pong", None, 2)
    with pytest.raises(errors.ResourceExhaustedError):
        server.delete_app("pong")
    monkeypatch.undo()
    assert call.predict("pong", [1.0])["output"] == 1
    assert len(version_of(server, "pong", "1")["replicas"]) == 1
    assert [each["version"] for each in server.models()[0]["versions"]] == ["1"]


def test_a_core_that_refuses_takes_the_state_back(
    server: serve.Server, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.deploy("pong", constant(1), default="0", slo_ms=5000)
    before = server.state.copy()

    def refused(*arguments: Any) -> Any:
        def do() -> None:
            raise errors.ResourceExhaustedError("no more")

        return do, lambda: None

    monkeypatch.setattr(server._mirror, "link_effect", refused)
    with pytest.raises(errors.ResourceExhaustedError, match="no more"):
        server.deploy("pong", constant(2), version="2")
    assert server.state == before
    assert call.predict("pong", [1.0])["output"] == 1


@pytest.mark.parametrize("registered", [True, False])
def test_a_place_that_fails_changes_nothing_and_the_next_good_one_works(
    server: serve.Server, call: Any, registered: bool
) -> None:
    server.add_app("pong", default="0", slo_ms=5000)
    if registered:
        server.add_version("pong", "1")
    before, on_disk = server.state.copy(), (Path(server.state_dir) / "state.json").read_bytes()
    unpicklable = (b"not a pickle", b"", b"\x80\x05.", cloudpickle.dumps("no function")[:-1], cloudpickle.dumps(7))
    for data in unpicklable:
        with pytest.raises(errors.Error):
            server.place("pong", "1", "doubles", data, 2)
        assert server.state == before
    with pytest.raises(errors.AlreadyExistsError if registered else errors.Error):
        server.place("pong", "1", "strings", b"not a pickle", 1)
    assert server.state == before and (Path(server.state_dir) / "state.json").read_bytes() == on_disk
    assert list((Path(server.state_dir) / "models").iterdir()) == []
    server.add_app("other", default="0")  # a change of something else, which writes the state
    server.delete_app("other")
    assert server.state == before
    server.place("pong", "1", "doubles", cloudpickle.dumps(constant(7)), 1)
    if not registered:
        server.add_version("pong", "1")
    server.link("pong", "pong")
    assert call.predict("pong", [1.0])["output"] == 7
    with pytest.raises(errors.AlreadyExistsError, match="deployed already"):
        server.place("pong", "1", "doubles", cloudpickle.dumps(constant(8)), 1)


def test_unlinking_nothing_changes_nothing_and_one_that_is_not_linked_unlinks_none(server: serve.Server) -> None:
    server.deploy("pong", constant(1), default="0")
    before = server.state.copy()
    server.unlink("pong")
    with pytest.raises(errors.NotFoundError, match="'other'"):
        server.unlink("pong", "pong", "other")
    assert server.state == before
    server.unlink("pong", "pong", "pong")
    assert server.state.apps["pong"].models == []


def test_a_number_of_23_digits_stays_the_number_that_the_model_gave(server: serve.Server, call: Any) -> None:
    number = 12_345_678_901_234_567_890_123
    values = [number, -number, [number, 1.5], {"a": number}, str(number)]
    server.deploy("big", lambda inputs: [values[int(x[0])] for x in inputs], default="0", slo_ms=5000)
    for place, value in enumerate(values):
        body = f'{{"input": [{place}]}}'.encode()
        raw = call.raw(server.query_address, "POST", "/big/predict", body, {"Content-Type": "application/json"})[1]
        want = value if isinstance(value, str) else json.dumps(value)  # text that is JSON is JSON, as Clipper's
        assert f'"output":{want.replace(" ", "")}' in raw.decode().replace(" ", ""), raw


def test_versions_are_listed_in_the_order_in_which_they_came_also_after_a_restart(start: Start, tmp_path: Path) -> None:
    server = start(tmp_path / "s")
    order = ["10", "9", "b", "2", "a"]
    for version in order:
        server.add_version("m", version)
    server.set_version("m", "9")

    def listed(server: serve.Server) -> list[str]:
        return [each["version"] for each in server.models()[0]["versions"]]

    assert listed(server) == order
    server.stop()
    server = start(tmp_path / "s")
    assert listed(server) == order
    server.place("m", "9", "doubles", cloudpickle.dumps(constant(1)), 1)  # which changes one in its place
    server.stop()
    assert listed(start(tmp_path / "s")) == order


def full_disk(server: serve.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(state: Any) -> None:
        raise errors.ResourceExhaustedError("the state directory cannot be written")

    monkeypatch.setattr(server._store, "save", full)


@pytest.mark.parametrize("change", ["set_version", "rollback", "add_version", "deploy"])
def test_a_change_to_another_input_type_that_fails_leaves_the_current_version_answering(
    server: serve.Server, call: Any, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """The core has versions of one input type: those of the current one must come back."""
    server.deploy("pong", constant("ints"), version="1", input_type="integers", default="0", slo_ms=5000)
    server.unlink("pong", "pong")
    server.deploy("texts", constant("-"), input_type="strings", default="0")
    server.place("pong", "2", "doubles", cloudpickle.dumps(constant("doubles")), 1)
    server.add_version("pong", "2", input_type="doubles")  # which makes it current
    if change != "rollback":
        server.set_version("pong", "1")
        server.link("pong", "pong")
        assert call.predict("pong", [1])["output"] == "ints"
        server.unlink("pong", "pong")
    before = server.state.copy()
    full_disk(server, monkeypatch)
    with pytest.raises(errors.Error):
        if change == "set_version":
            server.set_version("pong", "2")
        elif change == "rollback":
            server.rollback("pong")
        elif change == "add_version":
            server.add_version("pong", "3", input_type="strings")
        else:
            server.deploy("pong", constant("late"), version="3", input_type="integers", live=True)
    monkeypatch.undo()
    assert server.state == before
    current = before.models["pong"].current
    if change == "rollback":
        server.delete_app("pong")
        server.add_app("pong", input_type="doubles", default="0", slo_ms=5000)
    server.link("pong", "pong")
    assert call.predict("pong", [1])["output"] == {"1": "ints", "2": "doubles"}[str(current)]


def test_another_batch_size_that_cannot_be_kept_is_not_used(
    server: serve.Server, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.place("pong", "1", "doubles", cloudpickle.dumps(constant(1)), 1)
    full_disk(server, monkeypatch)
    with pytest.raises(errors.ResourceExhaustedError):
        server.add_version("pong", "1", batch_size=7)
    monkeypatch.undo()
    assert server.state.models["pong"].versions["1"].batch_size == -1
    server.add_version("pong", "1")
    (found,) = [each for each in server.status()["stats"]["models"] if each["name"] == "pong"]
    assert found["versions"][0]["batch_size"] != 7
    server.add_app("pong", default="0", slo_ms=5000)
    server.link("pong", "pong")
    assert call.predict("pong", [1.0])["output"] == 1


def test_a_change_that_core_and_then_disk_refuse_is_forgotten(
    server: serve.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add_app("pong", default="0")
    before = server.state.copy()

    def refused(*arguments: Any, **more: Any) -> None:
        full_disk(server, monkeypatch)  # from now on
        raise errors.ResourceExhaustedError("no more apps")

    with monkeypatch.context() as patched:
        patched.setattr(server._mirror, "open_app", lambda *_: (refused, lambda: None))
        with pytest.raises(errors.ResourceExhaustedError, match="no more apps"):
            server.add_app("other", default="0")
    monkeypatch.undo()
    assert server.state == before
    server.add_app("other", default="0")
    assert sorted(server.state.apps) == ["other", "pong"]


def test_two_deploys_of_one_version_do_not_mix(start: Start) -> None:
    server = start(ready_timeout_s=5)
    server.deploy("pong", constant(1), default="0")
    together = threading.Barrier(3)

    class Slow:
        def warm_up(self) -> None:
            import time

            time.sleep(1.0)

        def predict(self, inputs: Any) -> Any:
            return inputs

    results: list[str] = []

    def deploy() -> None:
        together.wait()
        try:
            server.deploy("pong", Slow(), version="2")
            results.append("done")
        except errors.Error as error:
            results.append(type(error).__name__)

    threads = [threading.Thread(target=deploy) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["AbortedError", "AbortedError", "done"]


# Restarts.


def test_a_restart_has_everything_again(start: Start, caller: Any, tmp_path: Path) -> None:
    server = start(tmp_path / "s")
    server.deploy("pong", constant(1), default="0", slo_ms=5000, lineage={"run": "r"}, replicas=2)
    server.deploy("pong", constant(2), version="2", batch="array", output="str", batch_size=4)
    server.rollback("pong")
    server.add_app("other", input_type="doubles", default="x", slo_ms=70)
    server.link("other", "pong")
    server.add_version("bare", "1", input_type="strings", labels=["a"], container_name="c", model_data_path="p")
    token, state, apps = Path(server.admin_token_file).read_text(), server.state.copy(), server.apps()
    server.stop()
    server = start(tmp_path / "s")
    assert server.state == state and server.apps() == apps
    assert Path(server.admin_token_file).read_text() == token
    assert server.wait_ready(30)
    assert [(m["name"], [(v["version"], v["ready"]) for v in m["versions"]]) for m in server.models()] == [
        ("bare", [("1", 0)]),
        ("pong", [("1", 2), ("2", 1)]),
    ]
    call = caller(server)
    assert call.predict("pong", [1.0])["output"] == 1
    assert call.predict("pong", [1.0], version="2")["output"] == 2
    server.set_version("pong", "2")
    assert server.rollback("pong") == "1"


def test_a_model_whose_bytes_are_gone_is_shown_and_not_dropped(start: Start, caller: Any, tmp_path: Path) -> None:
    server = start(tmp_path / "s")
    server.deploy("pong", constant(1), default="0", slo_ms=5000)
    server.deploy("pong", constant(2), version="2")
    server.stop()
    for file in (tmp_path / "s" / "models").iterdir():
        if server.state.models["pong"].versions["2"].blob.sha256 in file.name:  # type: ignore[union-attr]
            file.write_bytes(b"altered")
    server = start(tmp_path / "s")
    assert server.wait_ready(30)
    assert "altered" in version_of(server, "pong", "2")["reason"]
    assert caller(server).predict("pong", [1.0])["default"] is True
    with pytest.raises(errors.FailedPreconditionError, match="altered"):
        server.scale("pong", "2", 1)
    server.set_version("pong", "1")
    assert caller(server).predict("pong", [1.0])["output"] == 1


def test_a_sealed_model_is_kept_as_ciphertext_and_opened_again(start: Start, caller: Any, tmp_path: Path) -> None:
    policy = rl.PPO("CartPole-v1").policy
    secret = policy.to_bytes()
    sealed = bytes(byte ^ 0x5A for byte in secret)  # a stand-in for a cipher: what matters is who opens it
    opened: list[dict[str, Any]] = []

    def open_it(ciphertext: bytes, lineage: dict[str, Any]) -> Any:
        opened.append(lineage)
        return rl.Policy.load(bytes(byte ^ 0x5A for byte in ciphertext))

    server = start(tmp_path / "s")
    server.deploy("pole", serve.Sealed(sealed, policy), default="-", slo_ms=5000, lineage={"run": "r1"})
    server.deploy("word", serve.Sealed(b"sealed word", constant("plain-canary")), default="-", slo_ms=5000)
    assert caller(server).predict("word", [1.0])["output"] == "plain-canary"
    server.stop()

    def nothing_plain() -> None:
        for path in (tmp_path / "s").rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                assert b"plain-canary" not in data and secret[:200] not in data, path

    nothing_plain()
    server = start(tmp_path / "s")  # nobody opens them
    assert "nobody opens it" in version_of(server, "pole", "1")["reason"]
    assert caller(server).predict("pole", [0.0] * 4)["default"] is True
    server.stop()
    server = start(tmp_path / "s", open=open_it)
    server.wait_ready(30)
    assert caller(server).predict("pole", [0.0] * 4)["output"] == policy.compute_action([0.0] * 4)
    assert {"run": "r1"} in opened
    reason = version_of(server, "word", "1")["reason"]  # which open_it does not understand
    assert "was not opened" in reason and "sealed word" not in reason
    nothing_plain()


# Gates: an app that had one is not open without it.


class Lab:
    """Who may say who predicts and deploys, and one for each that it has granted on pong."""

    def __init__(self) -> None:
        self.owner = grant.Entity.create()
        self.holders: dict[str, tuple[grant.Entity, grant.Wallet]] = {}
        for permission in ("predict", "deploy"):
            entity = grant.Entity.create()
            given = grant.Wallet(self.owner).grant(
                entity.public, namespace=self.owner.id, statements=[([permission], "apps/pong")]
            )
            wallet = grant.Wallet(entity)
            wallet.add(given.bundle)
            self.holders[permission] = (entity, wallet)
        self.gate = grant.Verifier(namespace=self.owner.id, server="here", revocations=None).gate()

    def headers(self, permission: str, path: str, body: bytes) -> dict[str, str]:
        """Of a request that the holder of the permission signs."""

        def text(data: bytes) -> str:
            return base64.urlsafe_b64encode(data).decode().rstrip("=")

        entity, wallet = self.holders[permission]
        proof = wallet.prove([(permission, "apps/pong")], namespace=self.owner.id)
        signed = grant.sign_request(entity, proof, server="here", method="POST", path=path, body=body, app="pong")
        return {
            "Daybreak-Proof": text(signed.proof),
            "Daybreak-Issued-At": str(signed.issued_at_ns),
            "Daybreak-Nonce": text(signed.nonce),
            "Daybreak-Signature": text(signed.signature),
        }


@pytest.fixture
def lab() -> Lab:
    return Lab()


def test_an_app_whose_gate_is_not_given_again_stays_closed(start: Start, caller: Any, tmp_path: Path, lab: Lab) -> None:
    server = start(tmp_path / "s")
    server.deploy("pong", constant(1), default="0", gate=lab.gate, slo_ms=5000)
    call = caller(server)
    assert call.predict("pong", [1.0])["status"] == 401
    with pytest.raises(errors.FailedPreconditionError, match="another gate"):
        server.deploy("pong", constant(2), version="2", gate=object())
    server.deploy("pong", constant(2), version="2")  # it keeps its gate
    assert call.predict("pong", [1.0])["status"] == 401
    server.stop()
    server = start(tmp_path / "s")
    assert caller(server).predict("pong", [1.0])["status"] == 404
    assert server.apps()[0]["open"] is False and "gate" in server.apps()[0]["reason"]
    server.deploy("pong", constant(3), version="3", gate=lab.gate)
    assert server.apps()[0]["open"] is True
    assert caller(server).predict("pong", [1.0])["status"] == 401
    server.stop()
    for gate in (lab.gate, {"pong": lab.gate}):
        server = start(tmp_path / "s", gate=gate)
        assert caller(server).predict("pong", [1.0])["status"] == 401
        server.stop()


def test_a_grant_of_deploy_opens_the_way_for_its_app_alone(start: Start, caller: Any, lab: Lab) -> None:
    import cloudpickle

    server = start(deploy_gate=lab.gate, server_id="here")
    server.add_app("pong", default="0", slo_ms=5000, gate=lab.gate)
    server.add_app("other", default="0")
    call, body = caller(server), cloudpickle.dumps(constant(1))

    def deploy(path: str, permission: str = "deploy", sent: bytes = body) -> int:
        headers = lab.headers(permission, path, body)
        status: int = call.raw(server.admin_address, "POST", path, sent, headers)[0]
        return status

    assert deploy("/daybreak/v1/deploy/pong?version=1") == 200
    assert server.models()[0]["current"] == "1"
    assert deploy("/daybreak/v1/deploy/other?version=1") == 403
    assert deploy("/daybreak/v1/deploy/pong?version=2", "predict") == 403
    assert deploy("/daybreak/v1/deploy/pong?version=2", sent=body + b"x") in (401, 403)
    for path in ("/daybreak/v1/status", "/admin/delete_app", "/daybreak/v1/rollback"):
        assert deploy(path) == 401
    assert call.predict("pong", [1.0])["status"] == 401
    path, body = "/pong/predict", b'{"input": [1.0]}'
    headers = {**lab.headers("predict", path, body), "Content-Type": "application/json"}
    status, answer, _ = call.raw(server.query_address, "POST", path, body, headers)
    assert status == 200 and b'"output":1' in answer.replace(b" ", b"")


def test_other_machines_are_served_only_with_tls_and_a_gate() -> None:
    for options, missing in [
        ({}, "tls and gate are"),
        ({"tls": ("c", "k")}, "gate is"),
        ({"gate": object()}, "tls is"),
    ]:
        for host in ("0.0.0.0", "192.0.2.1", "::", "example.org"):
            with pytest.raises(errors.InvalidArgumentError, match=missing):
                serve.start(host=host, **options)  # type: ignore[arg-type]


def test_the_module_speaks_to_the_server_that_was_started_last(start: Start) -> None:
    server = start()
    serve.deploy("pong", constant(1), default="0")
    assert [app["name"] for app in serve.apps()] == ["pong"] == [app["name"] for app in server.apps()]
    assert serve.status()["query"] == server.query_address
    server.stop()
    with pytest.raises(errors.FailedPreconditionError, match="no server runs"):
        serve.apps()

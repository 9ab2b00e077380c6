"""Clipper's management API, over HTTP: the cases of its own tests, and what it leaves open."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from daybreak import serve
from daybreak.serve import api
from daybreak.serve.admin import CLIPPER_PATHS

APP = {"name": "myappname", "input_type": "integers", "default_output": "4.3", "latency_slo_micros": 1000}
MODEL = {
    "model_name": "mymodelname",
    "model_version": "4",
    "labels": ["label1", "label2", "label3"],
    "input_type": "integers",
    "batch_size": -1,
    "container_name": "clipper/sklearn_cifar",
    "model_data_path": "/tmp/model/repo/m/1",
}
LINK = {"app_name": "myappname", "model_names": ["mymodelname"]}
VERSION = {"model_name": "mymodelname", "model_version": "4"}

ADD_APP, ADD_MODEL, ADD_LINK = ("add_app", APP), ("add_model", MODEL), ("add_model_links", LINK)
OTHER_MODEL = {**MODEL, "model_name": "mymodelname2"}
DOUBLES_MODEL = {**MODEL, "input_type": "doubles"}

# name of the case: what is done first (all must answer 200), the request, the status, a part of the answer.
CASES: list[tuple[str, list[tuple[str, Any]], tuple[str, Any], int, Any]] = [
    ("AddApplicationCorrect", [], ADD_APP, 200, "Success!"),
    ("AddApplicationMissingField", [], ("add_app", {k: APP[k] for k in APP if k != "default_output"}), 400, "missing"),
    ("AddApplicationMalformedJson", [], ("add_app", b'{ "name": "myappname, "x":,'), 400, "Error parsing JSON: "),
    ("AddApplicationInvalidInputType", [], ("add_app", {**APP, "input_type": "x"}), 400, "is none of bytes"),
    ("AddApplicationBadName", [], ("add_app", {**APP, "name": "../a"}), 400, "is not allowed"),
    ("AddApplicationFractionalDeadline", [], ("add_app", {**APP, "latency_slo_micros": 1.5}), 400, "of type int"),
    ("AddApplicationNoDeadline", [], ("add_app", {**APP, "latency_slo_micros": 0}), 400, "latency objective"),
    ("AddApplicationHugeDeadline", [], ("add_app", {**APP, "latency_slo_micros": 2**31}), 400, "2,147,483,647"),
    ("AddDuplicateApplication", [ADD_APP], ADD_APP, 400, "Error application myappname already exists"),
    ("DeleteApplicationCorrect", [ADD_APP], ("delete_app", {"name": "myappname"}), 200, "Success!"),
    ("DeleteApplicationAbsent", [], ("delete_app", {"name": "myappname"}), 400, "No app with name myappname exists"),
    ("GetNonexistentApplication", [], ("get_application", {"name": "nonexistent_app"}), 200, {}),
    ("GetApplicationMalformedJson", [], ("get_application", b'{"app": not a string}'), 400, "Error parsing JSON"),
    ("GetAllApplicationsVerboseNone", [], ("get_all_applications", {"verbose": True}), 200, []),
    ("GetAllApplicationsNotVerboseNone", [], ("get_all_applications", {"verbose": False}), 200, []),
    ("GetAllApplicationsNotVerbose", [ADD_APP], ("get_all_applications", {"verbose": False}), 200, ["myappname"]),
    ("GetAllApplicationsMalformedJson", [], ("get_all_applications", b'{"verbose": flalse}'), 400, "Error parsing"),
    ("AddModelCorrect", [], ADD_MODEL, 200, "Success!"),
    (
        "AddLinkedModelCompatibleInputType",
        [ADD_APP, ADD_MODEL, ADD_LINK],
        ("add_model", {**MODEL, "model_version": "6", "input_type": "ints"}),
        200,
        "Success!",
    ),
    ("AddDuplicateModelVersion", [ADD_MODEL], ("add_model", DOUBLES_MODEL), 400, "mymodelname:4 already exists"),
    ("AddModelMissingField", [], ("add_model", {**VERSION, "labels": []}), 400, "labels"),
    ("AddModelNoBatchSize", [], ("add_model", {k: MODEL[k] for k in MODEL if k != "batch_size"}), 400, "batch_size"),
    ("AddModelZeroBatchSize", [], ("add_model", {**MODEL, "batch_size": 0}), 400, "batch_size is 0"),
    ("AddModelProhibitedName", [], ("add_model", {**MODEL, "model_name": "my_app_name:"}), 400, "is not allowed"),
    ("AddModelProhibitedVersion", [], ("add_model", {**MODEL, "model_version": ",v"}), 400, "is not allowed"),
    ("AddModelProhibitedLabels", [], ("add_model", {**MODEL, "labels": ["label1", ":label,"]}), 400, "not allowed in"),
    ("AddModelNumberForVersion", [], ("add_model", {**MODEL, "model_version": 4}), 400, "of type string"),
    ("AddModelMalformedJson", [], ("add_model", b'"model_name": "mymodelname\n'), 400, "Error parsing JSON"),
    ("SetVersionNonexistentModel", [], ("set_model_version", VERSION), 400, "No model with name mymodelname"),
    (
        "SetModelInvalidVersion",
        [ADD_MODEL],
        ("set_model_version", {**VERSION, "model_version": "11"}),
        400,
        "Version 11 does not exist for model mymodelname",
    ),
    ("AddModelLinkCorrect", [ADD_APP, ADD_MODEL], ADD_LINK, 200, "Success!"),
    ("AddModelLinkIncompatible", [ADD_APP, ("add_model", DOUBLES_MODEL)], ADD_LINK, 400, "takes integers, and model"),
    (
        "AddNewLinkedModelIncompatible",
        [ADD_APP, ADD_MODEL, ADD_LINK],
        ("add_model", {**DOUBLES_MODEL, "model_version": "5"}),
        400,
        "takes doubles, and app myappname",
    ),
    (
        "SetVersionForLinkedModelIncompatible",
        [("add_model", {**DOUBLES_MODEL, "model_version": "1"}), ADD_APP, ADD_MODEL, ADD_LINK],
        ("set_model_version", {**VERSION, "model_version": "1"}),
        400,
        "takes doubles, and app myappname",
    ),
    ("AddModelLinkWithNonexistentModel", [ADD_APP], ADD_LINK, 400, "No model with name mymodelname exists"),
    ("AddModelLinkWhenAlreadyExists", [ADD_APP, ADD_MODEL, ADD_LINK], ADD_LINK, 400, "already linked to model"),
    (
        "AddModelLinkToAnother",
        [ADD_APP, ADD_MODEL, ADD_LINK, ("add_model", OTHER_MODEL)],
        ("add_model_links", {**LINK, "model_names": ["mymodelname2"]}),
        400,
        "already linked to another model, mymodelname",
    ),
    (
        "AddTwoModelLinks",
        [ADD_APP, ADD_MODEL],
        ("add_model_links", {**LINK, "model_names": ["a", "b"]}),
        400,
        "Exactly 1",
    ),
    ("AddModelLinkToNonexistentApp", [ADD_MODEL], ADD_LINK, 400, "No app with name myappname exists"),
    (
        "AddModelLinkMalformedJson",
        [],
        ("add_model_links", b'{"app_name": "a" "model_names": ["m"]}'),
        400,
        "Error parsing",
    ),
    ("AddModelLinkMissingField", [], ("add_model_links", {"app_name": "myappname"}), 400, "model_names is missing"),
    ("GetModelLinksNone", [ADD_APP], ("get_linked_models", {"app_name": "myappname"}), 200, []),
    (
        "GetModelLinks",
        [ADD_APP, ADD_MODEL, ADD_LINK],
        ("get_linked_models", {"app_name": "myappname"}),
        200,
        ["mymodelname"],
    ),
    ("GetModelLinksForNonexistentApp", [], ("get_linked_models", {"app_name": "a"}), 400, "No app with name 'a'"),
    ("GetModelLinksMalformedJson", [], ("get_linked_models", b'{app_name : "a'), 400, "Error parsing JSON"),
    ("DeleteModelLinks", [ADD_APP, ADD_MODEL, ADD_LINK], ("delete_model_links", LINK), 200, "Success!"),
    ("DeleteModelLinksAbsent", [ADD_APP, ADD_MODEL], ("delete_model_links", LINK), 400, "is not linked"),
    (
        "DeleteModelLinksOfNone",
        [ADD_APP, ADD_MODEL, ADD_LINK],
        ("delete_model_links", {**LINK, "model_names": []}),
        200,
        "Success!",
    ),
    (
        "DeleteModelLinksOfNoneTwiceNamed",
        [ADD_APP, ADD_MODEL, ADD_LINK],
        ("delete_model_links", {**LINK, "model_names": LINK["model_names"] * 2}),
        200,
        "Success!",
    ),
    (
        "DeleteModelLinksOfNoneNoApp",
        [],
        ("delete_model_links", {**LINK, "model_names": []}),
        400,
        "No app with name",
    ),
    (
        "DeleteModelLinksOneOfThemAbsent",
        [ADD_APP, ADD_MODEL, ADD_LINK],
        ("delete_model_links", {**LINK, "model_names": [*LINK["model_names"], "other"]}),
        400,
        "is not linked",
    ),
    ("DeleteModelLinksNoApp", [], ("delete_model_links", LINK), 400, "No app with name"),
    ("DeleteVersionedModelCorrect", [ADD_MODEL], ("delete_versioned_model", VERSION), 200, "Success!"),
    (
        "DeleteVersionedModelMissingField",
        [ADD_MODEL],
        ("delete_versioned_model", {"model_name": "mymodelname"}),
        400,
        "model_version is missing",
    ),
    (
        "DeleteVersionedModelForNonexistentModel",
        [ADD_MODEL],
        ("delete_versioned_model", {**VERSION, "model_version": "2"}),
        400,
        "does not exist",
    ),
    (
        "DeleteVersionedModelTwice",
        [ADD_MODEL, ("delete_versioned_model", VERSION)],
        ("delete_versioned_model", VERSION),
        400,
        "does not exist",
    ),
    ("GetModelNonexistent", [], ("get_model", VERSION), 200, {}),
    ("GetAllModels", [ADD_MODEL], ("get_all_models", {"verbose": False}), 200, ["mymodelname:4"]),
    ("GetAllContainersNone", [ADD_MODEL], ("get_all_containers", {"verbose": False}), 200, []),
    ("GetContainerNone", [ADD_MODEL], ("get_container", {**VERSION, "replica_id": 0}), 200, {}),
    ("GetState", [ADD_APP], ("get_state", {"app_name": "myappname", "uid": 7}), 200, 4.3),
    ("GetStateNoApp", [], ("get_state", {"app_name": "myappname", "uid": 0}), 400, "No app with name"),
]


@pytest.fixture(scope="module")
def shared() -> Any:
    with serve.start(query_port=0, admin_port=0, metrics_port=0) as server:
        yield server


@pytest.fixture
def shared_call(shared: serve.Server, caller: Any) -> Any:
    """To the server of this file, emptied."""
    for app in shared.apps():
        shared.delete_app(app["name"])
    for model in shared.models():
        for version in model["versions"]:
            shared.delete_version(model["name"], version["version"], force=True)
    return caller(shared)


@pytest.mark.parametrize(
    ("first", "request_", "status", "part"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_clippers_management_cases(
    shared_call: Any, first: list[tuple[str, Any]], request_: tuple[str, Any], status: int, part: Any
) -> None:
    for path, body in first:
        assert shared_call.admin(f"/admin/{path}", body)[0] == 200, (path, body)
    before = shared_call.server.state.copy()
    found = shared_call.admin(f"/admin/{request_[0]}", request_[1])
    assert found[0] == status, found
    if isinstance(part, str):
        assert part in found[1]
    else:
        assert found[1] == part
    if status != 200:
        assert shared_call.server.state == before


def test_app_and_model_objects_have_clippers_fields(shared_call: Any) -> None:
    call = shared_call
    for path, body in (ADD_APP, ADD_MODEL, ("add_model", {**MODEL, "model_version": "5", "labels": []}), ADD_LINK):
        assert call.admin(f"/admin/{path}", body)[0] == 200
    app = {**APP, "linked_models": ["mymodelname"]}
    assert call.admin("/admin/get_application", {"name": "myappname"}) == (200, app)
    assert call.admin("/admin/get_all_applications", {"verbose": True}) == (200, [app])
    four = {k: v for k, v in MODEL.items() if k != "batch_size"} | {"is_current_version": False}
    five = four | {"model_version": "5", "labels": [""], "is_current_version": True}
    assert call.admin("/admin/get_model", VERSION) == (200, four)
    assert call.admin("/admin/get_all_models", {"verbose": True}) == (200, [four, five])
    assert call.admin("/admin/set_model_version", VERSION) == (200, "SUCCESS")
    assert call.admin("/admin/get_model", VERSION)[1]["is_current_version"] is True


def test_containers_are_listed_by_model_version_and_number(server: serve.Server, call: Any) -> None:
    server.deploy("sums", lambda inputs: [float(x.sum()) for x in inputs], default="0", replicas=2)
    assert call.admin("/admin/get_all_containers", {"verbose": False}) == (200, ["sums:1:0", "sums:1:1"])
    one = {
        "model_id": "sums:1",
        "model_name": "sums",
        "model_version": "1",
        "model_replica_id": 1,
        "input_type": "doubles",
    }
    assert call.admin("/admin/get_all_containers", {"verbose": True})[1][1] == one
    which = {"model_name": "sums", "model_version": "1", "replica_id": 1}
    assert call.admin("/admin/get_container", which) == (200, one)


def test_a_version_is_registered_before_any_replica_and_becomes_current(server: serve.Server, call: Any) -> None:
    assert call.admin("/admin/add_app", {**APP, "input_type": "doubles"})[0] == 200
    assert call.admin("/admin/add_model", DOUBLES_MODEL)[0] == 200
    assert call.admin("/admin/add_model_links", LINK)[0] == 200
    assert server.models()[0]["current"] == "4"
    answer = call.predict("myappname", [1.0])
    assert (answer["status"], str(answer["output"]), answer["default"]) == (200, "4.3", True)


@pytest.mark.parametrize("path", sorted(CLIPPER_PATHS))
def test_every_path_wants_post_and_an_object(shared_call: Any, path: str) -> None:
    assert shared_call.admin(path, method="GET")[0] == 405
    status, text = shared_call.admin(path, b"[]")
    assert status == 400 and "an object expected" in text


def test_ping_and_unknown_paths(shared_call: Any) -> None:
    assert shared_call.admin("/admin/ping", method="GET") == (200, "PONG")
    assert shared_call.admin("/admin/nothing", {})[0] == 404
    assert shared_call.admin("/", method="GET")[0] == 404
    assert shared_call.admin("/daybreak/v1/nothing", {})[0] == 404
    assert shared_call.admin("/admin/../admin/add_app", APP)[0] in (400, 404)


def test_the_token_is_asked_for_as_bearer_or_password(shared_call: Any) -> None:
    assert shared_call.basic("/admin/get_all_models", {"verbose": False}) == (200, [])
    assert shared_call.admin("/admin/get_all_models", {"verbose": False}, token="x" * 43)[0] == 401
    for path in ("/admin/ping", "/daybreak/v1/status", "/nothing"):
        assert shared_call.raw(shared_call.server.admin_address, "GET", path)[0] == 401


def test_a_header_of_the_wire_does_not_grant(shared_call: Any) -> None:
    """Only the core says that a proof was good."""
    headers = {"X-Daybreak-Granted": "deploy apps/pong"}
    server = shared_call.server
    assert shared_call.raw(server.admin_address, "POST", "/daybreak/v1/deploy/pong?version=1", b"x", headers)[0] in (
        401,
        403,
    )
    with_token = {**headers, "Authorization": f"Bearer {shared_call.token}"}
    status, body, _ = shared_call.raw(server.admin_address, "GET", "/daybreak/v1/status", b"", with_token)
    assert status == 200 and b"apps" in body


class Granted:
    """An admin request as the core gives it when a proof was good."""

    method, remote = "POST", "127.0.0.1"

    def __init__(self, path: str, query: str, body: bytes, granted: str) -> None:
        self.path, self.query, self.body, self._granted = path, query, body, granted

    def header(self, name: str) -> str:
        return self._granted if name == "x-daybreak-granted" else ""


def test_a_grant_deploys_to_its_app_and_does_nothing_else(server: serve.Server) -> None:
    import cloudpickle

    from daybreak.serve.admin import answer

    model = cloudpickle.dumps(lambda inputs: [1.0 for _ in inputs])
    server.add_app("pong", default="0")
    server.add_app("other", default="0")

    def ask(path: str, granted: str = "deploy apps/pong") -> int:
        return answer(server, Granted(path, "version=1", model, granted))[0]

    assert ask(api.DEPLOY_PATH + "other") == 403
    assert ask(api.DEPLOY_PATH + "pong", "deploy apps/*") == 403
    assert ask(api.DEPLOY_PATH + "pong", "predict apps/pong") == 403
    for path in [*CLIPPER_PATHS, *api.PATHS, "/admin/ping", "/daybreak/v1/deploy"]:
        assert ask(path) == 403
    assert server.models() == []
    assert ask(api.DEPLOY_PATH + "pong") == 200
    assert server.models()[0]["current"] == "1"
    assert ask(api.DEPLOY_PATH + "none", "deploy apps/none") == 404  # it does not make apps


@pytest.mark.parametrize(
    ("query", "part"),
    [
        ("", "version is missing"),
        ("version=1&version=2", "given twice"),
        ("version=1&more=2", "not known"),
        ("version=1&replicas=x", "cannot be read"),
        ("version=1&replicas=" + "9" * 5000, "cannot be read"),
        ("version=1&replicas=65", "0 to 64"),
        ("version=1&slo_ms=nan", "slo_ms"),
        ("version=1&slo_ms=-1", "slo_ms"),
        ("version=1&live=yes", "cannot be read"),
        ("version=1&kind=exe", "pickle or policy"),
        ("version=1&lineage=[1]", "JSON object"),
        ("version=1&lineage=" + "[" * 3000, "cannot be read"),
        ("version=1%2C2", "not allowed"),
        ("version=1&batch=tuple", "batch is"),
        ("version=1&overload=drop", "overload"),
        ("&".join(f"x{i}=1" for i in range(100)), "cannot be read"),
    ],
)
def test_a_bad_deploy_request_is_told_what_is_wrong(shared_call: Any, query: str, part: str) -> None:
    status, found = shared_call.admin(f"/daybreak/v1/deploy/a?{query}", b"x")
    assert status == 400 and found["error"] == "invalid_argument", found
    assert part in found["message"]
    assert shared_call.admin("/daybreak/v1/deploy/a%2Fb?version=1", b"x")[0] == 400
    assert shared_call.admin("/daybreak/v1/deploy/?version=1", b"x")[0] == 400
    assert shared_call.server.state.apps == {} and shared_call.server.state.models == {}


def test_a_body_beyond_the_limit_is_refused(shared_call: Any) -> None:
    path = "/daybreak/v1/deploy/a?version=1"
    status, found = shared_call.admin(path, bytes((64 << 20) + 1))
    assert status == 413 and "67,108,864" in found["message"]
    headers = {"Authorization": f"Bearer {shared_call.token}", "Content-Length": str(1 << 30)}
    assert shared_call.raw(shared_call.server.admin_address, "POST", path, b"", headers)[0] == 413  # before it is sent
    status, text = shared_call.admin("/admin/add_app", b" " * (2 << 20))
    assert status == 413


def test_an_unexpected_error_says_nothing_of_itself(
    shared_call: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(type(shared_call.server), "add_app", broken)
    assert shared_call.admin("/admin/add_app", APP) == (500, "An unexpected error occurred!")
    assert "secret detail" in caplog.text


def test_our_own_paths_do_what_the_methods_do(server: serve.Server, call: Any) -> None:
    def post(name: str, **fields: Any) -> tuple[int, Any]:
        found: tuple[int, Any] = call.admin(f"/daybreak/v1/{name}", fields)
        return found

    import cloudpickle

    for version in ("1", "2"):
        model = cloudpickle.dumps(lambda inputs, version=version: [float(version) for _ in inputs])
        query = f"version={version}&default=0&slo_ms=5000&lineage={json.dumps({'run': version})}"
        assert call.admin(f"/daybreak/v1/deploy/pong?{query.replace(' ', '%20')}", model)[0] == 200
    assert call.predict("pong", [1.0])["output"] == 2.0
    assert post("rollback", model="pong") == (200, {"model": "pong", "version": "1"})
    assert call.predict("pong", [1.0])["output"] == 1.0
    assert post("rollback", model="pong")[1]["error"] == "failed_precondition"
    assert post("set_version", model="pong", version="2")[0] == 200
    assert post("scale", model="pong", version="", replicas=2)[0] == 200
    status, found = call.admin("/daybreak/v1/status", method="GET")
    assert status == 200
    assert [(v["version"], v["ready"], v["lineage"]) for v in found["models"][0]["versions"]] == [
        ("1", 1, {"run": "1"}),
        ("2", 2, {"run": "2"}),
    ]
    assert post("unlink", app="pong", model="pong")[0] == 200
    assert call.predict("pong", [1.0])["default"] is True
    assert post("link", app="pong", model="pong")[0] == 200
    assert call.predict("pong", [1.0])["output"] == 2.0
    assert post("delete", model="pong", version="2", force=False)[1]["error"] == "failed_precondition"
    assert post("delete", model="pong", version="1", force=False)[0] == 200
    assert post("delete_app", app="pong")[0] == 200
    assert post("delete_app", app="pong")[0] == 404
    assert call.admin("/daybreak/v1/logs?model=pong", method="GET")[0] == 200
    assert call.admin("/daybreak/v1/logs?model=none", method="GET")[0] == 404
    assert call.admin("/daybreak/v1/logs?model=../x", method="GET")[0] == 400
    assert call.admin("/daybreak/v1/deploy/pong", method="GET")[0] == 405
    assert post("drain", timeout_s=-1)[0] == 400
    assert post("drain", timeout_s=1)[0] == 200
    assert server.wait(30)


def test_a_rollback_does_not_wait_behind_deploys(start: Callable[..., serve.Server], caller: Any) -> None:
    """However many of them hang."""
    import threading

    import cloudpickle

    server = start(ready_timeout_s=5.0)
    call = caller(server)
    for version in ("1", "2"):
        server.deploy("pong", lambda inputs: [1.0 for _ in inputs], version=version, default="0")

    class Hangs:
        def warm_up(self) -> None:
            threading.Event().wait()

        def predict(self, inputs: Any) -> Any:
            return inputs

    model = cloudpickle.dumps(Hangs())
    statuses: list[int] = []

    def deploy(i: int) -> None:
        statuses.append(call.admin(f"/daybreak/v1/deploy/pong?version=h{i}", model)[0])

    threads = [threading.Thread(target=deploy, args=(i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    assert call.admin("/daybreak/v1/rollback", {"model": "pong"})[0] == 200
    for thread in threads:
        thread.join()
    assert set(statuses) <= {400, 503} and 400 in statuses
    assert [v["version"] for v in server.models()[0]["versions"]] == ["1", "2"]

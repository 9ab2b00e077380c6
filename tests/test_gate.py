"""The server's door and who may pass it: `serve` holds the gate, `grant` is the gate."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from daybreak import grant, serve
from daybreak.demo.pong.visitor import Refused, Visitor

SERVER = "here"


class Door:
    """A server with a gated app, the owner of its namespace, and visitors."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.owner = grant.Entity.create()
        self.wallet = grant.Wallet(self.owner)
        self.revocations = grant.RevocationStore.create(str(folder / "revocations"))
        self.verifier = grant.Verifier(
            namespace=self.owner.id, server=SERVER, revocations=self.revocations, max_staleness_s=1
        )
        self.server = serve.start(query_port=0, admin_port=0, metrics_port=0, server_id=SERVER)
        for app in ("pong", "other"):
            self.server.deploy(app, lambda xs: [len(x) for x in xs], default="-1", slo_ms=10_000, gate=self.verifier)
        self.port = int(self.server.query_address.rsplit(":", 1)[1])

    def visitor(self, app: str = "pong") -> Visitor:
        return Visitor(self.port, app)

    def let_in(self, visitor: Visitor, statements: list[tuple[list[str], str]]) -> grant.Granted:
        granted = self.wallet.grant(visitor.entity.public, namespace=self.owner.id, statements=statements)
        wallet = grant.Wallet(visitor.entity)
        wallet.add(granted.bundle)
        permission, pattern = statements[0][0][0], statements[0][1]
        visitor.proof = wallet.prove([(permission, pattern.replace("*", "pong"))], namespace=self.owner.id)
        return granted


@pytest.fixture()
def door(tmp_path: Path) -> Iterator[Door]:
    door = Door(tmp_path)
    yield door
    door.server.stop()


def refused(attempt: object) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        attempt()  # type: ignore[operator]
    return caught.value.status, caught.value.reason


X = np.zeros(3)


def test_who_is_granted_passes_signed_and_by_session(door: Door) -> None:
    visitor = door.visitor()
    assert refused(lambda: visitor.predict(X)) == (401, "no_proof")
    door.let_in(visitor, [(["predict"], "apps/pong")])
    assert visitor.predict(X, signed=True, server=SERVER)["output"] == 3
    visitor.open_session()
    assert visitor.predict(X)["output"] == 3
    socket = visitor.connect()
    socket.send('{"id":1,"input":[1,2]}')
    assert '"output":2' in socket.receive()
    socket.close()


def test_a_grant_of_one_app_or_of_another_permission_opens_no_other(door: Door) -> None:
    visitor = door.visitor()
    door.let_in(visitor, [(["predict"], "apps/pong")])
    visitor.open_session()
    visitor.app = "other"
    assert refused(lambda: visitor.predict(X))[0] == 403
    assert refused(visitor.open_session)[1] == "not_granted"
    deployer = door.visitor()
    door.let_in(deployer, [(["deploy"], "apps/pong")])
    assert refused(deployer.open_session) == (403, "not_granted")


def test_a_stolen_proof_is_useless(door: Door) -> None:
    owner, thief = door.visitor(), door.visitor()
    door.let_in(owner, [(["predict"], "apps/pong")])
    thief.proof = owner.proof
    assert refused(lambda: thief.predict(X, signed=True, server=SERVER))[0] == 403
    assert refused(thief.open_session)[0] == 403


def test_a_request_for_another_server_passes_nowhere_else(door: Door) -> None:
    visitor = door.visitor()
    door.let_in(visitor, [(["predict"], "apps/pong")])
    assert refused(lambda: visitor.predict(X, signed=True, server="elsewhere"))[0] == 403


def test_a_stolen_session_does_not_work_from_another_page(door: Door) -> None:
    visitor = door.visitor()
    door.let_in(visitor, [(["predict"], "apps/pong")])
    visitor.open_session()
    import http.client

    for origin in (f"http://127.0.0.1:{door.port}", "http://evil.example", "null"):
        connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=10)
        headers = {"Authorization": f"Bearer {visitor.session}", "Origin": origin}
        connection.request("POST", "/pong/predict", b'{"input":[1]}', headers)
        assert connection.getresponse().status == 403, origin
        connection.close()


def test_a_revoked_visitor_is_out_within_the_bound_on_every_way(door: Door) -> None:
    visitor = door.visitor()
    granted = door.let_in(visitor, [(["predict"], "apps/pong")])
    visitor.open_session()
    socket = visitor.connect()
    grant.revoke(door.revocations, door.owner, granted.attestation)
    with pytest.raises(Exception, match="closed"):
        socket.receive()  # it says nothing: the server looks by itself
    assert (socket.close_code, socket.close_reason) == (4403, "revoked")
    assert refused(lambda: visitor.predict(X)) == (403, "revoked")
    assert refused(lambda: visitor.predict(X, signed=True, server=SERVER)) == (403, "revoked")
    assert refused(visitor.open_session) == (403, "revoked")


def test_when_the_store_cannot_be_read_nobody_passes(door: Door) -> None:
    visitor = door.visitor()
    door.let_in(visitor, [(["predict"], "apps/pong")])
    visitor.open_session()
    socket = visitor.connect()
    assert visitor.predict(X)["output"] == 3
    shutil.move(door.folder / "revocations", door.folder / "gone")
    with pytest.raises(Exception, match="closed"):
        socket.receive()
    assert (socket.close_code, socket.close_reason) == (4403, "revocation_stale")
    assert refused(lambda: visitor.predict(X)) == (403, "revocation_stale")
    shutil.move(door.folder / "gone", door.folder / "revocations")


def test_tokens_and_proofs_are_in_no_log_and_no_metric(door: Door, capfd: pytest.CaptureFixture[str]) -> None:
    visitor = door.visitor()
    door.let_in(visitor, [(["predict"], "apps/pong")])
    visitor.open_session()
    visitor.predict(X)
    refused(lambda: Visitor(door.port, "pong").predict(X))
    printed = "".join(capfd.readouterr()) + str(door.server.status())
    for path in Path(door.server.state_dir).rglob("*"):
        if path.is_file():
            printed += path.read_text(errors="replace")
    assert visitor.session not in printed

"""The lab's agent: who may ask it, and what it gives."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daybreak import grant
from daybreak.demo.pong.agent import Agent, decoded, encoded
from daybreak.demo.pong.lab import Lab

ORIGIN = "http://127.0.0.1:1337"


@pytest.fixture()
def agent(tmp_path: Path) -> Iterator[Agent]:
    agent = Agent(Lab(tmp_path), ORIGIN)
    yield agent
    agent.close()


def ask(agent: Agent, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", agent.port, timeout=10)
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    connection.request(method, path, data, {name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    raw = response.read()
    connection.close()
    return response.status, json.loads(raw) if raw else None, dict(response.headers)


def entered(agent: Agent) -> dict[str, str]:
    status, body, _ = ask(agent, "POST", "/agent/enter", {"token": agent.token()})
    assert status == 200
    return {"Authorization": f"Bearer {body['session']}"}


def test_a_token_is_good_once(agent: Agent) -> None:
    token = agent.token()
    assert ask(agent, "POST", "/agent/enter", {"token": token})[0] == 200
    status, body, _ = ask(agent, "POST", "/agent/enter", {"token": token})
    assert status == 401 and body["error"] == "unauthenticated"
    for wrong in ("", "x", None, 7, [token]):
        assert ask(agent, "POST", "/agent/enter", {"token": wrong})[0] == 401


def test_other_pages_and_other_names_are_refused(agent: Agent) -> None:
    body = {"token": agent.token()}
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1338", "https://127.0.0.1:1337"):
        status, _, headers = ask(agent, "POST", "/agent/enter", body, Origin=origin)
        assert status == 403 and "Access-Control-Allow-Origin" not in headers
        assert ask(agent, "OPTIONS", "/agent/enter", Origin=origin)[0] == 403
    assert ask(agent, "POST", "/agent/enter", body, Host="evil.example")[0] == 403
    status, _, headers = ask(agent, "OPTIONS", "/agent/enter", Origin=ORIGIN)
    assert status == 204 and headers["Access-Control-Allow-Origin"] == ORIGIN
    assert ask(agent, "POST", "/agent/enter", body, Origin=ORIGIN)[0] == 200  # the token was not used up


def test_what_is_granted_is_a_proof_that_its_owner_alone_can_use(agent: Agent) -> None:
    page, session = grant.Entity.create(sealing=False), entered(agent)
    status, body, _ = ask(agent, "POST", "/agent/grant", {"record": encoded(page.public), "app": "pong"}, **session)
    assert status == 200 and body["permission"] == "predict" and body["resource"] == "apps/pong"
    verifier = agent.lab.verifier("server")
    proof = decoded(body["proof"])
    assert verifier.verify(proof, [("predict", "apps/pong")]).subject == page.id
    with pytest.raises(grant.Denied):
        verifier.verify(proof, [("deploy", "apps/pong")])
    assert ask(agent, "POST", "/agent/revoke", {"record": encoded(page.public)}, **session)[1] == {"revoked": True}
    verifier.refresh()
    with pytest.raises(grant.Denied, match="revoked"):
        verifier.verify(proof, [("predict", "apps/pong")])
    assert ask(agent, "POST", "/agent/revoke", {"record": encoded(page.public)}, **session)[0] == 404


def test_asking_twice_and_revoking_once_ends_both(agent: Agent) -> None:
    page, session = grant.Entity.create(sealing=False), entered(agent)
    question = {"record": encoded(page.public), "app": "pong"}
    proofs = [decoded(ask(agent, "POST", "/agent/grant", question, **session)[1]["proof"]) for _ in range(2)]
    verifier = agent.lab.verifier("server")
    assert verifier.verify(proofs[1], [("predict", "apps/pong")])
    ask(agent, "POST", "/agent/revoke", question, **session)
    verifier.refresh()
    for proof in proofs:
        with pytest.raises(grant.Denied, match="revoked"):
            verifier.verify(proof, [("predict", "apps/pong")])


def test_a_page_cannot_revoke_what_another_was_granted(agent: Agent) -> None:
    page = grant.Entity.create(sealing=False)
    ask(agent, "POST", "/agent/grant", {"record": encoded(page.public), "app": "pong"}, **entered(agent))
    assert ask(agent, "POST", "/agent/revoke", {"record": encoded(page.public)}, **entered(agent))[0] == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"{", 400),
        (b"x" * 5000, 400),
        (b'{"record":"!"}', 400),
        (b'{"record":"AAAA","app":"pong"}', 400),
    ],
)
def test_bad_questions_are_answered(agent: Agent, body: bytes, status: int) -> None:
    found = ask(agent, "POST", "/agent/grant", body, **entered(agent))
    assert found[0] == status and found[1]["error"], found
    assert ask(agent, "POST", "/agent/grant", body)[0] in (400, 401)
    assert ask(agent, "GET", "/agent/grant")[0] == 404

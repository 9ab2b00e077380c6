"""Who plays without a browser: asks the lab's agent, proves what was granted, and predicts over HTTP and WebSocket."""

from __future__ import annotations

import http.client
import json
from typing import Any

from daybreak import grant, net
from daybreak.base import errors

from .agent import decoded, encoded

__all__ = ["Refused", "Visitor"]


class Refused(errors.PermissionDeniedError):
    """The server or the agent said no. `status`: HTTP's, `code`: its word for why."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.reason = code


def _post(port: int, method: str, path: str, body: Any, headers: dict[str, str]) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, data, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        answer = json.loads(response.read() or b"null")
    finally:
        connection.close()
    if response.status >= 400:
        raise Refused(response.status, str(answer.get("error")) if isinstance(answer, dict) else "unknown")
    return dict(answer or {})


class Visitor:
    """Someone with a key of their own, as a page is: first a stranger.

    port: of predictions. agent: address ("http://127.0.0.1:PORT") and one-time token of the lab's agent, if there is one.
    """

    def __init__(self, port: int, app: str = "pong", agent: tuple[int, str] | None = None) -> None:
        self.port = port
        self.app = app
        self.entity = grant.Entity.create(valid_for=86_400)
        self.proof = b""
        self.session = ""
        self._agent = agent
        self._agent_session = ""

    def _ask_agent(self, question: str, body: dict[str, Any]) -> dict[str, Any]:
        assert self._agent is not None
        port, token = self._agent
        if not self._agent_session:
            self._agent_session = _post(port, "POST", "/agent/enter", {"token": token}, {})["session"]
        headers = {"Authorization": f"Bearer {self._agent_session}"}
        return _post(port, "POST", f"/agent/{question}", {"record": encoded(self.entity.public), **body}, headers)

    def ask_the_lab(self) -> None:
        """To be let in: a proof of `predict` on the app."""
        self.proof = decoded(self._ask_agent("grant", {"app": self.app})["proof"])

    def revoke_me(self) -> None:
        self._ask_agent("revoke", {})

    def open_session(self) -> None:
        """A token for the connections to come. Refused says why not."""
        asked = _post(self.port, "POST", "/daybreak/v1/challenge", {"app": self.app}, {})
        signature = grant.sign_challenge(
            self.entity, self.proof, server=asked["server"], challenge=decoded(asked["challenge"]), app=self.app
        )
        body = {
            "app": self.app,
            "proof": encoded(self.proof),
            "challenge": asked["challenge"],
            "signature": encoded(signature),
        }
        self.session = _post(self.port, "POST", "/daybreak/v1/session", body, {})["token"]

    def predict(self, observation: Any, *, signed: bool = False, server: str = "") -> dict[str, Any]:
        """One prediction over HTTP, with the session, or signed by itself."""
        path = f"/{self.app}/predict"
        body = json.dumps({"input": [float(x) for x in observation]}).encode()
        headers = {"Authorization": f"Bearer {self.session}"} if self.session else {}
        if signed:
            request = grant.sign_request(
                self.entity, self.proof, server=server, method="POST", path=path, body=body, app=self.app
            )
            headers = {
                "Daybreak-Proof": encoded(request.proof),
                "Daybreak-Issued-At": str(request.issued_at_ns),
                "Daybreak-Nonce": encoded(request.nonce),
                "Daybreak-Signature": encoded(request.signature),
            }
        return _post(self.port, "POST", path, body, headers)

    def describe(self) -> dict[str, Any]:
        """What the server tells about the app: versions, where they came from, what was counted."""
        headers = {"Authorization": f"Bearer {self.session}"}
        return _post(self.port, "GET", f"/daybreak/v1/apps/{self.app}", b"", headers)

    def connect(self) -> net.WebSocketClient:
        """The connection over which a game asks for every move."""
        protocols = "daybreak.v1" + (f", daybreak.token.{self.session}" if self.session else "")
        headers = {"Sec-WebSocket-Protocol": protocols}
        return net.WebSocketClient("127.0.0.1", self.port, f"/{self.app}/predict", headers=headers)

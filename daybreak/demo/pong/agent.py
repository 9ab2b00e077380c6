"""The lab's agent: whom a page asks to be let in. It lives with the lab's key, on a loopback port of its own.

A page comes with a token that is good once (in the fragment of its address, which browsers do not send), and gets a session of its
own. Nothing secret of the lab ever leaves: what the page gets is a proof, which is public.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from daybreak import grant
from daybreak.base import errors
from daybreak.grant import Attestation

from .lab import Lab

__all__ = ["Agent"]

MAX_BODY_BYTES = 4096
MAX_SESSIONS = 64
GRANT_S = 3600  # how long a page may play


def decoded(text: object) -> bytes:
    """The bytes of base64url text without padding."""
    if not isinstance(text, str):
        raise errors.InvalidArgumentError("a text of base64url was expected")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise errors.InvalidArgumentError("this is not base64url") from None


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Agent:
    """Answers pages of one origin, and Python clients, which send none.

    origin: "http://127.0.0.1:1337", the page's.
    """

    def __init__(self, lab: Lab, origin: str) -> None:
        self.lab = lab
        self.origin = origin
        self._lock = threading.Lock()
        self._tokens: set[str] = set()
        self._sessions: dict[str, dict[str, Attestation]] = {}  # what each was granted, by the entity's id
        handler = type("_AgentRequest", (_Request,), {"agent": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="lab agent", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def token(self) -> str:
        """A token for one page, good once."""
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._tokens.add(token)
        return token

    def page(self) -> str:
        """The page's address for one person, who can ask this agent."""
        return f"{self.origin}/#agent={self.address}&token={self.token()}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # What pages ask.

    def enter(self, body: dict[str, Any]) -> dict[str, Any]:
        """A session for whoever has a token."""
        given = body.get("token")
        with self._lock:
            found = next((t for t in self._tokens if isinstance(given, str) and _same(t, given)), None)
            if found is None:
                raise errors.UnauthenticatedError("this token is not known, or has been used: ask the lab for another")
            if len(self._sessions) >= MAX_SESSIONS:
                raise errors.ResourceExhaustedError(f"{MAX_SESSIONS} pages have been let in, the most")
            self._tokens.remove(found)
            session = secrets.token_urlsafe(24)
            self._sessions[session] = {}
        return {"session": session}

    def grant(self, session: dict[str, Attestation], body: dict[str, Any]) -> dict[str, Any]:
        """`predict` on the app, to the page's key; the proof of it."""
        record, subject = _entity(body)
        if body.get("app") != "pong":
            raise errors.InvalidArgumentError("this lab grants 'predict' on the app 'pong' alone")
        resource = "apps/pong"
        granted = self.lab.owner.wallet.grant(
            record, namespace=self.lab.namespace, statements=[(["predict"], resource)], valid_for=GRANT_S
        )
        proof = self.lab.owner.wallet.prove([("predict", resource)], namespace=self.lab.namespace, subject=subject)
        with self._lock:
            before = session.get(subject)
            session[subject] = granted.attestation
        if before is not None:  # one grant for each key: revoking it ends all
            grant.revoke(self.lab.revocations, self.lab.owner.entity, before)
            proof = self.lab.owner.wallet.prove(
                [("predict", resource)],
                namespace=self.lab.namespace,
                subject=subject,
                revocations=self.lab.revocations,
            )
        return {
            "proof": encoded(proof),
            "namespace": self.lab.namespace,
            "valid_until": int(time.time()) + GRANT_S,
            "permission": "predict",
            "resource": resource,
        }

    def revoke(self, session: dict[str, Attestation], body: dict[str, Any]) -> dict[str, Any]:
        """What this session granted to the key ends."""
        _, subject = _entity(body)
        with self._lock:
            granted = session.pop(subject, None)
        if granted is None:
            raise errors.NotFoundError("nothing was granted to this key here")
        grant.revoke(self.lab.revocations, self.lab.owner.entity, granted)
        return {"revoked": True}

    def session_of(self, header: str) -> dict[str, Attestation]:
        given = header.removeprefix("Bearer ")
        with self._lock:
            for session, granted in self._sessions.items():
                if _same(session, given):
                    return granted
        raise errors.UnauthenticatedError("this needs the session that /agent/enter gave")


def _entity(body: dict[str, Any]) -> tuple[bytes, str]:
    """The record of who asks, and its id."""
    record = decoded(body.get("record"))
    try:
        return record, grant.entity_id(record)
    except errors.DataLossError as error:
        raise errors.InvalidArgumentError(f"this is no entity's record: {error}") from None


def _word(error: errors.Error) -> str:
    """ "not_found" for a NotFoundError; a denial has a word of its own."""
    if isinstance(error, grant.Denied):
        return str(error.code)
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(error).__name__.removesuffix("Error")).lower()


def _same(a: str, b: str) -> bool:
    return hmac.compare_digest(a.encode(), b.encode())


class _Request(BaseHTTPRequestHandler):
    """One request. Host and Origin are exactly what they must be; everything else is refused before it is read."""

    agent: ClassVar[Agent]
    protocol_version = "HTTP/1.1"
    timeout = 10
    server_version = "daybreak-agent"
    sys_version = ""

    def log_message(self, format: str, *args: Any) -> None:  # tokens never come near a log
        pass

    def _answer(self, status: int, body: dict[str, Any] | None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        if self.headers.get("Origin") == self.agent.origin:
            self.send_header("Access-Control-Allow-Origin", self.agent.origin)
            self.send_header("Access-Control-Allow-Methods", "POST")
            self.send_header("Access-Control-Allow-Headers", "Content-Type, Authorization")
            self.send_header("Access-Control-Max-Age", "600")
            self.send_header("Access-Control-Allow-Private-Network", "true")
        self.send_header("Vary", "Origin")
        self.send_header("Cache-Control", "no-store")
        if body is not None:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if status >= 400:
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def _is_ours(self) -> bool:
        hosts = {f"127.0.0.1:{self.agent.port}", f"localhost:{self.agent.port}"}
        origin = self.headers.get("Origin")
        if self.headers.get("Host") not in hosts or origin not in (None, self.agent.origin):
            self._answer(403, {"error": "permission_denied", "message": "this page may not ask the lab"})
            return False
        return True

    def do_OPTIONS(self) -> None:
        if self._is_ours():
            self._answer(204, None)

    def do_GET(self) -> None:
        if self._is_ours():
            self._answer(404, {"error": "not_found", "message": "there is nothing to see here"})

    def do_POST(self) -> None:
        if not self._is_ours():
            return
        try:
            self._answer(200, self._handled())
        except errors.Error as error:
            self._answer(error.http_status, {"error": _word(error), "message": str(error)})

    def _handled(self) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            raise errors.InvalidArgumentError(
                f"a body of at most {MAX_BODY_BYTES} bytes, with its length, was expected"
            )
        try:
            body = json.loads(self.rfile.read(int(length)))
        except ValueError:
            raise errors.InvalidArgumentError("the body is no JSON") from None
        if not isinstance(body, dict):
            raise errors.InvalidArgumentError("the body is no JSON object")
        if self.path == "/agent/enter":
            return self.agent.enter(body)
        if self.path not in ("/agent/grant", "/agent/revoke"):
            raise errors.NotFoundError("no such question")
        session = self.agent.session_of(self.headers.get("Authorization", ""))
        return self.agent.grant(session, body) if self.path == "/agent/grant" else self.agent.revoke(session, body)

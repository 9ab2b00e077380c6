"""The page against a real server behind a real gate: the browser is refused, granted, plays, and is revoked; and the same game in
Node against the served policy."""

import base64
import functools
import http.server
import json
import os
import shutil
import subprocess
import threading
import urllib.request
from pathlib import Path

import pytest
from playwright import sync_api as playwright

from daybreak import grant, serve
from daybreak.demo import recordings, training

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "daybreak" / "demo" / "page"
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
STALENESS_S = 1
SLO_MS = 2000  # none is missed on a busy machine
PREDICT = [("predict", "apps/pong")]
WAIT_MS = 15_000


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Lab:
    """A namespace whose owner lets players in, and takes that back."""

    def __init__(self, folder: Path) -> None:
        self.owner = grant.Entity.create()
        self.wallet = grant.Wallet(self.owner)
        self.revocations = grant.RevocationStore.create(str(folder))
        self.verifier = grant.Verifier(
            namespace=self.owner.id, server="pong-lab", revocations=self.revocations, max_staleness_s=STALENESS_S
        )
        self.token = ""  # of the next page that is opened: good once
        self.sessions: set[str] = set()
        self.given: dict[bytes, list[grant.Attestation]] = {}

    def proof(self, record: bytes) -> bytes:
        """Grants, and proves it for whoever has the key of this record: docs/formats/grant-proof.md."""
        granted = self.wallet.grant(
            record, namespace=self.owner.id, statements=[(["predict"], "apps/pong")], valid_for=3600
        )
        self.given.setdefault(record, []).append(granted.attestation)
        records = sorted([self.owner.public, record], key=grant.entity_id)
        owner, player = records.index(self.owner.public), records.index(record)
        signed = granted.attestation.encode()[1 + 3 * 32 :]  # terms and signature
        return bytes([1, 2]) + b"".join(records) + bytes([owner, 1, owner, player]) + signed + bytes([1, 1, 0])

    def revoke(self, record: bytes) -> None:
        for attestation in self.given.pop(record, []):
            grant.revoke(self.revocations, self.owner, attestation)


class Agent(http.server.BaseHTTPRequestHandler):
    """The lab's agent, as the page speaks to it: on a port of its own, for the page's origin alone."""

    def __init__(self, *arguments, lab: Lab, origin: list[str]) -> None:
        self.lab, self.origin = lab, origin
        super().__init__(*arguments)

    def answer(self, status: int, body: object = None) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Access-Control-Allow-Origin", self.origin[0])
        self.send_header("Access-Control-Allow-Methods", "POST")
        self.send_header("Access-Control-Allow-Headers", "Authorization, Content-Type")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_OPTIONS(self) -> None:
        self.answer(204)

    def do_POST(self) -> None:
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Origin"] != self.origin[0]:
            return self.answer(403, {"error": "other_origin", "message": "This page is not the lab's."})
        if self.path == "/agent/enter":
            if not self.lab.token or said["token"] != self.lab.token:
                return self.answer(403, {"error": "used_up", "message": "This address has been used: ask for another."})
            self.lab.token = ""
            session = os.urandom(16).hex()
            self.lab.sessions.add(session)
            return self.answer(200, {"session": session})
        if self.headers["Authorization"].removeprefix("Bearer ") not in self.lab.sessions:
            return self.answer(401, {"error": "no_session", "message": "Open the address that the lab gave you."})
        record = unb64(said["record"])
        if self.path == "/agent/revoke":
            self.lab.revoke(record)
            return self.answer(200, {"revoked": True})
        proof = self.lab.proof(record)
        until = self.lab.given[record][-1].valid_until
        about = {"namespace": self.lab.owner.id, "permission": "predict", "resource": "apps/pong"}
        return self.answer(200, {"proof": b64(proof), "valid_until": until, **about})

    def log_message(self, *arguments: object) -> None:
        pass


class Unlogged:
    def log(self, *arguments: object, **options: object) -> None: ...
    def artifact(self, *arguments: object, **options: object) -> None: ...


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return Lab(tmp_path_factory.mktemp("lab") / "revocations")


@pytest.fixture(scope="module")
def served(lab):
    """(server, address of the agent): two policies that imitate a player; version 2 is live."""
    origin: list[str] = []
    agent = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Agent, lab=lab, origin=origin))
    threading.Thread(target=agent.serve_forever, daemon=True).start()
    files = {path.relative_to(PAGE).as_posix(): path for path in PAGE.rglob("*") if path.is_file()}
    site = {
        "/" + name.replace("index.html", ""): (TYPES[path.suffix], path.read_bytes()) for name, path in files.items()
    }
    at = f"http://127.0.0.1:{agent.server_port}"
    policy = f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' {at}"
    with serve.start(
        query_port=0,
        admin_port=0,
        metrics_port=0,
        server_id="pong-lab",
        site=site,
        site_headers={"Content-Security-Policy": policy},
    ) as server:
        for version in ("1", "2"):
            recording = recordings.record_player(475, 3_000_000 + int(version))
            imitator, _ = training.imitate(recording, int(version), Unlogged())
            lineage = {
                "run": f"run-{version}",
                "artifact": version * 64,
                "name": "imitation",
                "params": {"rows": 475, "seed": int(version)},
                "curve": {"steps": [0, 10, 20], "values": [0.4, 0.8, 0.9], "metric": "accuracy"},
            }
            server.deploy(
                "pong", imitator, version=version, default=0, slo_ms=SLO_MS, gate=lab.verifier, lineage=lineage
            )
        origin.append(f"http://{server.query_address}")
        yield server, at
    agent.shutdown()


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    """A fresh browser, which has never been here; no script of the page may fail."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


def open_page(page, lab, served) -> None:
    server, agent = served
    lab.token = os.urandom(16).hex()
    page.goto(f"http://{server.query_address}/#agent={agent}&token={lab.token}")


def become_player(page, lab, served) -> None:
    open_page(page, lab, served)
    page.click("#ask")
    page.wait_for_selector("#start:visible")
    assert page.inner_text("#state") == "player"


def wait_for_text(page, selector: str, text: str) -> None:
    playwright.expect(page.locator(selector)).to_have_text(text, timeout=WAIT_MS)


def test_a_stranger_is_refused_granted_plays_and_is_revoked(page, lab, served):
    open_page(page, lab, served)
    wait_for_text(page, "#reason", "401 no_proof")
    assert page.inner_text("#state") == "stranger"
    assert "#" not in page.url and "token" not in page.url

    page.click("#ask")
    wait_for_text(page, "#state", "player")
    page.keyboard.press("ArrowUp")
    page.wait_for_function("() => Number(document.querySelector('#moves').textContent) >= 60")
    assert page.get_attribute("body", "data-phase") == "playing"
    assert page.inner_text("#version") == "version 2"
    assert page.inner_text("#misses") == "0"
    assert page.inner_text("#latency-p50").endswith(" ms")
    if path := os.environ.get("DAYBREAK_SCREENSHOT"):
        page.click("[data-show='2']")
        page.wait_for_timeout(500)
        page.screenshot(path=path)

    page.click("#revoke")
    wait_for_text(page, "#state", "revoked")
    wait_for_text(page, "#reason", "4403 revoked")
    moves = page.inner_text("#moves")
    page.wait_for_selector("#ask:visible", timeout=2 * WAIT_MS)  # the rally has ended
    assert "took your grant back" in page.inner_text("#text")
    assert page.inner_text("#moves") == moves

    page.reload()  # the proof is still there, and still revoked
    wait_for_text(page, "#reason", "403 revoked")
    assert page.inner_text("#state") == "revoked"


def test_versions_are_listed_pinned_and_shown_with_their_runs(page, lab, served):
    become_player(page, lab, served)
    page.click("#start")
    wait_for_text(page, "#version", "version 2")
    page.click("[data-version='1']")
    wait_for_text(page, "#version", "version 1")
    page.click("#live")
    wait_for_text(page, "#version", "version 2")
    served[0].set_version("pong", "1")
    wait_for_text(page, "#version", "version 1")
    served[0].set_version("pong", "2")
    wait_for_text(page, "#version", "version 2")
    page.click("[data-show='1']")
    details = page.locator("#versions li[data-open='true']")
    assert "run-1" in details.inner_text() and "1" * 64 in details.inner_text() and "rows 475" in details.inner_text()
    assert details.locator("svg.curve path").count() == 1
    assert page.inner_text("#misses") == "0"


def test_who_was_granted_plays_on_after_a_reload(page, lab, served):
    become_player(page, lab, served)
    page.reload()
    wait_for_text(page, "#state", "player")
    page.click("#start")
    page.wait_for_function("() => Number(document.querySelector('#moves').textContent) >= 5")


def test_an_address_of_the_agent_is_good_once(page, lab, served):
    open_page(page, lab, served)
    page.wait_for_selector("#ask:visible")
    used = page.context.browser.new_context()
    other = used.new_page()
    lab.token = ""
    other.goto(f"http://{served[0].query_address}/#agent={served[1]}&token=0123")
    other.click("#ask")
    wait_for_text(other, "#reason", "403 used_up")
    used.close()


def test_without_an_agent_the_page_says_how_to_get_in(page, served):
    page.goto(f"http://{served[0].query_address}/")
    wait_for_text(page, "#reason", "401 no_proof")
    assert "Only the lab can let you in" in page.inner_text("#help")
    assert not page.is_visible("#ask")


def session_of(lab: Lab, address: str) -> str:
    """A player's session, over HTTP."""
    player = grant.Entity.create(sealing=False)
    wallet = grant.Wallet(player)
    granted = lab.wallet.grant(player.public, namespace=lab.owner.id, statements=[(["predict"], "apps/pong")])
    wallet.add(granted.bundle)
    proof = wallet.prove(PREDICT, namespace=lab.owner.id)

    def post(path: str, **body: str) -> dict:
        request = urllib.request.Request(
            f"http://{address}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    asked = post("/daybreak/v1/challenge", app="pong")
    signature = grant.sign_challenge(player, proof, unb64(asked["challenge"]), server=asked["server"], app="pong")
    opened = post(
        "/daybreak/v1/session", app="pong", proof=b64(proof), challenge=asked["challenge"], signature=b64(signature)
    )
    return opened["token"]


def test_the_served_policy_returns_four_balls_of_five(lab, served, tmp_path):
    address = served[0].query_address
    subprocess.run(["node", "build-tests.mjs", str(tmp_path)], cwd=ROOT / "console", check=True)
    command = ["node", str(tmp_path / "headless.mjs"), f"ws://{address}/pong/predict", "--points", "5"]
    done = subprocess.run([*command, "--token", session_of(lab, address)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    played = json.loads(done.stdout)
    assert played["balls"] >= 5 and played["rate"] >= 0.8, played
    assert played["versions"] == ["2"] and played["misses"] == 0
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 1 and "401" in refused.stderr

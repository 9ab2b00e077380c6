"""The page against a real server behind a real gate: the browser is refused, granted, plays, and is revoked; and the same game in
Node against the served policy."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright import sync_api as playwright

from daybreak import serve
from daybreak.demo.pong import recordings, serving, training
from daybreak.demo.pong.agent import Agent
from daybreak.demo.pong.lab import Lab
from daybreak.demo.pong.visitor import Visitor

ROOT = Path(__file__).resolve().parent.parent
SLO_MS = 2000  # none is missed on a busy machine
WAIT_MS = 15_000


class Unlogged:
    def log(self, *arguments: object, **options: object) -> None: ...
    def artifact(self, *arguments: object, **options: object) -> None: ...


@dataclass
class Served:
    """A server with two policies that imitate a player, version 2 live, and the lab's agent."""

    server: serve.Server
    agent: Agent

    @property
    def address(self) -> str:
        return self.server.query_address


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("lab"))
    with serve.start(
        query_port=0,
        admin_port=0,
        metrics_port=0,
        server_id=serving.SERVER,
        site=serving.site(),
        site_headers=serving.SITE_HEADERS,
    ) as server:
        gate = lab.verifier(serving.SERVER)
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
            server.deploy("pong", imitator, version=version, default=0, slo_ms=SLO_MS, gate=gate, lineage=lineage)
        agent = Agent(lab, f"http://{server.query_address}")
        yield Served(server, agent)
        agent.close()


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


def become_player(page, served) -> None:
    page.goto(served.agent.page())
    page.click("#ask")
    page.wait_for_selector("#start:visible")
    assert page.inner_text("#state") == "player"


def wait_for_text(page, selector: str, text: str) -> None:
    playwright.expect(page.locator(selector)).to_have_text(text, timeout=WAIT_MS)


def test_a_stranger_is_refused_granted_plays_and_is_revoked(page, served):
    page.goto(served.agent.page())
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


def test_versions_are_listed_pinned_and_shown_with_their_runs(page, served):
    become_player(page, served)
    page.click("#start")
    wait_for_text(page, "#version", "version 2")
    page.click("[data-version='1']")
    wait_for_text(page, "#version", "version 1")
    page.click("#live")
    wait_for_text(page, "#version", "version 2")
    served.server.set_version("pong", "1")
    wait_for_text(page, "#version", "version 1")
    served.server.set_version("pong", "2")
    wait_for_text(page, "#version", "version 2")
    page.click("[data-show='1']")
    details = page.locator("#versions li[data-open='true']")
    assert "run-1" in details.inner_text() and "1" * 64 in details.inner_text() and "rows 475" in details.inner_text()
    assert details.locator("svg.curve path").count() == 1
    assert page.inner_text("#misses") == "0"


def test_who_was_granted_plays_on_after_a_reload(page, served):
    become_player(page, served)
    page.reload()
    wait_for_text(page, "#state", "player")
    page.click("#start")
    page.wait_for_function("() => Number(document.querySelector('#moves').textContent) >= 5")


def test_an_address_of_the_agent_is_good_once(page, served):
    address = served.agent.page()
    page.goto(address)
    page.click("#ask")
    wait_for_text(page, "#state", "player")
    other_browser = page.context.browser.new_context()
    other = other_browser.new_page()
    other.goto(address)
    other.click("#ask")
    wait_for_text(other, "#reason", "401 unauthenticated")
    assert other.inner_text("#state") == "stranger"
    other_browser.close()


def test_without_an_agent_the_page_says_how_to_get_in(page, served):
    page.goto(f"http://{served.address}/")
    wait_for_text(page, "#reason", "401 no_proof")
    assert "Only the lab can let you in" in page.inner_text("#help")
    assert not page.is_visible("#ask")


def test_the_served_policy_returns_four_balls_of_five(served, tmp_path):
    player = Visitor(int(served.address.rsplit(":", 1)[1]), agent=(served.agent.port, served.agent.token()))
    player.ask_the_lab()
    player.open_session()
    subprocess.run(["node", "build-tests.mjs", str(tmp_path)], cwd=ROOT / "console", check=True)
    command = ["node", str(tmp_path / "headless.mjs"), f"ws://{served.address}/pong/predict", "--points", "5"]
    done = subprocess.run([*command, "--token", player.session], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    played = json.loads(done.stdout)
    assert played["balls"] >= 5 and played["rate"] >= 0.8, played
    assert played["versions"] == ["2"] and played["misses"] == 0
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 1 and "401" in refused.stderr

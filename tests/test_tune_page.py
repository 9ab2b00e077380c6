"""The page of `daybreak tune plot --out page.html` in a browser: what it shows, that it loads nothing and fits on a telephone."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright import sync_api as playwright

from daybreak import tune
from daybreak.tune import plots


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = tune.create_study(study_name="<b>bowl</b> & co", seed=0)

    def objective(trial: tune.Trial) -> float:
        x = trial.suggest_float("x", -1, 1)
        for step in range(4):
            trial.report(x * x + 1 / (step + 1), step)
        return x * x + (trial.suggest_categorical("kind", ["a", "b & c", None]) == "a")

    study.optimize(objective, n_trials=40)
    made = tmp_path_factory.mktemp("page") / "page.html"
    plots.plot(study, made)
    return made


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


def test_every_picture_is_there_a_trial_says_what_it_is_and_nothing_is_loaded(
    path: Path, browser: playwright.Browser
) -> None:
    page = browser.new_page()
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(path.as_uri())
    assert page.locator("h1").inner_text() == "<b>bowl</b> & co"
    heads = page.locator("h2").all_inner_texts()
    assert heads == ["History", "Learning curves", "Parallel coordinates", "Slices", "Importance", "Timeline"]
    assert page.locator("svg").count() == 7
    point = page.locator("svg[aria-label=History] circle").first
    assert "trial 0 (COMPLETE)" in (point.locator("title").text_content() or "")
    before = point.evaluate("one => getComputedStyle(one).stroke")
    point.hover()
    assert point.evaluate("one => getComputedStyle(one).stroke") != before, "what the pointer is on stands out"
    assert asked == [path.as_uri()] and said == []
    page.close()


def test_it_fits_on_a_narrow_screen(path: Path, browser: playwright.Browser) -> None:
    page = browser.new_page(viewport={"width": 380, "height": 800})
    page.goto(path.as_uri())
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 380, "only the table scrolls, within itself"
    for place in range(page.locator("svg").count()):
        box = page.locator("svg").nth(place).bounding_box()
        assert box is not None and box["x"] + box["width"] <= 380
    page.close()


def test_texts_lie_within_their_pictures(path: Path, browser: playwright.Browser) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.goto(path.as_uri())
    outside = page.evaluate(
        """() => [...document.querySelectorAll('svg')].flatMap(svg => {
            const frame = svg.getBoundingClientRect();
            return [...svg.querySelectorAll('text')].filter(text => {
                const box = text.getBoundingClientRect();
                return box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1
                    || box.bottom > frame.bottom + 1;
            }).map(text => svg.getAttribute('aria-label') + ': ' + text.textContent);
        })"""
    )
    assert outside == []
    page.close()

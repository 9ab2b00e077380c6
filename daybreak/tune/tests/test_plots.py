"""Pictures of experiments and studies: what they hold, and that they can be drawn whatever was tuned."""

from __future__ import annotations

import html.parser
import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import daybreak
from daybreak import tune
from daybreak.base import errors
from daybreak.tune import plots, schedulers
from daybreak.tune.plots.figures import Axis, Figure, Mark, Parallel, figures_of
from daybreak.tune.plots.page import page
from daybreak.tune.plots.picture import png
from daybreak.tune.plots.terminal import text
from daybreak.tune.plots.view import Point, View, view_of


def train(config: dict[str, Any]) -> None:
    score = 0.0
    for _ in range(9):
        score += config["lr"] * (1 - score)
        tune.report({"score": score, "cost": 1 - config["lr"]})


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plots")
    daybreak.init(num_cpus=2)
    try:
        tune.Tuner(
            train,
            param_space={
                "lr": tune.loguniform(1e-3, 1),
                "net": {"act": tune.grid_search(["relu", None])},
                "object": object(),  # what no journal holds
            },
            tune_config=tune.TuneConfig(
                metric="score", mode="max", num_samples=4, seed=0,
                scheduler=schedulers.ASHAScheduler(max_t=9, reduction_factor=3),
            ),
            run_config=tune.RunConfig(storage_path=folder, name="curves", verbose=0),
        ).fit()  # fmt: skip
    finally:
        daybreak.shutdown()
    return folder / "curves"


def study(n_objectives: int = 1, n_trials: int = 30) -> tune.Study:
    made = tune.create_study(study_name="bowl", directions=["minimize"] * n_objectives, seed=0)

    def objective(trial: tune.Trial) -> Any:
        x = trial.suggest_float("x", -1, 1)
        kind = trial.suggest_categorical("kind", ["a", "b", True, 1, None])
        if kind == "a":
            trial.suggest_int("only a", 1, 1000, log=True)
        return x * x if n_objectives == 1 else [x * x + i * (x - 1) ** 2 for i in range(n_objectives)]

    made.optimize(objective, n_trials=n_trials)
    return made


class Svgs(html.parser.HTMLParser):
    """Refuses a page that loads anything."""

    def __init__(self) -> None:
        super().__init__()
        self.count: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        assert tag not in ("script", "link", "img", "iframe")
        assert not {"src", "href"} & {name for name, _ in attrs}


def drawn(made: str) -> dict[str, int]:
    parser = Svgs()
    parser.feed(made)
    for part in made.split("<svg")[1:]:
        ElementTree.fromstring("<svg" + part.split("</svg>")[0] + "</svg>")
    return parser.count


def test_a_page_has_every_picture_in_it_and_loads_nothing(experiment: Path) -> None:
    names = ["history", "curves", "rungs", "parallel", "slices", "importance", "timeline"]
    assert plots.names(experiment) == names
    made = plots.html(experiment)
    count = drawn(made)
    assert count["svg"] == 5 + 2 + 2, "two for the rungs, one a parameter"
    assert all(f'id="{name}"' in made for name in names)
    assert "lr = " in made and "net/act = relu" in made, "each point says which trial it is"


def test_the_best_of_an_experiment_is_by_its_metric_and_rungs_count_who_came_there(experiment: Path) -> None:
    view = view_of(experiment)
    best = view.best()
    assert best is not None and best.values == [max(point.values[0] for point in view.points if point.values)]
    assert view.rungs == [1, 3, 9]
    bars = figures_of(view, ["rungs"])[0]
    assert isinstance(bars, Figure) and bars.marks[0].x[0] == 8 and bars.marks[0].x[-1] >= 1
    other = view_of(experiment, metric="cost", mode="min")
    assert other.best() is not None and other.best().values == [min(p.values[0] for p in other.points if p.values)]  # type: ignore[union-attr]


def test_two_metrics_of_an_experiment_have_a_front(experiment: Path) -> None:
    view = view_of(experiment, metric=["score", "cost"], mode=["max", "max"])
    assert plots.names(view) == ["pareto", "timeline"]
    assert drawn(plots.html(view))["svg"] == 2


@pytest.mark.parametrize("objectives", [2, 3])
def test_the_front_is_that_of_the_study(objectives: int) -> None:
    made = study(objectives)
    figures = figures_of(view_of(made), ["pareto"])
    assert len(figures) == objectives * (objectives - 1) // 2
    front = {tuple(trial.values[:2]) for trial in made.best_trials if trial.values}
    marks = figures[0].marks[1]  # type: ignore[union-attr]
    assert set(zip(marks.x, marks.y, strict=True)) == front


def test_the_parameter_that_decides_is_the_most_important() -> None:
    found = plots.importances(study(1, 100))
    assert next(iter(found)) == "x" and set(found) == {"x", "kind", "only a"}


def test_a_png_and_characters_are_drawn_of_all_that_there_is(experiment: Path, tmp_path: Path) -> None:
    from PIL import Image

    for what in (experiment, study(), study(2)):
        plots.plot(what, tmp_path / "x.png")
        assert Image.open(tmp_path / "x.png").size[0] > 700
        assert plots.text(what, ascii=True).isascii()
    assert "best so far" in plots.text(experiment, ["history"])


def test_what_cannot_be_drawn_is_refused_by_name(experiment: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidArgumentError, match="no figure is called 'histroy': history, curves"):
        plots.text(experiment, ["histroy"])
    with pytest.raises(errors.InvalidArgumentError, match="has the parameter 'lrr': it has lr, net/act"):
        plots.text(experiment, ["slices"], ["lrr"])
    with pytest.raises(errors.FailedPreconditionError, match="one objective"):
        plots.text(experiment, ["pareto"])
    with pytest.raises(errors.InvalidArgumentError, match=r"ends in \.html or \.png"):
        plots.plot(experiment, tmp_path / "x.gif")
    with pytest.raises(errors.NotFoundError, match="neither an experiment's folder"):
        view_of(tmp_path)
    with pytest.raises(errors.FailedPreconditionError, match="no trials yet"):
        plots.text(tune.create_study())
    with pytest.raises(errors.FailedPreconditionError, match="at least 2"):
        plots.text(study(n_trials=1), ["importance"])


def test_names_of_a_stranger_do_not_become_html() -> None:
    made = tune.create_study(study_name="<script>alert(1)</script>")
    made.optimize(lambda trial: trial.suggest_float("<img src=x>", 0, 1), n_trials=3)
    drawn(plots.html(made))


def test_many_trials_are_thinned_out_and_the_picture_says_so() -> None:
    points = [Point(i, str(i), "COMPLETE", {"x": i / 50_000}, [float(i)]) for i in range(50_000)]
    view = View("many", "study", ["value"], [1.0], points)
    made = plots.html(view, ["history", "parallel", "slices"])
    assert "every 13th of 50,000 is drawn" in made and len(made) < 6_000_000
    assert 'cx="' in made and "trial 49999 " in made, "the last is among them"


NUMBERS = st.floats(width=64) | st.sampled_from([0.0, -0.0, 5e-324, 1.7e308, -1.7e308, math.inf, -math.inf, math.nan])
VALUES = st.one_of(NUMBERS, st.integers(-(2**53), 2**53), st.text(max_size=5), st.booleans(), st.none())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from(["a", "b/c", "$x^2$", "\x00\u202e"]), VALUES, max_size=3),
            st.none() | NUMBERS,
            st.lists(st.tuples(st.integers(0, 10), NUMBERS), max_size=4),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_whatever_was_tried_is_drawn(
    trials: list[tuple[dict[str, Any], float | None, list[tuple[int, float]]]],
) -> None:
    points = [
        Point(i, str(i), "COMPLETE", params, None if value is None else [value], [(float(x), y) for x, y in curve])
        for i, (params, value, curve) in enumerate(trials)
    ]
    view = View("x", "study", ["value"], [-1.0], points, rungs=[1.0, 3.0])
    names = [name for name in plots.names(view) if name != "importance" or len(view.finished()) > 1]
    figures = []
    for name in names:
        try:
            figures += figures_of(view, [name])
        except errors.FailedPreconditionError:
            assert name == "importance"
    drawn(page("x", "", figures))
    text(figures, ascii=True)


@pytest.mark.parametrize("values", [[], [1.0], [1e-300, 1e300], [-1e308, 1e308], [3, 3, 3]])
def test_an_axis_has_its_numbers_within_itself(values: list[float]) -> None:
    from daybreak.tune.plots.scale import Scale

    for log in (False, True):
        ticks = Scale(Axis("x", log=log), values).ticks()
        assert ticks and all(-1e-6 <= share <= 1 + 1e-6 for share, _ in ticks), ticks


def test_a_png_of_odd_numbers_is_drawn() -> None:
    marks = [
        Mark("points", [1.0, np.inf, 2.0], [np.nan, 1.0, 3.0]),
        Mark("line", [], []),
        Mark("spans", [0.0], [0.0], [0.0]),
    ]
    figures: list[Figure | Parallel] = [Figure("timeline", "$a$", Axis("\x00"), Axis("y", options=["\x1b[31m"]), marks)]
    assert png("$x^", figures)[:4] == b"\x89PNG"

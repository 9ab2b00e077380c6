"""Pictures of a Pong rally and of how an agent learned: pillow and matplotlib, neither needs a display."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image, ImageColor, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["COURT_SIZES", "Moment", "Point", "Rally", "draw", "learning_curve", "match_gif"]

# One palette for every frame: shades between these are what anti-aliasing makes of them.
COURT, WALL, LINE = "#101828", "#344054", "#273349"
AGENT, OPPONENT, BALL, TEXT, MUTED = "#fdb022", "#53b1fd", "#ffffff", "#eaecf0", "#98a2b3"

COURT_SIZES = ("width", "height", "wall", "paddle_width", "paddle_height", "ball_radius")

_SUPERSAMPLING = 3
_TRAIL = 14  # moments that the ball's trail lasts
_HOLD_MS = 1800  # the last frame stands still for so long before the rally begins again
_FRAME_MS = 30


class Moment(NamedTuple):
    """What there is to draw of one step, in pixels of the court."""

    agent_y: float
    opponent_y: float
    ball_x: float
    ball_y: float


@dataclass(frozen=True)
class Rally:
    """A rally, or the end of one. `court`: COURT_SIZES, in pixels."""

    court: Mapping[str, float]
    moments: Sequence[Moment]
    agent_won: bool | None  # None: the moments end before the rally does
    agent_score: int  # points before this rally
    opponent_score: int
    first_step: int = 0  # of the rally, that the first moment shows


class Point(NamedTuple):
    """A point of the learning curve: after so many environment steps."""

    steps: int
    value: float


def draw(rally: Rally, index: int, width: int = 480) -> Image.Image:
    """One frame, RGB, `width` pixels wide: the court, both paddles, the ball with its trail, the score; at the end who won."""
    court = rally.court
    scale = width / court["width"] * _SUPERSAMPLING
    height = round(width * court["height"] / court["width"])
    image = Image.new("RGB", (width * _SUPERSAMPLING, height * _SUPERSAMPLING), COURT)
    pen = ImageDraw.Draw(image)
    last = index >= len(rally.moments) - 1
    winner = None if rally.agent_won is None or not last else AGENT if rally.agent_won else OPPONENT

    def box(x0: float, y0: float, x1: float, y1: float) -> tuple[float, float, float, float]:
        return x0 * scale, y0 * scale, x1 * scale, y1 * scale

    # Behind everything: net, score, whose side it is.
    middle, wall = court["width"] / 2, court["wall"]
    for y in range(int(wall) + 8, int(court["height"] - wall), 24):
        pen.rectangle(box(middle - 1.5, y, middle + 1.5, y + 12), fill=LINE)
    score = (rally.agent_score + (winner == AGENT), rally.opponent_score + (winner == OPPONENT))
    for x, points, name, colour in (
        (middle / 2, score[0], "trained agent", AGENT),
        (middle * 1.5, score[1], "scripted opponent", OPPONENT),
    ):
        shade = _mix(COURT, colour, 0.9 if colour == winner else 0.4)
        pen.text((x * scale, 66 * scale), str(points), fill=shade, font=_font(72 * scale), anchor="mm")
        pen.text((x * scale, 118 * scale), name, fill=_mix(COURT, colour, 0.7), font=_font(17 * scale), anchor="mm")
    pen.rectangle(box(0, 0, court["width"], wall), fill=WALL)
    pen.rectangle(box(0, court["height"] - wall, court["width"], court["height"]), fill=WALL)
    below = court["height"] - wall - 18
    pen.rectangle(box(middle - 4, below - 16, middle + 4, below + 18), fill=COURT)
    pen.text(
        (middle * scale, below * scale),
        f"point for the {'agent' if rally.agent_won else 'opponent'}"
        if winner
        else f"step {rally.first_step + index:,}",
        fill=TEXT if winner else MUTED,
        font=_font(17 * scale),
        anchor="mm",
    )

    # The trail fades and thins backwards from the ball.
    radius = court["ball_radius"]
    trail = rally.moments[max(0, index - _TRAIL) : index + 1]
    for age, (older, newer) in enumerate(zip(trail, trail[1:], strict=False), start=_TRAIL - len(trail) + 2):
        share = age / _TRAIL
        line = ((older.ball_x * scale, older.ball_y * scale), (newer.ball_x * scale, newer.ball_y * scale))
        pen.line(line, fill=_mix(COURT, BALL, 0.45 * share), width=max(1, round(1.6 * radius * share * scale)))

    now = rally.moments[min(index, len(rally.moments) - 1)]
    for left, top, colour in (
        (0.0, now.agent_y, AGENT),
        (court["width"] - court["paddle_width"], now.opponent_y, OPPONENT),
    ):
        paddle = box(left, top, left + court["paddle_width"], top + court["paddle_height"])
        pen.rounded_rectangle(paddle, 4 * scale, fill=colour)
    for size, shade in ((1.7 * radius, _mix(COURT, BALL, 0.2)), (radius, ImageColor.getrgb(BALL))):
        pen.ellipse(box(now.ball_x - size, now.ball_y - size, now.ball_x + size, now.ball_y + size), fill=shade)
    return image.reduce(_SUPERSAMPLING)


def match_gif(rally: Rally, path: str | os.PathLike[str], width: int = 480) -> str:
    """Writes the rally as an animation that repeats; returns the path. ValueError for a rally without moments."""
    if not rally.moments:
        raise ValueError("a rally without moments cannot be drawn")
    palette = _palette()
    count = len(rally.moments)
    frames = [draw(rally, i, width).quantize(palette=palette, dither=Image.Dither.NONE) for i in range(count)]
    frames[0].save(
        path,
        save_all=True,
        append_images=frames[1:],
        duration=[_FRAME_MS] * (count - 1) + [_HOLD_MS],
        loop=0,
        optimize=False,  # all frames share one palette: pillow then writes only what changed
    )
    return os.fspath(path)


def learning_curve(
    returns: Sequence[Point],
    win_rates: Sequence[Point],
    path: str | os.PathLike[str],
    *,
    random_mean: float,
    kept: int,
    subtitle: str = "",
) -> str:
    """Writes the learning curve as PNG; returns the path.

    returns: length of the rallies in training. win_rates: share of validation games won, 0 to 1. random_mean: the length of a
    rally of the random policy. kept: the time step of the snapshot that was kept.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 4.0), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    rallies, wins = figure.subplots(1, 2)
    figure.suptitle("Learning Pong" + (f": {subtitle}" if subtitle else ""), fontsize=13, fontweight="bold")
    million = 1e-6
    end = max([p.steps for p in (*returns, *win_rates)] + [kept]) * million

    agent, scripted, grey = "#b54708", "#175cd3", "#667085"
    rallies.plot([p.steps * million for p in returns], [p.value for p in returns], color=agent, linewidth=2)
    _level(rallies, random_mean, f"random policy: {random_mean:.0f}", grey)
    _level(rallies, 10 * random_mean, "asked for: 10 x random", scripted)
    rallies.set(title="Length of a rally in training", ylabel="steps (mean of the last 100 games)")
    rallies.set_ylim(0, max([p.value for p in returns] + [10 * random_mean]) * 1.12)

    wins.plot(
        [p.steps * million for p in win_rates], [100 * p.value for p in win_rates], "o-", color=agent, linewidth=2
    )
    _level(wins, 60, "asked for: 60 %", scripted, left=True)
    wins.set(title="Games won on validation seeds", ylabel="% won against the scripted opponent", ylim=(0, 104))
    for axes in (rallies, wins):
        axes.axvline(kept * million, color=grey, linewidth=1, linestyle=":")
        axes.set(xlabel="million environment steps", xlim=(0, end * 1.02))
        axes.title.set_fontsize(11)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    wins.annotate("policy kept ", (kept * million, 3), ha="right", fontsize=9, color=grey)
    figure.savefig(path)
    return os.fspath(path)


def _level(axes: Any, y: float, label: str, colour: str, left: bool = False) -> None:
    axes.axhline(y, color=colour, linewidth=1, linestyle="--")
    axes.annotate(
        label,
        (0.015 if left else 0.985, y),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        ha="left" if left else "right",
        textcoords="offset points",
        fontsize=9,
        color=colour,
    )


def _font(size: float) -> Any:
    return ImageFont.load_default(round(size))  # pillow's own: no font need be installed


def _mix(back: str, front: str, share: float) -> tuple[int, ...]:
    pairs = zip(ImageColor.getrgb(back), ImageColor.getrgb(front), strict=True)
    return tuple(round(b + (f - b) * share) for b, f in pairs)


def _palette() -> Image.Image:
    """Shades from the court to each colour, and from the walls to the paddles: 64 colours."""
    colours: list[tuple[int, ...]] = [ImageColor.getrgb(COURT), ImageColor.getrgb(WALL), ImageColor.getrgb(LINE)]
    for front, steps in ((BALL, 20), (AGENT, 18), (OPPONENT, 18)):
        colours += [_mix(COURT, front, i / steps) for i in range(1, steps + 1)]
    colours += [_mix(WALL, front, 0.5) for front in (AGENT, OPPONENT, BALL)]
    image = Image.new("P", (1, 1))
    image.putpalette([channel for colour in colours for channel in colour])
    return image

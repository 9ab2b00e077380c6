"""Pictures, looked at by their pixels."""

from pathlib import Path

import pytest
from PIL import Image, ImageColor

from daybreak.demo.pong import render
from daybreak.rl import envs

WIDTH = 320


def rally(steps: int = 30, agent_won: bool | None = True) -> render.Rally:
    frame = envs.Pong().frame()
    return render.Rally(
        court={name: frame[name] for name in render.COURT_SIZES},
        moments=[render.Moment(200, 100, 320 + 8 * i, 240 + 3 * i) for i in range(steps)],
        agent_won=agent_won,
        agent_score=2,
        opponent_score=1,
    )


def near(pixel: tuple[int, ...], colour: str) -> bool:
    return all(abs(a - b) < 12 for a, b in zip(pixel, ImageColor.getrgb(colour), strict=True))


def test_paddles_and_ball_are_where_the_game_has_them() -> None:
    image = render.draw(rally(), 5, WIDTH)
    assert image.size == (WIDTH, 240)
    half = WIDTH / 640
    assert near(image.getpixel((3, round(230 * half))), render.AGENT)
    assert near(image.getpixel((3, round(300 * half))), render.COURT)
    assert near(image.getpixel((WIDTH - 3, round(130 * half))), render.OPPONENT)
    assert near(image.getpixel((round(360 * half), round(255 * half))), render.BALL)
    assert near(image.getpixel((WIDTH // 3, 2)), render.WALL)


def test_the_trail_lies_behind_the_ball_only() -> None:
    image = render.draw(rally(), 10, WIDTH)
    behind = image.getpixel((round(384 / 2), round(264 / 2)))
    ahead = image.getpixel((round(430 / 2), round(281 / 2)))
    assert sum(behind) > sum(ImageColor.getrgb(render.COURT)) + 60
    assert near(ahead, render.COURT)


def test_the_last_frame_shows_the_new_score() -> None:
    before, after = (render.draw(rally(agent_won=won), 29, WIDTH) for won in (None, True))
    left, right = (0, 12, 150, 50), (170, 12, WIDTH, 50)
    assert before.crop(left).tobytes() != after.crop(left).tobytes()
    assert before.crop(right).tobytes() == after.crop(right).tobytes()


def test_the_gif_moves_and_repeats(tmp_path: Path) -> None:
    path = render.match_gif(rally(), tmp_path / "match.gif", WIDTH)
    with Image.open(path) as gif:
        assert gif.n_frames == 30 and gif.info["loop"] == 0 and gif.size == (WIDTH, 240)
        first = gif.convert("RGB")
        gif.seek(29)
        last = gif.convert("RGB")
    assert first.tobytes() != last.tobytes()
    assert near(last.getpixel((3, 115)), render.AGENT)


def test_a_rally_without_moments_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without moments"):
        render.match_gif(rally(0), tmp_path / "match.gif")
    assert list(tmp_path.iterdir()) == []


def test_the_learning_curve_is_a_picture(tmp_path: Path) -> None:
    points = [render.Point(16384 * i, 60.0 * i) for i in range(1, 20)]
    wins = [render.Point(200_000, 0.4), render.Point(300_000, 0.85)]
    path = render.learning_curve(points, wins, tmp_path / "curve.png", random_mean=58.0, kept=300_000)
    with Image.open(path) as picture:
        assert picture.format == "PNG" and picture.width > 800 and len(picture.convert("RGB").getcolors(1 << 20)) > 50


def test_a_learning_curve_without_points_is_drawn_too(tmp_path: Path) -> None:
    render.learning_curve([], [], tmp_path / "curve.png", random_mean=58.0, kept=16384)
    assert (tmp_path / "curve.png").stat().st_size > 5000

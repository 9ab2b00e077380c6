"""What the READMEs tell people to type: it exists, takes the options that are written, and runs where it can."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DAYBREAK = Path(sys.executable).parent / "daybreak"
COMMAND = re.compile(r"(?:^|`)(?:\$ )?((?:\./dev|daybreak) [^`#\n|]+)", re.MULTILINE)
READMES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "tutorials/README.md",
    *sorted(ROOT.glob("daybreak/*/README.md")),
]


def commands(path: Path) -> list[list[str]]:
    """Words of each command line: a wide gap or an ellipsis ends it."""
    found = [re.split(r"\s{2,}| \.\.\.", line)[0].split() for line in COMMAND.findall(path.read_text())]
    return [words for words in found if len(words) > 1 and re.fullmatch(r"[a-z][a-z-]*|--[a-z]+", words[1])]


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


@cache
def help_of(*words: str) -> str:
    """The help of a command of daybreak, "" when there is no such command."""
    done = run(str(DAYBREAK), *words, "--help")
    return done.stdout if done.returncode == 0 else ""


def problems(words: list[str]) -> list[str]:
    if words[:3] == ["./dev", "run", "daybreak"]:
        return problems(words[2:])
    options = [word.split("=")[0] for word in words[2:] if word.startswith("--") and word != "--"]
    if words[0] == "./dev":
        text = run("./dev", "help").stdout
        if not re.search(rf"^  {words[1]} ", text, re.MULTILINE) and words[1] != "help":
            return [f"no ./dev {words[1]}"]
        text += help_of("demo", "pong") + run(sys.executable, "-m", "bench.harness", "--help").stdout
    else:
        plain = [word for word in words[1:3] if re.fullmatch(r"[a-z-]+", word) and not word.startswith("-")]
        text = help_of(*plain) or help_of(*plain[:1])
        if not text:
            return [f"no daybreak {' '.join(plain)}"]
        if len(words) > 3:  # a group's command may lie one word deeper
            text += help_of(*plain, words[3]) if re.fullmatch("[a-z]+", words[3]) else ""
    return [f"{' '.join(words)}: no {option}" for option in options if option not in text]


@pytest.mark.parametrize("path", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_of_a_readme_exist_and_take_what_is_written(path: Path) -> None:
    assert [problem for words in commands(path) for problem in problems(words)] == []


def test_a_command_that_does_not_exist_is_noticed() -> None:
    assert commands(ROOT / "README.md")
    assert problems(["./dev", "tset"]) == ["no ./dev tset"]
    assert problems(["daybreak", "rnus", "list"]) == ["no daybreak rnus list"]
    assert problems(["daybreak", "runs", "list", "--rot", "x"]) == ["daybreak runs list --rot x: no --rot"]


def test_runs_list_shows_runs_as_the_readme_says(tmp_path: Path) -> None:
    typed = [
        words[2:] for words in commands(ROOT / "README.md") if words[:5] == ["./dev", "run", "daybreak", "runs", "list"]
    ]
    line = next(words for words in typed if "--root" in words)
    root = tmp_path / line[line.index("--root") + 1]
    script = f"from daybreak import track\ntrack.init({str(root)!r})\nwith track.run('by_readme') as run:\n    run.log({{'x': 1}})"
    assert run(sys.executable, "-c", script).returncode == 0
    done = run(str(ROOT / "dev"), "run", *line, cwd=tmp_path)
    assert done.returncode == 0 and "by_readme" in done.stdout, done.stdout + done.stderr


def test_dev_run_runs_anything_inside_the_environment_where_the_caller_is(tmp_path: Path) -> None:
    done = run(str(ROOT / "dev"), "run", "sh", "-c", "command -v daybreak; pwd; exit 7", cwd=tmp_path)
    assert done.returncode == 7, done.stderr
    assert done.stdout.splitlines() == [str(ROOT / ".venv/bin/daybreak"), str(tmp_path)]


def test_a_link_to_dev_works_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "dev").symlink_to(ROOT / "dev")
    assert "Rooms:" in run("./dev", "help", cwd=tmp_path).stdout

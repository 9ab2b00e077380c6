"""``daybreak demo NAME`` is found by its folder."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from daybreak.demo import commands


def test_every_folder_with_a_command_is_a_demo_with_help() -> None:
    folder = Path(commands.__file__).parent
    assert commands.names() == sorted(path.parent.name for path in folder.glob("*/command.py"))
    for name in commands.names():
        done = CliRunner().invoke(commands.app, [name, "--help"])
        assert done.exit_code == 0 and f"{name} [OPTIONS]" in done.output
        assert (folder / name / "README.md").is_file()


@pytest.mark.parametrize("name", ["nosuch", "steps", "tests", "../demo", "pong.command"])
def test_what_is_no_demo_is_refused_by_name(name: str) -> None:
    done = CliRunner().invoke(commands.app, [name])
    assert done.exit_code == 2 and name in done.output

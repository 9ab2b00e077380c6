"""What `import daybreak` costs and holds."""

import subprocess
import sys

import pytest

import daybreak


def loaded_after(code: str) -> set[str]:
    script = f"import sys\nbefore = set(sys.modules)\n{code}\nprint(*sorted(set(sys.modules) - before))"
    return set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )


def test_import_loads_no_room_and_nothing_heavy() -> None:
    """The bound of 30 ms over a bare interpreter is kept by what is not loaded: numpy alone costs 100 ms, cloudpickle 30."""
    loaded = loaded_after("import daybreak")
    assert "daybreak" in loaded
    top = {name.split(".")[0] for name in loaded}
    assert not top & {
        "numpy",
        "cloudpickle",
        "typer",
        "rich",
        "click",
        "asyncio",
        "multiprocessing",
        "typing",
        "gymnasium",
    }
    assert not {"daybreak.tensor", "daybreak.cli", "daybreak.rl", "daybreak.demo"} & loaded


def test_rooms_load_when_touched() -> None:
    assert "daybreak.tensor" in loaded_after("import daybreak\ndaybreak.tensor.dumps")
    assert "daybreak.cli" in loaded_after("import daybreak\ndaybreak.cli.main")


def test_every_name_in_all_is_there() -> None:
    for name in daybreak.__all__:
        assert getattr(daybreak, name) is not None
        assert name in dir(daybreak)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'daybreak' has no attribute 'tenser'"):
        _ = daybreak.tenser  # type: ignore[attr-defined]

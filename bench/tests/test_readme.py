"""The README's figures are those that were measured."""

from bench import readme
from bench.peers import ROOT


def test_readme_says_what_the_results_say() -> None:
    text = (ROOT / "README.md").read_text()
    assert readme.rewritten(text) == text, "python -m bench.readme --write"


def test_a_table_shows_the_peer_of_the_bar_or_the_hardest_one() -> None:
    easy = {"name": "r", "unit": "s", "ours": 1.0, "peer": "ray", "theirs": 9.0, "ratio": 9.0, "reached": True}
    hard = {**easy, "peer": "pool", "theirs": 0.5, "ratio": 0.5, "reached": None, "interval": [0.4, 0.6]}
    tasks = {"t": {"rows": [hard, easy]}}
    assert "| Ray | 9 | 9 | - |" in readme.table({"t": "r unmeasured"}, tasks, readme.held)
    assert "| ProcessPoolExecutor | 0.5 | 0.5 | 0.4 to 0.6 |" in readme.table({"t": "r"}, tasks, readme.hardest)

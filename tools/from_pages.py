"""The tables of docs/from/*.md: what of a peer is the same here or refused, from the lists that the rooms and their tests use.
Without --write, fails when a page's table is not what the lists give."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "from"
TABLE = re.compile(r"(?<=<!-- table: )(\w+)( -->\n)(.*?)(?=<!-- end of table -->)", re.DOTALL)

Rows = list[tuple[str, str, str]]  # of the peer, the verdict, what it is here or what to do instead


def _aliases(package: str) -> Rows:
    from daybreak import compat

    aliases = getattr(compat, package).ALIASES
    rows: Rows = []
    for module in sorted(aliases.modules):
        names = sorted(name.rpartition(".")[2] for name in aliases.names if name.rpartition(".")[0] == module)
        if names:
            rows.append((f"`{module}`: {', '.join(f'`{name}`' for name in names)}", "same", ""))
    for theirs, ours in sorted(aliases.rooms.items()):
        room = importlib.import_module(ours)
        names = sorted({*room.__all__, *getattr(room, "MODULES", ())})
        rows.append((f"`{theirs}`: {', '.join(f'`{name}`' for name in names)}", "same", f"`{ours}`"))
    return rows + [(f"`{name}`", "refused", way_out) for name, way_out in sorted(aliases.refused.items())]


def _options() -> Rows:
    from daybreak.rl import words

    rows: Rows = [(f"`{theirs}`", "same", f"`{ours}`") for theirs, ours in sorted(words.ALIASES.items())]
    for name, (values, way_out) in sorted(words.FIXED.items()):
        rows.append((f"`{name}` other than {' or '.join(f'`{value!r}`' for value in values)}", "refused", way_out))
    return rows + [(f"`{name}`", "refused", way_out) for name, way_out in sorted(words.INSTEAD.items())]


def _optuna() -> Rows:
    from daybreak.tune.words import OPTUNA

    rows: Rows = []
    for module, words in OPTUNA.items():
        for word in dict.fromkeys(words.values()):
            names = ", ".join(f"`{name}`" for name in sorted(words) if words[name] == word)
            rows.append((f"`{module}`: {names}", *word))
    return rows


def _below(package: str, prefix: str) -> Rows:
    """Those rows of a package whose names begin so, and one for each name of a room."""
    return [row for row in _aliases(package) if row[0].startswith(f"`{prefix}")]


def rows_of(page: str) -> Rows:
    if page == "optuna":
        return _optuna()
    if page == "ray_tune":
        return _below("ray", "ray.tune")
    return _aliases(page) + (_options() if page == "stable_baselines3" else [])


def written(text: str) -> str:
    """The page with its table made anew."""

    def table(match: re.Match[str]) -> str:
        lines = ["| there | here | |", "|---|---|---|"]
        lines += [f"| {what.replace('|', ' or ')} | {verdict} | {more} |" for what, verdict, more in rows_of(match[1])]
        return f"{match[1]}{match[2]}{chr(10).join(lines)}\n"

    return TABLE.sub(table, text)


def main() -> int:
    stale = []
    for page in sorted(PAGES.glob("*.md")):
        text = page.read_text()
        fresh = written(text)
        if "--write" in sys.argv:
            page.write_text(fresh)
        elif fresh != text:
            stale.append(page.name)
    if stale:
        print(f"stale tables in docs/from: {', '.join(stale)}: run python -m tools.from_pages --write")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())

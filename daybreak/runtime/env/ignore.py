"""Which paths of a folder are left out: patterns as git's ignore files have them.

>>> rules = parsed(["*.log", "!keep.log", "/data/", "**/cache"])
>>> [excluded(rules, path, is_dir) for path, is_dir in (("a/x.log", False), ("keep.log", False), ("data", True), ("a/data", True))]
[True, False, True, False]
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

__all__ = ["Rule", "excluded", "parsed"]


class Rule:
    """One line: what it matches, relative to its file's folder, and whether it takes back what lines before it left out."""

    __slots__ = ("base", "matches", "negated", "only_folders")

    def __init__(self, matches: re.Pattern[str], negated: bool, only_folders: bool, base: str) -> None:
        self.matches = matches
        self.negated = negated
        self.only_folders = only_folders
        self.base = base  # the folder that it speaks of: "" or "a/b/"


def parsed(lines: Iterable[str], base: str = "") -> list[Rule]:
    """base: the folder that the lines are relative to, "" or with a slash at the end."""
    found = []
    for line in lines:
        rule = _rule(line.rstrip("\r\n"), base)
        if rule is not None:
            found.append(rule)
    return found


def excluded(rules: Sequence[Rule], path: str, is_folder: bool) -> bool:
    """Whether the last rule that matches leaves the path out. What lies in a folder that is left out is not asked for."""
    for rule in reversed(rules):
        if rule.only_folders and not is_folder or not path.startswith(rule.base):
            continue
        if rule.matches.fullmatch(path, len(rule.base)):
            return not rule.negated
    return False


def _rule(line: str, base: str) -> Rule | None:
    while line.endswith(" ") and not line.endswith("\\ "):
        line = line[:-1]
    if not line or line.startswith("#"):
        return None
    negated = line.startswith("!")
    line = line[1:] if negated else line
    only_folders = line.endswith("/")
    line = line.removesuffix("/")
    anchored = "/" in line
    line = line.removeprefix("/")
    if not line:
        return None
    text = "" if anchored else "(?:.+/)?"
    parts = line.split("/")
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part == "**":
            text += ".+" if last else "(?:.+/)?"
        else:
            text += _segment(part) + ("" if last else "/")
    return Rule(re.compile(text, re.DOTALL), negated, only_folders, base)


def _segment(part: str) -> str:
    """A part between slashes, as a regular expression."""
    text = ""
    at = 0
    while at < len(part):
        char = part[at]
        at += 1
        if char == "*":
            text += "[^/]*"
        elif char == "?":
            text += "[^/]"
        elif char == "\\" and at < len(part):
            text += re.escape(part[at])
            at += 1
        elif char == "[" and (end := part.find("]", at + 2 if part[at : at + 1] in "!^" else at + 1)) > 0:
            inside = part[at:end].replace("\\", "\\\\").replace("[", "\\[")
            text += f"[^/{inside[1:]}]" if inside[:1] in ("!", "^") else f"[{inside}]"
            at = end + 1
        else:
            text += re.escape(char)
    return text

"""Texts from elsewhere as a terminal may be given them. The standard library alone."""

from __future__ import annotations

import sys

__all__ = ["clean", "clean_lines", "only_ascii"]


def clean(value: object) -> str:
    """As text of one line that cannot move the terminal's cursor.

    >>> clean("a\\x1b[31m\\nb")
    'a\ufffd[31m\ufffdb'
    """
    return "".join(char if char.isprintable() else "\ufffd" for char in str(value))


def clean_lines(text: str) -> str:
    """Each line clean, tabs as blanks."""
    return "\n".join(clean(line.expandtabs()) for line in text.split("\n"))


def only_ascii() -> bool:
    """Whether the terminal, or what the output goes into, lacks the characters of plots, as in a C locale."""
    try:
        "▁⠁│".encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return True
    return False

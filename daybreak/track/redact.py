"""Values that look like secrets by their name are not written down."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["REDACTED", "looks_secret", "redact", "redact_argv", "redact_text"]

REDACTED = "[redacted]"

_WORDS = {
    "apikey",
    "auth",
    "authorization",
    "bearer",
    "cookie",
    "credential",
    "credentials",
    "passphrase",
    "passwd",
    "password",
    "pwd",
    "secret",
    "secrets",
    "token",
}
_PAIRS = {
    ("api", "key"),
    ("access", "key"),
    ("private", "key"),
    ("signing", "key"),
    ("encryption", "key"),
    ("ssh", "key"),
}
# The tokens of language models are no secrets.
_HARMLESS_BEFORE_TOKEN = {
    "bos",
    "eos",
    "pad",
    "unk",
    "sep",
    "cls",
    "mask",
    "special",
    "per",
    "each",
    "max",
    "min",
    "num",
}
_HARMLESS_AFTER_TOKEN = {"count", "dim", "id", "ids", "len", "length", "limit", "size", "type"}

_SPLIT = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# name=value, name: value, "name": "value", as programs print them.
_HEAD = re.compile(r"""["']?(?P<name>[A-Za-z][A-Za-z0-9_.\-]{1,63})["']?\s?(?:=|:)\s?(?:Bearer\s|Basic\s)?""")
_VALUE = re.compile(r""""[^"]*"|'[^']*'|[^\s,;}\])]+""")
_URL_PASSWORD = re.compile(r"(?P<head>\b[A-Za-z][A-Za-z0-9+.\-]*://[^/\s:@]*:)[^/\s@]+(?=@)")


def looks_secret(name: str) -> bool:
    """Whether a value of this name is to be kept out of records.

    >>> [looks_secret(name) for name in ("DB_PASSWORD", "apiKey", "wandb.api-key", "auth_token")]
    [True, True, True, True]
    >>> [looks_secret(name) for name in ("author", "max_tokens", "pad_token", "token_count", "key", "monkey")]
    [False, False, False, False, False, False]
    """
    words = [word.lower() for word in _SPLIT.split(name) if word]
    for i, word in enumerate(words):
        before = words[i - 1] if i else ""
        after = words[i + 1] if i + 1 < len(words) else ""
        if word == "token" and (before in _HARMLESS_BEFORE_TOKEN or after in _HARMLESS_AFTER_TOKEN):
            continue
        if word in _WORDS or (before, word) in _PAIRS:
            return True
    return False


def redact(name: str, value: Any) -> Any:
    """The value, or "[redacted]" where its name looks like a secret's; the same within mappings and lists, and text as by
    ``redact_text``.

    >>> redact("config", {"lr": 0.1, "db": {"password": "x", "url": "postgres://me:pw@host/db"}})
    {'lr': 0.1, 'db': {'password': '[redacted]', 'url': 'postgres://me:[redacted]@host/db'}}
    """
    if isinstance(value, Mapping):
        return {_unicode(key) if isinstance(key, str) else key: redact(str(key), item) for key, item in value.items()}
    if looks_secret(name) and value is not None and not isinstance(value, bool):
        return REDACTED
    if isinstance(value, str):
        return redact_text(_unicode(value))
    if isinstance(value, (list, tuple)):
        return type(value)(redact("", item) for item in value) if type(value) in (list, tuple) else value
    return value


def _unicode(text: str) -> str:
    """Without lone surrogates, which no file can hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def redact_argv(argv: Sequence[str]) -> list[str]:
    """A command line without the values of options that look like secrets, in both spellings.

    >>> redact_argv(["train.py", "--lr=0.1", "--api-key=abc", "--password", "hunter2", "-v", "AWS_SECRET=x"])
    ['train.py', '--lr=0.1', '--api-key=[redacted]', '--password', '[redacted]', '-v', 'AWS_SECRET=[redacted]']
    """
    out: list[str] = []
    hide_next = False
    for argument in argv:
        name, equals, value = argument.partition("=")
        if hide_next and not argument.startswith("--"):
            out.append(REDACTED)
        elif equals and looks_secret(name):
            out.append(f"{name}={REDACTED}")
        else:
            out.append(redact_text(argument))
        hide_next = argument.startswith("-") and not equals and looks_secret(name)
    return out


def redact_text(text: str) -> str:
    """Printed text without values that follow a name that looks like a secret's, and without passwords in URLs.

    >>> redact_text("connecting, password=hunter2, to postgres://me:pw@host/db; loss: 0.1")
    'connecting, password=[redacted], to postgres://me:[redacted]@host/db; loss: 0.1'
    >>> redact_text("RuntimeError: token=abc")
    'RuntimeError: token=[redacted]'
    """

    text = _URL_PASSWORD.sub(rf"\g<head>{REDACTED}", text) if "://" in text else text
    if "=" not in text and ":" not in text:
        return text
    parts: list[str] = []
    at = kept = (
        0  # what is before `kept` is in parts; the search for a name goes on at `at`: a value may begin with a name
    )
    while head := _HEAD.search(text, at):
        at = head.end()
        value = _VALUE.match(text, at) if looks_secret(head["name"]) else None
        if value is not None:
            parts += [text[kept:at], REDACTED]
            at = kept = value.end()
    return "".join([*parts, text[kept:]])

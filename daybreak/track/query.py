"""The language of ``track.runs(where=..., order_by=...)``, and its translation to SQL with parameters.

::

    where      = or
    or         = and { "or" and }
    and        = not { "and" not }
    not        = "not" not | "(" or ")" | comparison
    comparison = field ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) value
               | field [ "not" ] "in" "(" value { "," value } ")"
               | field [ "not" ] "like" string                        % any characters, _ one
               | field "is" [ "not" ] "null"
    field      = "params." name | "tags." name | "metrics." name [ ".last" | ".best" | ".min" | ".max" | ".count" ]
               | "id" | "name" | "status" | "parent" | "start" | "end"
    value      = number | string in ' or " (doubled inside) | "true" | "false"
    name       = letters, digits, _ . / - | anything in ` `
    order_by   = field [ "asc" | "desc" ] { "," field [ "asc" | "desc" ] }

Words are lower or upper case alike. Numbers are compared as numbers (whole ones exactly, however long they are) and text as
text: a parameter 0.01 is a number, a parameter "0.01" is not. A comparison with something that a run does not have (or with a
metric that is NaN, or a parameter that is None) is neither true nor false, as in SQL: the run is not selected, and by ``not``
neither; ``is null`` finds all of these. ``start`` and ``end``
compare with seconds since 1970 or with ISO 8601 text (UTC when it names no zone). Nothing of the text becomes part of the SQL:
names and values are parameters.
"""

from __future__ import annotations

import datetime
import math
import re

from daybreak.base import errors
from daybreak.track.catalog import number_key

__all__ = ["compile_order", "compile_where"]

MAX_BYTES = 20_000
MAX_DEPTH = 64
MAX_TERMS = 200
MAX_VALUES = 1000

Sql = tuple[str, list[object]]

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<string>'(?:[^']|'')*'|"(?:[^"]|"")*")
  | (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w./]))
  | (?P<quoted>`[^`]+`(?:\.\w+)?)
  | (?P<word>[A-Za-z_][\w./-]*)
  | (?P<op><=|>=|!=|==|<>|=|<|>|\(|\)|,)
)""",
    re.VERBOSE,
)
_ATTRIBUTES = {
    "id": "r.id",
    "name": "r.name",
    "status": "r.status",
    "parent": "r.parent",
    "start": "r.start_ns",
    "end": "r.end_ns",
}
# How people write it elsewhere, and how here.
_ELSEWHERE = {
    "run_id": "id", "run_name": "name", "start_time": "start", "end_time": "end", "status": "status", "param": "params.NAME",
    "parameters": "params.NAME", "metric": "metrics.NAME", "tag": "tags.NAME",
}  # fmt: skip
_STATUSES = ("running", "finished", "failed", "killed")
_METRIC_COLUMNS = {"last", "best", "min", "max", "count"}
_COMPARISONS = {"=": "=", "==": "=", "!=": "<>", "<>": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


_IN_BACKTICKS = ": a name of other characters stands in backticks, {}.`such a name`"
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def _bounded(nanoseconds: int) -> int:
    """What SQLite holds; no run began outside of it (1677 to 2262)."""
    return max(-(2**63), min(2**63 - 1, nanoseconds))


class _Token:
    __slots__ = ("at", "kind", "text")

    def __init__(self, kind: str, text: str, at: int) -> None:
        self.kind, self.text, self.at = kind, text, at

    @property
    def end(self) -> int:
        return self.at + len(self.text)

    @property
    def word(self) -> str:
        return self.text.lower() if self.kind == "word" else self.text if self.kind == "op" else ""


class _Field:
    """What is compared: SQL for it as a number and as text; None where it is never that."""

    def __init__(
        self, number: Sql | None, text: Sql | None, presence: Sql, time: bool = False, exact: Sql | None = None
    ) -> None:
        self.number, self.text, self.presence, self.time = number, text, presence, time
        self.exact = exact  # beside the number, see number_key


class _Parser:
    def __init__(self, what: str, source: str) -> None:
        self.what, self.source = what, source
        if len(source.encode("utf-8", "surrogatepass")) > MAX_BYTES:
            raise errors.InvalidArgumentError(f"{what} has {len(source)} characters: the limit is {MAX_BYTES} bytes")
        self.tokens = self._split()
        self.at = self.terms = 0

    def fail(self, token: _Token, message: str) -> errors.InvalidArgumentError:
        begin = max(0, token.at - 60)
        shown = re.sub(r"[\x00-\x1f\x7f]", " ", self.source[begin : token.at + 40])
        return errors.InvalidArgumentError(
            f"{self.what}, position {token.at}: {message}\n  {shown}\n  {' ' * (token.at - begin)}^"
        )

    def _split(self) -> list[_Token]:
        tokens: list[_Token] = []
        at = 0
        while self.source[at:].strip():
            found = _TOKEN.match(self.source, at)
            if found is None or found.lastgroup is None:
                at += len(self.source[at:]) - len(self.source[at:].lstrip())
                rest = self.source[at]
                hint = "this quote is never closed" if rest in "'\"`" else f"{rest!r} means nothing here"
                if tokens and tokens[-1].end == at and re.match(r"(?i)(params|tags|metrics)\.", tokens[-1].text):
                    hint += _IN_BACKTICKS.format(tokens[-1].text.partition(".")[0])
                raise self.fail(_Token("", "", at), hint)
            tokens.append(_Token(found.lastgroup, found[found.lastgroup], found.start(found.lastgroup)))
            at = found.end()
        return [*tokens, _Token("end", "", len(self.source))]

    @property
    def token(self) -> _Token:
        return self.tokens[self.at]

    def take(self, *words: str) -> bool:
        if self.token.word in words:
            self.at += 1
            return True
        return False

    def expect(self, word: str) -> None:
        if not self.take(word):
            raise self.fail(self.token, f"'{word}' expected")

    # -- where

    def where(self) -> Sql:
        condition = self.either(0)
        if self.token.kind != "end":
            raise self.fail(self.token, "'and', 'or' or the end expected")
        return condition

    def _joined(self, word: str, parts: list[Sql]) -> Sql:
        if len(parts) == 1:
            return parts[0]
        return "(" + f" {word} ".join(sql for sql, _ in parts) + ")", [value for _, values in parts for value in values]

    def either(self, depth: int) -> Sql:
        parts = [self.both(depth)]
        while self.take("or"):
            parts.append(self.both(depth))
        return self._joined("OR", parts)

    def both(self, depth: int) -> Sql:
        parts = [self.negation(depth)]
        while self.take("and"):
            parts.append(self.negation(depth))
        return self._joined("AND", parts)

    def negation(self, depth: int) -> Sql:
        if depth > MAX_DEPTH:
            raise self.fail(self.token, f"more than {MAX_DEPTH} levels of 'not' and parentheses")
        if self.take("not"):
            sql, values = self.negation(depth + 1)
            return f"(NOT {sql})", values
        if self.take("("):
            inner = self.either(depth + 1)
            self.expect(")")
            return inner
        return self.comparison()

    def comparison(self) -> Sql:
        self.terms += 1
        if self.terms > MAX_TERMS:
            raise self.fail(self.token, f"more than {MAX_TERMS} comparisons")
        named = self.token
        field = self.field()
        if self.take("is"):
            negated = self.take("not")
            self.expect("null")
            sql, values = field.presence
            return f"({sql} IS {'NOT ' if negated else ''}NULL)", values
        negated = self.take("not")
        word = "NOT " if negated else ""
        if self.take("in"):
            return self._in(field, word)
        if self.take("like"):
            token = self.token
            value = self.value()
            if not isinstance(value, str) or field.text is None or field.time:
                raise self.fail(token, "'like' compares text with text")
            sql, values = field.text
            return f"({sql} {word}LIKE ?)", [*values, value]
        operator = self.token
        if negated or operator.kind != "op" or operator.text not in _COMPARISONS:
            hint = (
                _IN_BACKTICKS.format(named.text.partition(".")[0])
                if "." in named.text and operator.kind == "word"
                else ""
            )
            raise self.fail(operator, f"an operator expected: = != < <= > >= in, like, is{hint}")
        self.at += 1
        token = self.token
        side = self._side(field, token, value := self.value())
        self._known_status(field, token, value)
        return self._compared(field, side, _COMPARISONS[operator.text], self._comparable(field, token, value))

    def _compared(self, field: _Field, side: Sql, operator: str, value: object) -> Sql:
        """SQLite holds 64 bits of a whole number: what is beyond is told apart by its digits."""
        sql, values = side
        if not isinstance(value, (int, float)) or field.time:
            return f"({sql} {operator} ?)", [*values, value]
        number, exact = number_key(value)
        if exact is None or field.exact is None:
            return f"({sql} {operator} ?)", [*values, number]
        digits, names = field.exact
        first, joined = {"=": ("=", "AND"), "<>": ("<>", "OR")}.get(operator, (operator[0], "OR"))
        if operator in ("=", "<>"):
            return f"({sql} {first} ? {joined} {digits} {first} ?)", [*values, number, *names, exact]
        return (
            f"({sql} {first} ? OR ({sql} = ? AND {digits} {operator} ?))",
            [*values, number, *values, number, *names, exact],
        )

    def _in(self, field: _Field, word: str) -> Sql:
        self.expect("(")
        numbers: list[object] = []
        texts: list[object] = []
        first = self.token
        while True:
            token = self.token
            value = self.value()
            self._side(field, token, value)
            self._known_status(field, token, value)
            comparable = self._comparable(field, token, value)
            (texts if isinstance(comparable, str) else numbers).append(comparable)
            if len(numbers) + len(texts) > MAX_VALUES:
                raise self.fail(token, f"more than {MAX_VALUES} values")
            if not self.take(","):
                break
        self.expect(")")
        parts: list[Sql] = []
        if field.number is not None and not field.time:
            wide = [value for value in numbers if not -(2**63) <= value < 2**63]  # type: ignore[operator]
            numbers = [value for value in numbers if value not in wide]
            parts += [self._compared(field, field.number, "<>" if word else "=", value) for value in wide]
        for side, given in ((field.number, numbers), (field.text, texts)):
            if given and side is not None:
                parts.append((f"({side[0]} {word}IN ({', '.join('?' * len(given))}))", [*side[1], *given]))
        if not parts:
            raise self.fail(first, "a value expected")
        return self._joined("AND" if word else "OR", parts)

    def _side(self, field: _Field, token: _Token, value: object) -> Sql:
        side = field.number if field.time or not isinstance(value, str) else field.text
        if side is None:
            kind = "a number" if isinstance(value, str) else "text"
            raise self.fail(token, f"this is compared with {kind}")
        return side

    def _known_status(self, field: _Field, token: _Token, value: object) -> None:
        """A word that no run ever has would silently find nothing."""
        if field.presence[0] == _ATTRIBUTES["status"] and value not in _STATUSES:
            raise self.fail(token, f"a status is one of {', '.join(map(repr, _STATUSES))}")

    def _comparable(self, field: _Field, token: _Token, value: object) -> object:
        if not field.time:
            return value
        if isinstance(value, str):
            try:
                moment = datetime.datetime.fromisoformat(value)
            except ValueError:
                raise self.fail(token, "a time as 2026-01-31 or 2026-01-31T12:00:00+00:00 expected") from None
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=datetime.UTC)
            return _bounded((moment - _EPOCH) // datetime.timedelta(microseconds=1) * 1000)
        if isinstance(value, int):
            return _bounded(value * 10**9)
        nanoseconds = float(value) * 1e9  # type: ignore[arg-type]
        return _bounded(int(nanoseconds)) if math.isfinite(nanoseconds) else nanoseconds

    def value(self) -> float | int | str:
        token = self.token
        self.at += 1
        if token.kind == "string":
            quote = token.text[0]
            return self._clean(token, token.text[1:-1].replace(quote * 2, quote))
        if token.kind == "number":
            try:
                return int(token.text) if re.fullmatch(r"[-+]?\d+", token.text) else float(token.text)
            except ValueError:
                raise self.fail(token, "a whole number of more than 4,300 digits") from None
        if token.word in ("true", "false"):
            return 1 if token.word == "true" else 0
        self.at -= 1
        if token.word in ("nan", "null", "none"):
            raise self.fail(token, "nothing equals what is missing (NaN is, too): 'is null' or 'is not null'")
        raise self.fail(token, "a value expected: a number, a text in quotes, true or false")

    def _clean(self, token: _Token, text: str) -> str:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise self.fail(token, "text that is not Unicode (a lone surrogate)") from None
        return text

    # -- fields

    def field(self) -> _Field:
        token = self.token
        if token.kind != "word":
            raise self.fail(token, "a field expected")
        self.at += 1
        kind, dot, name = token.text.partition(".")
        kind = kind.lower()
        column = "last"
        following = self.token
        if dot and not name and following.kind == "quoted" and following.at == token.at + len(token.text):
            self.at += 1
            name, _, suffix = following.text[1:].rpartition("`")
            name = self._clean(following, name)
            if suffix:
                column = suffix[1:].lower()
                if kind != "metrics" or column not in _METRIC_COLUMNS:
                    raise self.fail(following, f"behind a metric's name: {', '.join(sorted(_METRIC_COLUMNS))}")
        elif kind == "metrics":
            head, behind, tail = name.rpartition(".")
            if behind and head and tail.lower() in _METRIC_COLUMNS:
                name, column = head, tail.lower()
        if not dot and kind in _ATTRIBUTES:
            attribute: Sql = (_ATTRIBUTES[kind], [])
            time = kind in ("start", "end")
            return _Field(attribute if time else None, None if time else attribute, attribute, time)
        if kind in ("params", "tags", "metrics") and dot and not name and following.kind == "string":
            raise self.fail(following, f"a text{_IN_BACKTICKS.format(kind)}")
        if not name or kind not in ("params", "tags", "metrics"):
            elsewhere = _ELSEWHERE.get(name if kind == "attributes" else kind)
            if elsewhere:
                raise self.fail(token, f"here it is {elsewhere}")
            raise self.fail(token, f"a field expected: params.NAME, tags.NAME, metrics.NAME, {', '.join(_ATTRIBUTES)}")
        where: list[object] = [name]
        if kind == "params":
            table = "FROM params WHERE run = r.n AND key = ?"
            return _Field(
                (f"(SELECT number {table})", where),
                (f"(SELECT text {table})", where),
                (f"(SELECT kind {table} AND kind <> 'null')", where),  # None is missing
                exact=(f"(SELECT exact {table})", where),
            )
        if kind == "tags":
            tag: Sql = ("(SELECT value FROM tags WHERE run = r.n AND key = ?)", where)
            return _Field(None, tag, tag)
        metric: Sql = (f"(SELECT {column} FROM metrics WHERE run = r.n AND key = ?)", where)
        return _Field(metric, None, metric)

    # -- order

    def order(self) -> Sql:
        parts, values = [], []
        while True:
            field = self.field()
            self.terms += 1
            if self.terms > MAX_TERMS:
                raise self.fail(self.token, f"more than {MAX_TERMS} fields")
            direction = "DESC" if self.take("desc") else "ASC"
            if direction == "ASC":
                self.take("asc")
            sides = [side for side in (field.number, field.exact, field.text) if side is not None]
            presence, names = field.presence
            parts.append(f"{presence} IS NULL")
            values += names
            for sql, names in sides:
                parts.append(f"{sql} {direction}")
                values += names
            if not self.take(","):
                break
        if self.token.kind != "end":
            raise self.fail(self.token, "'asc', 'desc', ',' or the end expected")
        return ", ".join(parts), values


def compile_where(text: str) -> Sql:
    """SQL over the catalog's tables (the run is ``r``) and its parameters. InvalidArgumentError points at the position.

    >>> compile_where("params.lr > 0.01 and status = 'finished'")
    ('(((SELECT number FROM params WHERE run = r.n AND key = ?) > ?) AND (r.status = ?))', ['lr', 0.01, 'finished'])
    """
    return _Parser("where", text).where()


def compile_order(text: str) -> Sql:
    """The same for ``order_by``. Runs without the field come last, whatever the direction.

    >>> compile_order("start desc")
    ('r.start_ns IS NULL, r.start_ns DESC', [])
    """
    return _Parser("order_by", text).order()

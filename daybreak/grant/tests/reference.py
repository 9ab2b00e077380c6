"""The semantics of grants in the fewest words: what is provable, by trying every path. test_reference.py holds the C++ to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_HOPS = 16
Pair = tuple[str, str]  # (permission, resource), the resource without '+' and '*'


@dataclass(frozen=True)
class Grant:
    attester: str
    subject: str
    statements: tuple[tuple[frozenset[str], str], ...]
    hops: int
    valid_from: int
    valid_until: int


@dataclass
class World:
    namespace: str
    grants: list[Grant] = field(default_factory=list)
    revoked: set[Grant] = field(default_factory=set)
    revoked_entities: set[str] = field(default_factory=set)

    def usable(self, grant: Grant, now: int) -> bool:
        return (
            grant.valid_from <= now < grant.valid_until
            and grant not in self.revoked
            and not {grant.attester, grant.subject} & self.revoked_entities
        )

    def paths(self, subject: str, now: int) -> Iterator[list[Grant]]:
        """Every usable chain from the namespace to the subject that comes to no entity twice and that every hop allows."""

        def extend(path: list[Grant], seen: set[str]) -> Iterator[list[Grant]]:
            at = path[-1].subject if path else self.namespace
            if path and at == subject and all(len(path) - 1 - i <= hop.hops for i, hop in enumerate(path)):
                yield list(path)
            if len(path) == MAX_HOPS:
                return
            for grant in self.grants:
                if grant.attester == at and grant.subject not in seen and self.usable(grant, now):
                    yield from extend([*path, grant], seen | {grant.subject})

        yield from extend([], {self.namespace})

    def provable(self, subject: str, required: list[Pair], now: int) -> bool:
        """Every pair lies, for one path, within some statement of every hop."""
        paths = list(self.paths(subject, now))
        return all(
            any(
                all(
                    any(permission in ps and matches(pattern, resource) for ps, pattern in hop.statements)
                    for hop in path
                )
                for path in paths
            )
            for permission, resource in required
        )


def matches(pattern: str, resource: str) -> bool:
    """Whether the pattern has the resource in it: '+' is one cell, '*' any number."""

    def match(cells: list[str], names: list[str]) -> bool:
        if not cells:
            return not names
        if cells[0] == "*":
            return any(match(cells[1:], names[i:]) for i in range(len(names) + 1))
        return bool(names) and cells[0] in ("+", names[0]) and match(cells[1:], names[1:])

    return match(pattern.split("/"), resource.split("/"))

"""The exception of this room."""

from __future__ import annotations

from daybreak.base.errors import Error

__all__ = ["Denied"]

_HTTP = {"no_proof": 401, "malformed": 400, "revocation_stale": 503}


class Denied(Error, PermissionError):
    """Not allowed. ``code`` is one of eight words, ``str(error)`` a sentence that says which link is missing.

    ``no_proof`` nothing, or not enough, was presented; ``not_granted`` it is genuine and does not reach so far; ``expired``;
    ``not_yet``; ``revoked``; ``revocation_stale`` the revocations could not be read recently enough; ``replayed`` used before, or
    outside its time window; ``malformed`` not what it says it is.

    >>> error = Denied("expired", "the grant to 0a1b2c3d4e5f expired 3 s ago")
    >>> error.code, error.http_status, str(error)
    ('expired', 403, 'expired: the grant to 0a1b2c3d4e5f expired 3 s ago')
    """

    code: str  # type: ignore[assignment, misc]  # a word: the numbers of Error are too coarse here
    http_status: int  # type: ignore[misc]

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code = code
        self.sentence = sentence
        self.http_status = _HTTP.get(code, 403)

    def __reduce__(self) -> tuple[type[Denied], tuple[str, str]]:
        return Denied, (self.code, self.sentence)

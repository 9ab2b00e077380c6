"""Answers for people: why, who, and what if. Each over what one wallet knows; a grant that it has not seen is not in the answer."""

from __future__ import annotations

from collections.abc import Sequence

from daybreak._core.grant import Attestation, RevocationStore, Wallet

__all__ = ["explain", "what_breaks", "who_has"]


def explain(
    wallet: Wallet,
    required: Sequence[tuple[str, str]],
    *,
    namespace: str,
    subject: str | None = None,
    revocations: RevocationStore | None = None,
) -> str:
    """Why each (permission, resource) pair is granted to ``subject`` (an id; default: the wallet's owner), or not: one line a pair.

    A line begins with ``granted`` and shows the chain, or with the code of the denial and names the missing link.

    >>> from daybreak import grant
    >>> lab, ann = grant.Entity.create(), grant.Entity.create()
    >>> wallet = grant.Wallet(ann)
    >>> print(grant.explain(wallet, [("predict", "models/pong")], namespace=lab.id))  # doctest: +ELLIPSIS
    not_granted: 'predict' on 'models/pong' in namespace ...: nothing there is granted to ...
    """
    return wallet.explain(list(required), namespace=namespace, subject=subject, revocations=revocations)


def who_has(
    wallet: Wallet, permission: str, resource: str, *, namespace: str, revocations: RevocationStore | None = None
) -> list[tuple[str, list[str]]]:
    """Everyone who has it: (id, ids of the attesters above, the namespace first), each by its shortest chain.

    >>> from daybreak import grant
    >>> lab, ann = grant.Entity.create(), grant.Entity.create()
    >>> wallet = grant.Wallet(lab)
    >>> granted = wallet.grant(ann.public, namespace=lab.id, statements=[(["predict"], "models/*")])
    >>> grant.who_has(wallet, "predict", "models/pong", namespace=lab.id) == [(ann.id, [lab.id])]
    True
    """
    return wallet.who_has(permission, resource, namespace=namespace, revocations=revocations)


def what_breaks(
    wallet: Wallet, attestation: Attestation, *, revocations: RevocationStore | None = None
) -> list[tuple[str, str, str]]:
    """(id, permission, resource pattern) of all that revoking the attestation would end.

    >>> from daybreak import grant
    >>> lab, ann = grant.Entity.create(), grant.Entity.create()
    >>> wallet = grant.Wallet(lab)
    >>> granted = wallet.grant(ann.public, namespace=lab.id, statements=[(["predict"], "models/*")])
    >>> grant.what_breaks(wallet, granted.attestation) == [(ann.id, "predict", "models/*")]
    True
    """
    return wallet.what_breaks(attestation, revocations=revocations)

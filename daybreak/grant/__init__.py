"""Who may do what, with no server in the middle.

>>> lab, ann, bob = Entity.create(), Entity.create(), Entity.create()
>>> wallets = {entity.id: Wallet(entity) for entity in (lab, ann, bob)}
>>> bundle = wallets[lab.id].grant(
...     ann.public, namespace=lab.id, statements=[(["predict", "train"], "models/pong/*")], hops=1
... ).bundle
>>> wallets[ann.id].add(bundle)
1
>>> granted = wallets[ann.id].grant(bob.public, namespace=lab.id, statements=[(["predict"], "models/pong/rl")])
>>> wallets[bob.id].add(granted.bundle)  # ann's attestation, and the lab's above it
2
>>> proof = wallets[bob.id].prove([("predict", "models/pong/rl")], namespace=lab.id)

A server knows the namespace, its own name and where revocations are published:

>>> verifier = Verifier(namespace=lab.id, server="pong.example", revocations=None)
>>> verifier.verify(proof, [("predict", "models/pong/rl")]).subject == bob.id
True
>>> verifier.verify(proof, [("train", "models/pong/rl")])
Traceback (most recent call last):
...
daybreak.grant.errors.Denied: not_granted: ...

A proof is public. Who presents one signs the request, or opens a session:

>>> request = sign_request(bob, proof, server="pong.example", method="POST", path="/predict", body=b"{}")
>>> required = [("predict", "models/pong/rl")]
>>> verifier.check_request(request, required, method="POST", path="/predict", body=b"{}").subject == bob.id
True
>>> verifier.check_request(request, required, method="POST", path="/predict", body=b"{}")
Traceback (most recent call last):
...
daybreak.grant.errors.Denied: replayed: the request was used before

Bytes are encrypted to a place in the namespace, from its public manifest, and open for whoever holds ``decrypt`` there:

>>> manifest = Manifest.create(lab, ["models/pong/rl"])
>>> ciphertext = encrypt(manifest, "models/pong/rl", b"weights", author=wallets[lab.id])
>>> granted = wallets[lab.id].grant(ann.public, namespace=lab.id, statements=[(["decrypt"], "models/pong/*")])
>>> wallets[ann.id].add(granted.bundle)
1
>>> decrypt(ciphertext, wallet=wallets[ann.id], verifier=verifier)
b'weights'
>>> decrypt(ciphertext, wallet=wallets[bob.id], verifier=verifier)
Traceback (most recent call last):
...
daybreak.grant.errors.Denied: not_granted: ...
"""

from daybreak._core.grant import (
    Attestation,
    CiphertextLabel,
    Decision,
    Entity,
    Granted,
    Manifest,
    ManifestMemory,
    RevocationStore,
    SignedRequest,
    Verifier,
    Wallet,
    decrypt,
    encrypt,
    entity_id,
    label,
    revoke,
    sign_challenge,
    sign_request,
)
from daybreak.grant.answers import explain, what_breaks, who_has
from daybreak.grant.errors import Denied

__all__ = [
    "Attestation",
    "CiphertextLabel",
    "Decision",
    "Denied",
    "Entity",
    "Granted",
    "Manifest",
    "ManifestMemory",
    "RevocationStore",
    "SignedRequest",
    "Verifier",
    "Wallet",
    "decrypt",
    "encrypt",
    "entity_id",
    "explain",
    "label",
    "revoke",
    "sign_challenge",
    "sign_request",
    "what_breaks",
    "who_has",
]

from collections.abc import Sequence
import os
from typing import overload

from typing_extensions import CapsuleType


class Entity:
    """
    Whoever grants, holds or proves: a key pair with a validity. Its `id` names its public record.
    """

    @staticmethod
    def create(*, valid_from: int | None = None, valid_for: int = 31536000, sealing: bool = True) -> Entity:
        """
        A new one, valid from a unix second (now) for so many seconds. `sealing=False`: without the key to which bundles are sealed.
        """

    @staticmethod
    def load(path: str | os.PathLike, passphrase: str | None = None) -> Entity:
        """From its file. UnauthenticatedError for a wrong passphrase."""

    def save(self, path: str | os.PathLike, passphrase: str | None = None, *, replace: bool = False) -> None:
        """
        Into a file that its owner alone can read, optionally under a passphrase (argon2id). A file that holds anything but this entity's own key is AlreadyExistsError: `replace=True` writes over it.
        """

    @property
    def id(self) -> str: ...

    @property
    def public(self) -> bytes:
        """The public record, for whoever grants to it."""

    def attest(self, subject: bytes, *, namespace: str, statements: Sequence[tuple[Sequence[str], str]], hops: int = 0, valid_from: int | None = None, valid_for: int = 2592000) -> Attestation:
        """
        Signs that the subject (its public record) may do what the statements say, each (permissions, resource pattern).
        """

def entity_id(record: bytes) -> str:
    """The id of a public record."""

class Attestation:
    """One entity signs that another may do something in a namespace."""

    @staticmethod
    def decode(bytes: bytes) -> Attestation:
        """
        Well formed, or DataLossError. The signature is not checked: a verifier does.
        """

    def encode(self) -> bytes: ...

    @property
    def id(self) -> str: ...

    @property
    def attester(self) -> str: ...

    @property
    def subject(self) -> str: ...

    @property
    def namespace(self) -> str: ...

    @property
    def hops(self) -> int: ...

    @property
    def valid_from(self) -> int: ...

    @property
    def valid_until(self) -> int: ...

    @property
    def statements(self) -> list[tuple[list[str], str]]: ...

class Granted:
    """An attestation and its bundle, made by Wallet.grant()."""

    @property
    def attestation(self) -> Attestation:
        """To be named when it is revoked."""

    @property
    def bundle(self) -> bytes:
        """To be sent to the subject."""

    @property
    def keys_from(self) -> int:
        """Keys are handed over from this unix second on; 0 without keys."""

    @property
    def keys_until(self) -> int:
        """And until this one, which is not in it."""

class Wallet:
    """
    What one entity knows: grants to it, the chains above them, and the grants that it made.
    """

    def __init__(self, entity: Entity, directory: str | os.PathLike | None = None) -> None:
        """In memory, or in a directory of files that only their owner can read."""

    def grant(self, subject: bytes, *, namespace: str, statements: Sequence[tuple[Sequence[str], str]], hops: int = 0, valid_from: int | None = None, valid_for: int = 2592000, keys_from: int | None = None, epoch_s: int = 86400) -> Granted:
        """
        Grants to the subject (its public record) and keeps the attestation. The result's `bundle` is for the subject: the attestation and all chains above it that are known, sealed to the subject, and for statements that say `decrypt` the keys of every epoch that the validity touches (`keys_from`, `keys_until` of the result show the rounding). keys_from: a unix second in the past from which on keys are handed over too. epoch_s: of the manifest, when the owner is the namespace; others hand on keys as they got them. 60 s to 400 days, else InvalidArgumentError. PermissionDeniedError when the owner does not hold the keys.
        """

    def bundle(self, subject: bytes) -> bytes:
        """
        All that was granted to the subject, again, with the chains above as they are known now.
        """

    def add(self, bundle: bytes) -> int:
        """
        Takes a bundle, in any order. Returns how many attestations in it are new.
        """

    def issued(self, subject: str | None = None) -> list[Attestation]:
        """The attestations that the owner made, or those to one id."""

    def attestations(self) -> list[Attestation]:
        """All that are known."""

    def prove(self, required: Sequence[tuple[str, str]], *, namespace: str, subject: str | None = None, revocations: RevocationStore | None = None) -> bytes:
        """
        A proof that the owner has all (permission, resource) pairs, by grants that are not revoked in the store; or that another subject (an id) has them, who alone can use it. Denied says which link is missing.
        """

    def explain(self, required: Sequence[tuple[str, str]], *, namespace: str, subject: str | None = None, revocations: RevocationStore | None = None) -> str:
        """
        One line for each pair: the chain that gives it, or the code and the missing link.
        """

    def who_has(self, permission: str, resource: str, *, namespace: str, revocations: RevocationStore | None = None) -> list[tuple[str, list[str]]]:
        """
        Everyone who has it: (id, ids of the attesters above, the namespace first). Over what this wallet knows.
        """

    @overload
    def what_breaks(self, attestation: Attestation, *, revocations: RevocationStore | None = None) -> list[tuple[str, str, str]]:
        """
        (id, permission, resource pattern) of all that revoking the attestation would end.
        """

    @overload
    def what_breaks(self, entity: bytes, *, namespace: str, revocations: RevocationStore | None = None) -> list[tuple[str, str, str]]:
        """The same for revoking an entity (its public record)."""

class RevocationStore:
    """
    A directory in which revocations are published, one file each. It is trusted to keep all of them.
    """

    def __init__(self, directory: str | os.PathLike) -> None:
        """
        One that is there: an empty directory is none (NotFoundError), so that a disk that is not mounted is no amnesty.
        """

    @staticmethod
    def create(directory: str | os.PathLike) -> RevocationStore:
        """Makes it in an empty directory, or opens it."""

    def __len__(self) -> int:
        """How many revocations there are."""

def revoke(store: RevocationStore, entity: Entity, attestation: Attestation | None = None) -> None:
    """
    Revokes an attestation that the entity made, or the entity itself, for ever.
    """

class SignedRequest:
    """
    What goes beside a request: the proof, and the subject's signature over this very request.
    """

    def __init__(self, proof: bytes, issued_at_ns: int, nonce: bytes, signature: bytes) -> None: ...

    @property
    def proof(self) -> bytes: ...

    @property
    def issued_at_ns(self) -> int: ...

    @property
    def nonce(self) -> bytes: ...

    @property
    def signature(self) -> bytes: ...

def sign_request(entity: Entity, proof: bytes, *, server: str, method: str, path: str, body: bytes = ..., origin: str = '', app: str = '') -> SignedRequest:
    """
    Signs one request, good once, within 30 s, and at this server alone. `path` is path and query.
    """

def sign_challenge(entity: Entity, proof: bytes, challenge: bytes, *, server: str, origin: str = '', app: str = '') -> bytes:
    """The answer to Verifier.challenge()."""

class Decision:
    """
    Allowed: who proved it (id), and the unix second at which the decision ends.
    """

    @property
    def subject(self) -> str: ...

    @property
    def expires(self) -> int: ...

class Verifier:
    """What a server asks before it does something. Any thread may use it."""

    def __init__(self, *, namespace: str, server: str, revocations: RevocationStore | None, max_staleness_s: int = 60, max_sessions: int = 4096, max_nonces: int = 65536) -> None:
        """
        For one namespace, under this server's own name. `revocations=None` looks at none. When the store has not been read completely for `max_staleness_s`, all is denied as revocation_stale.
        """

    def verify(self, proof: bytes, required: Sequence[tuple[str, str]], subject: str | None = None, origin: str = '', app: str = '') -> Decision:
        """
        Whether the proof gives all (permission, resource) pairs to its subject. It does not say who presents it: for a request use check_request() or a session. Denied has the code and the sentence.
        """

    def check_request(self, request: SignedRequest, required: Sequence[tuple[str, str]], *, method: str, path: str, body: bytes = ..., origin: str = '', app: str = '') -> Decision:
        """
        The same for whoever signed this very request, which must be new: 30 s either way, and used once.
        """

    def refresh(self) -> None:
        """Reads the store of revocations now."""

    def gate(self) -> CapsuleType:
        """As the capsule daybreak.gate.v1, for native code of other rooms."""

    def __daybreak_gate_v1__(self) -> CapsuleType:
        """gate(), under the name by which other rooms ask for it."""

    def challenge(self, origin: str = '', app: str = '') -> bytes:
        """32 bytes, good once and for 30 s."""

    def open_session(self, proof: bytes, challenge: bytes, signature: bytes, required: Sequence[tuple[str, str]], origin: str = '', app: str = '') -> tuple[bytes, Decision]:
        """
        A token of 32 bytes and its decision: for at most 5 minutes, and never beyond the proof.
        """

    def check_session(self, token: bytes, required: Sequence[tuple[str, str]], origin: str = '', app: str = '') -> Decision:
        """Whether the session may do this: any that its proof gives."""

    def close_session(self, token: bytes) -> None: ...

class Manifest:
    """
    The public keys of a namespace's resources, signed by it: what anyone needs to encrypt to them. Take one from elsewhere through ManifestMemory, which knows an old one for what it is.
    """

    def __init__(self, bytes: bytes) -> None:
        """
        Well formed and signed by the namespace that it names, or DataLossError.
        """

    @staticmethod
    def create(owner: Entity, resources: Sequence[str], *, sequence: int = 1, valid_from: int | None = None, valid_for: int = 7776000, epoch_s: int = 86400) -> Manifest:
        """
        Of the namespace that `owner` is, for literal resources and every epoch that its validity touches. `sequence` must be more than that of every manifest before.
        """

    @property
    def bytes(self) -> bytes: ...

    @property
    def namespace(self) -> str: ...

    @property
    def sequence(self) -> int: ...

    @property
    def valid_from(self) -> int: ...

    @property
    def valid_until(self) -> int: ...

    @property
    def epoch_s(self) -> int: ...

    @property
    def resources(self) -> list[str]: ...

class ManifestMemory:
    """
    Remembers the newest manifest of each namespace, in memory or in a directory, and refuses an older one.
    """

    def __init__(self, directory: str | os.PathLike | None = None) -> None: ...

    def accept(self, bytes: bytes, namespace: str) -> Manifest:
        """
        FailedPreconditionError when it is rolled back, expired or of another namespace; DataLossError when it is damaged, or another one of the same sequence number.
        """

    def newest(self, namespace: str) -> Manifest:
        """NotFoundError when none was seen."""

class CiphertextLabel:
    """What anyone can read of a ciphertext. Nothing of it is verified."""

    @property
    def namespace(self) -> str: ...

    @property
    def resource(self) -> str: ...

    @property
    def author(self) -> str:
        """The id of the entity that says it made it."""

    @property
    def keys_from(self) -> int:
        """It is under the key of the epoch from this unix second on,"""

    @property
    def keys_until(self) -> int:
        """until this one."""

    @property
    def size_bytes(self) -> int:
        """Of the plaintext."""

def label(ciphertext: object) -> CiphertextLabel:
    """What anyone can read of a ciphertext."""

def encrypt(manifest: Manifest, resource: str, data: object, *, author: Wallet) -> bytes:
    """
    Encrypts bytes to a resource, under its key of the present epoch. `author`: the wallet of whoever publishes; it must be able to prove `publish` on the resource, or be the namespace's own (PermissionDeniedError). NotFoundError names what the manifest lacks.
    """

def decrypt(ciphertext: object, *, wallet: Wallet, verifier: Verifier) -> bytes:
    """
    The plaintext. Denied unless the author proves `publish` and the wallet's owner `decrypt` on the resource, both now and unrevoked, and the wallet has the key of its epoch.
    """

"""Encryption to a resource, through wallets."""

import time
from pathlib import Path

import pytest

from daybreak import grant
from daybreak.base import errors

IMITATION, RL = "models/pong/imitation", "models/pong/rl"
DAY = 86_400


class World:
    """A lab, a trainer who may publish, and whoever else a test asks for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lab = grant.Entity.create()
        self.wallets: dict[str, grant.Wallet] = {}
        self.entities: dict[str, grant.Entity] = {"lab": self.lab}
        self.store = grant.RevocationStore.create(str(folder / "revocations"))
        self.manifest = grant.Manifest.create(self.lab, [IMITATION, RL])
        self.give("lab", "trainer", ["publish"], "models/pong/*")

    def __getitem__(self, name: str) -> grant.Wallet:
        if name not in self.wallets:
            self.entities.setdefault(name, grant.Entity.create())
            self.wallets[name] = grant.Wallet(self.entities[name], str(self.folder / name))
        return self.wallets[name]

    def give(self, who: str, whom: str, permissions: list[str], resource: str, **options: int) -> grant.Granted:
        giver, taker = self[who], self[whom]
        granted = giver.grant(
            self.entities[whom].public, namespace=self.lab.id, statements=[(permissions, resource)], **options
        )
        taker.add(granted.bundle)
        return granted

    def verifier(self, staleness_s: int = 60) -> grant.Verifier:
        return grant.Verifier(
            namespace=self.lab.id, server="deployer", revocations=self.store, max_staleness_s=staleness_s
        )

    def encrypt(self, data: bytes, resource: str = RL, author: str = "trainer") -> bytes:
        return grant.encrypt(self.manifest, resource, data, author=self[author])

    def decrypt(self, ciphertext: bytes, who: str, verifier: grant.Verifier | None = None) -> bytes:
        return grant.decrypt(ciphertext, wallet=self[who], verifier=verifier or self.verifier())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def denied(code: str, says: str = "") -> pytest.RaisesExc[grant.Denied]:
    return pytest.raises(grant.Denied, match=says or None, check=lambda error: error.code == code)


def test_grant_given_after_the_encryption_opens_it(world: World) -> None:
    ciphertext = world.encrypt(b"weights" * 100_000)
    with denied("not_granted", "nothing there is granted"):
        world.decrypt(ciphertext, "friend")
    world.give("lab", "friend", ["decrypt"], RL)
    assert world.decrypt(ciphertext, "friend") == b"weights" * 100_000
    with denied("not_granted"):
        world.decrypt(world.encrypt(b"x", IMITATION), "friend")


def test_namespace_itself_publishes_and_opens_without_a_grant(world: World) -> None:
    ciphertext = world.encrypt(b"own", author="lab")
    assert world.decrypt(ciphertext, "lab") == b"own"
    assert grant.label(ciphertext).author == world.lab.id


def test_subtree_holder_hands_on_a_part_and_no_more(world: World) -> None:
    world.give("lab", "friend", ["decrypt"], "models/pong/*", hops=1)
    world.give("friend", "other", ["decrypt"], RL)
    assert world.decrypt(world.encrypt(b"x"), "other") == b"x"
    with denied("not_granted"):
        world.decrypt(world.encrypt(b"x", IMITATION), "other")
    with pytest.raises(errors.PermissionDeniedError, match=r"no key for 'models/\*'"):
        world.give("friend", "other", ["decrypt"], "models/*")
    # Handing over keys is not enough where the grant may not be passed on.
    world.give("other", "third", ["decrypt"], RL)
    with denied("not_granted", "may not pass it on"):
        world.decrypt(world.encrypt(b"x"), "third")


def test_keys_of_the_past_are_handed_over_when_asked_for_and_held(world: World) -> None:
    now = int(time.time())
    plain = world.give("lab", "friend", ["decrypt"], "models/pong/*", hops=1)
    assert plain.keys_from == now // DAY * DAY and plain.keys_until % DAY == 0
    assert plain.keys_until - plain.keys_from in (31 * DAY, 30 * DAY)
    dated = world.give("lab", "other", ["decrypt"], RL, keys_from=now - 3 * DAY)
    assert dated.keys_from == (now - 3 * DAY) // DAY * DAY
    with pytest.raises(errors.PermissionDeniedError, match="in epoch"):
        world.give("friend", "third", ["decrypt"], RL, keys_from=now - 3 * DAY)
    with pytest.raises(ValueError, match="'decrypt' only"):
        world.give("lab", "third", ["predict"], "apps/pong", keys_from=now)
    none = world.give("lab", "third", ["predict"], "apps/pong")
    assert (none.keys_from, none.keys_until) == (0, 0)


def test_manifest_of_another_length_of_epochs_needs_its_own_grants(world: World) -> None:
    hourly = grant.Manifest.create(world.lab, [RL], sequence=2, epoch_s=3600, valid_for=DAY)
    ciphertext = grant.encrypt(hourly, RL, b"x", author=world["trainer"])
    world.give("lab", "friend", ["decrypt"], RL)
    with denied("not_granted", "no key for"):
        world.decrypt(ciphertext, "friend")
    world.give("lab", "friend", ["decrypt"], RL, epoch_s=3600, valid_for=DAY)
    assert world.decrypt(ciphertext, "friend") == b"x"
    assert world.decrypt(world.encrypt(b"y"), "friend") == b"y"


@pytest.mark.parametrize("epoch_s", [-(2**63), -1, 0, 1, 30, 59, 400 * DAY + 1, 2**32 + 60, 2**63 - 1])
def test_epochs_that_no_wallet_could_read_are_refused_when_they_are_granted(world: World, epoch_s: int) -> None:
    with pytest.raises(errors.InvalidArgumentError, match=rf"epochs of {epoch_s} s: allowed are 60 to 34560000 s"):
        world.give("lab", "friend", ["decrypt"], RL, epoch_s=epoch_s)
    with pytest.raises(ValueError, match="a minute to 400 days"):
        grant.Manifest.create(world.lab, [RL], sequence=2, epoch_s=epoch_s)
    assert world["friend"].issued() == [] and world["lab"].issued(world.entities["friend"].id) == []


def test_shortest_and_longest_epochs_open(world: World) -> None:
    for sequence, epoch_s in enumerate((60, 400 * DAY), start=2):
        manifest = grant.Manifest.create(world.lab, [RL], sequence=sequence, epoch_s=epoch_s, valid_for=3600)
        world.give("lab", "friend", ["decrypt"], RL, epoch_s=epoch_s, valid_for=3600)
        ciphertext = grant.encrypt(manifest, RL, b"x", author=world["trainer"])
        assert world.decrypt(ciphertext, "friend") == b"x"


def test_revoked_holder_is_refused_within_the_staleness_bound_and_a_new_grant_opens_again(world: World) -> None:
    granted = world.give("lab", "friend", ["decrypt"], RL)
    ciphertext, verifier = world.encrypt(b"x"), world.verifier(staleness_s=1)
    assert world.decrypt(ciphertext, "friend", verifier) == b"x"
    grant.revoke(world.store, world.lab, granted.attestation)
    end = time.monotonic() + 1.0
    with denied("revoked"):
        while time.monotonic() < end:
            world.decrypt(ciphertext, "friend", verifier)
            time.sleep(0.01)
    world.give("lab", "friend", ["decrypt"], RL)
    assert world.decrypt(ciphertext, "friend", verifier) == b"x"


def test_revoked_author_is_no_author_any_more(world: World) -> None:
    world.give("lab", "friend", ["decrypt"], RL)
    ciphertext = world.encrypt(b"x")
    attestation = next(a for a in world["lab"].issued() if a.subject == world.entities["trainer"].id)
    grant.revoke(world.store, world.lab, attestation)
    with denied("revoked", "author may not publish"):
        world.decrypt(ciphertext, "friend")


def test_unreachable_store_refuses_all(world: World, tmp_path: Path) -> None:
    world.give("lab", "friend", ["decrypt"], RL)
    ciphertext = world.encrypt(b"x")
    (tmp_path / "revocations").rename(tmp_path / "gone")
    with pytest.raises((grant.Denied, errors.Error)):
        world.decrypt(ciphertext, "friend")


def test_author_needs_publish_on_that_very_resource(world: World) -> None:
    with pytest.raises(errors.PermissionDeniedError, match="nothing there is granted"):
        world.encrypt(b"x", author="stranger")
    world.give("lab", "stranger", ["publish"], IMITATION)
    with pytest.raises(errors.PermissionDeniedError, match="none of the 1 grants"):
        world.encrypt(b"x", author="stranger")
    world.give("lab", "stranger", ["decrypt"], RL)
    with pytest.raises(errors.PermissionDeniedError):
        world.encrypt(b"x", author="stranger")


def test_planted_ciphertexts_are_refused(world: World, tmp_path: Path) -> None:
    world.give("lab", "friend", ["decrypt"], "models/pong/*")
    genuine = world.encrypt(b"genuine")
    # Of a namespace of the stranger's own, which has the same resource.
    stranger = World(tmp_path / "stranger")
    planted = stranger.encrypt(b"planted", author="lab")
    with denied("not_granted", "is of namespace"):
        world.decrypt(planted, "friend")
    # The same, with the lab's id written over the stranger's.
    forged = planted[:1] + bytes.fromhex(world.lab.id) + planted[33:]
    with denied("malformed"):
        world.decrypt(forged, "friend")
    # The genuine header before another body, and bytes that are nothing.
    other = world.encrypt(b"another")
    with denied("malformed", "not the one that its author signed|does not open"):
        world.decrypt(genuine[:-48] + other[-48:], "friend")
    for junk in (b"", b"\x01", genuine[:100], genuine + b"x", b"\x02" + genuine[1:]):
        with denied("malformed"):
            world.decrypt(junk, "friend")


def test_resource_that_the_manifest_lacks_is_named(world: World) -> None:
    world.give("lab", "trainer", ["publish"], "models/*")
    with pytest.raises(errors.NotFoundError, match="'models/pong/new'"):
        world.encrypt(b"x", "models/pong/new")
    with pytest.raises(ValueError, match="pattern"):
        world.encrypt(b"x", "models/pong/*")


def test_manifest_travels_as_bytes_and_old_ones_are_known(world: World, tmp_path: Path) -> None:
    memory = grant.ManifestMemory(str(tmp_path / "manifests"))
    newer = grant.Manifest.create(world.lab, [RL], sequence=2)
    accepted = memory.accept(newer.bytes, world.lab.id)
    assert (accepted.sequence, accepted.resources, accepted.namespace) == (2, [RL], world.lab.id)
    assert accepted.bytes == grant.Manifest(newer.bytes).bytes
    with pytest.raises(errors.FailedPreconditionError, match="rolled back"):
        grant.ManifestMemory(str(tmp_path / "manifests")).accept(world.manifest.bytes, world.lab.id)
    with pytest.raises(errors.DataLossError, match="two manifests"):
        memory.accept(grant.Manifest.create(world.lab, [RL, IMITATION], sequence=2).bytes, world.lab.id)
    with pytest.raises(errors.FailedPreconditionError, match="expected"):
        memory.accept(newer.bytes, world.entities["trainer"].id)
    old = grant.Manifest.create(world.lab, [RL], sequence=3, valid_from=int(time.time()) - 3 * DAY, valid_for=DAY)
    with pytest.raises(errors.FailedPreconditionError, match="was valid until"):
        memory.accept(old.bytes, world.lab.id)
    with pytest.raises(errors.FailedPreconditionError):
        grant.encrypt(old, RL, b"x", author=world["lab"])


def test_any_contiguous_buffer_is_encrypted_and_an_array_that_is_not_is_refused(world: World) -> None:
    import numpy as np

    array = np.arange(1000, dtype=np.float32)
    world.give("lab", "friend", ["decrypt"], RL)
    for data in (bytearray(b"abc"), memoryview(b"abc"), array):
        assert world.decrypt(world.encrypt(data), "friend") == bytes(memoryview(data).cast("B"))  # type: ignore[arg-type]
    with pytest.raises((ValueError, BufferError)):
        world.encrypt(array[::2])  # type: ignore[arg-type]


def test_files_of_a_wallet_hold_no_key_and_no_plaintext(world: World, tmp_path: Path) -> None:

    world.give("lab", "friend", ["decrypt"], RL)
    ciphertext = world.encrypt(b"canary-4711")
    assert world.decrypt(ciphertext, "friend") == b"canary-4711"
    stored = b"".join(path.read_bytes() for path in (tmp_path / "friend").rglob("*") if path.is_file())
    assert b"canary-4711" not in stored + ciphertext
    # Keys that were handed over lie in the wallet sealed: no window of 32 bytes of the wallet is the node's key.
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    public = grant_key_of(world.manifest.bytes)
    windows = (stored[i : i + 32] for i in range(len(stored) - 31))
    assert all(X25519PrivateKey.from_private_bytes(w).public_key().public_bytes_raw() != public for w in windows)


def grant_key_of(manifest: bytes) -> bytes:
    """The public key of models/pong/rl in the manifest's first epoch: behind its path, first epoch and count."""
    at = manifest.index(RL.encode()) + len(RL)
    for _ in range(2):
        while manifest[at] & 0x80:
            at += 1
        at += 1
    return manifest[at : at + 32]

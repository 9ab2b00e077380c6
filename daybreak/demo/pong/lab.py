"""Who may open the lab's models: the lab, its trainer, a deployer who is granted, a stranger who is not.

Each has a folder with a key and a wallet of their own. What is public (the manifest, ciphertexts, revocations) lies in a folder
that all may read. Only the lab's folder ever holds a policy in the clear.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from daybreak import grant, rl

from ..steps import Steps

__all__ = ["IMITATION", "MODELS", "RL", "STALENESS_S", "Guarded", "Lab", "Party", "guard", "leaks", "secret_of"]

IMITATION = "models/pong/imitation"
RL = "models/pong/rl"
MODELS = {"imitation": IMITATION, "rl": RL}
STALENESS_S = 2  # how old the knowledge of revocations may get
VALID_FOR_S = 30 * 86_400


class Party:
    """Someone with a key, a wallet of grants and a folder for both."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder
        self.entity = grant.Entity.create(valid_for=VALID_FOR_S)
        self.entity.save(str(folder / "entity.key"))
        self.wallet = grant.Wallet(self.entity, str(folder / "wallet"))

    def open(self, ciphertext: bytes, verifier: grant.Verifier) -> rl.Policy:
        """The policy in a ciphertext, in memory alone. Denied says why not."""
        return rl.Policy.load(grant.decrypt(ciphertext, wallet=self.wallet, verifier=verifier))


class Lab:
    """A namespace, its manifest and its revocations, and a trainer who may publish models in it."""

    def __init__(self, out: Path) -> None:
        self.public = out / "public"
        self.public.mkdir(parents=True, exist_ok=True)
        self.owner = Party(out / "lab")
        self.trainer = Party(out / "trainer")
        self.namespace = self.owner.entity.id
        self.revocations = grant.RevocationStore.create(str(self.public / "revocations"))
        self.manifest = grant.Manifest.create(self.owner.entity, list(MODELS.values()))
        (self.public / "manifest").write_bytes(self.manifest.bytes)
        self.give(self.trainer, "publish", "models/pong/*")

    def give(self, party: Party, permission: str, resource: str) -> grant.Granted:
        """Grants, and hands the bundle over. Keys of `decrypt` begin a day ago: models encrypted before midnight open too."""
        past = int(time.time()) - 86_400 if permission == "decrypt" else None
        granted = self.owner.wallet.grant(
            party.entity.public, namespace=self.namespace, statements=[([permission], resource)], keys_from=past
        )
        party.wallet.add(granted.bundle)
        return granted

    def encrypt(self, name: str, policy: rl.Policy) -> bytes:
        """A model, published by the trainer: the ciphertext, which also lies in the public folder."""
        ciphertext = grant.encrypt(self.manifest, MODELS[name], policy.to_bytes(), author=self.trainer.wallet)
        (self.public / f"{name}.enc").write_bytes(ciphertext)
        return ciphertext

    def verifier(self, server: str = "deployer") -> grant.Verifier:
        """What a careful reader of the lab's models asks, and the server's gate. Knows what is public alone."""
        return grant.Verifier(
            namespace=self.namespace, server=server, revocations=self.revocations, max_staleness_s=STALENESS_S
        )


@dataclass(frozen=True)
class Guarded:
    """What the lab published."""

    lab: Lab
    deployer: Party
    stranger: Party
    ciphertexts: dict[str, bytes]


def _refusal(attempt: Callable[[], object]) -> grant.Denied | None:
    """Why the attempt was denied; None when it was not."""
    try:
        attempt()
    except grant.Denied as denied:
        return denied
    return None


def guard(steps: Steps, out: Path, policies: dict[str, rl.Policy], keep: Callable[[str, bytes], object]) -> Guarded:
    """The chapter of the story in which the policies are encrypted, refused, granted, planted and revoked.

    policies: "imitation" and "rl". `keep(name, ciphertext)` is told what was encrypted.
    """
    step = steps.step
    with step(
        "parties", "found the lab, its trainer, a deployer and a stranger, each with a key of their own"
    ) as found:
        lab, deployer, stranger = Lab(out), Party(out / "deployer"), Party(out / "stranger")
        verifier = lab.verifier()
        found.text = f"the lab's namespace is {lab.namespace[:12]}; the trainer may publish to models/pong/*"
    with step("encrypt", "encrypt both policies to their places in the namespace") as found:
        ciphertexts = {name: lab.encrypt(name, policy) for name, policy in policies.items()}
        for name, ciphertext in ciphertexts.items():
            keep(name, ciphertext)
        found.passed = all(policy.to_bytes() not in ciphertexts[name] for name, policy in policies.items())
        sizes = ", ".join(f"{MODELS[name]} {len(ciphertext):,} bytes" for name, ciphertext in ciphertexts.items())
        found.text = f"{sizes}; the runs keep these bytes as 'policy'"

    def attempt(party: Party, name: str) -> grant.Denied | None:
        return _refusal(lambda: party.open(ciphertexts[name], verifier))

    with step("refused", "let the deployer open one without a grant") as found:
        denied = attempt(deployer, "imitation")
        found.passed = denied is not None and denied.code == "not_granted"
        found.text = str(denied)
    with step("granted", f"grant the deployer 'decrypt' on {IMITATION}") as found:
        granted = lab.give(deployer, "decrypt", IMITATION)
        opened = deployer.open(ciphertexts["imitation"], verifier)
        found.passed = opened.to_bytes() == policies["imitation"].to_bytes()
        found.text = f"opened in memory: {opened!r}"
    with step("attenuated", f"let the deployer open {RL} with that grant") as found:
        denied = attempt(deployer, "rl")
        found.passed = denied is not None and denied.code == "not_granted"
        found.text = str(denied)
    with step("granted_rl", f"grant the deployer 'decrypt' on {RL} as well") as found:
        lab.give(deployer, "decrypt", RL)
        found.passed = deployer.open(ciphertexts["rl"], verifier).to_bytes() == policies["rl"].to_bytes()
        found.text = f"opened in memory, and the stranger still is not: {attempt(stranger, 'rl')}"
        found.passed = found.passed and attempt(stranger, "rl") is not None
    with step("planted", "let the stranger plant a model of his own") as found:
        planted = list(_plant(stranger, lab, policies["imitation"], ciphertexts["rl"]))
        refusals = [_refusal(lambda forged=forged: deployer.open(forged, verifier)) for forged in planted]  # type: ignore[misc]
        found.passed = all(refusals)
        found.text = f"{len(refusals)} ways, all refused: " + "; ".join(str(denied) for denied in refusals)
    with step("revoked", f"revoke the deployer's grant of {IMITATION}") as found:
        grant.revoke(lab.revocations, lab.owner.entity, granted.attestation)
        seconds, denied = _until_denied(lambda: attempt(deployer, "imitation"))
        still = attempt(deployer, "rl") is None
        found.passed = denied is not None and denied.code == "revoked" and seconds <= STALENESS_S and still
        found.text = f"refused after {seconds:.2f} s (bound {STALENESS_S} s), {RL} still opens: {denied}"
    return Guarded(lab, deployer, stranger, ciphertexts)


def _plant(stranger: Party, lab: Lab, policy: rl.Policy, genuine: bytes) -> Iterator[bytes]:
    """What a stranger can make that looks like a model of the lab's."""
    own = grant.Manifest.create(stranger.entity, [RL])
    made = grant.encrypt(own, RL, policy.to_bytes(), author=stranger.wallet)
    yield made  # in a namespace of his own
    yield made[:1] + bytes.fromhex(lab.namespace) + made[33:]  # with the lab's name written over his
    yield genuine[:-1000] + made[-1000:]  # behind the genuine header and signature


def _until_denied(attempt: Callable[[], grant.Denied | None]) -> tuple[float, grant.Denied | None]:
    start = time.monotonic()
    while (denied := attempt()) is None and time.monotonic() - start < 2 * STALENESS_S:
        time.sleep(0.02)
    return time.monotonic() - start, denied


def secret_of(folder: Path) -> bytes:
    """The seed of a party's key, as its file holds it."""
    return (folder / "entity.key").read_bytes()[16:48]


def leaks(folder: Path, canaries: dict[str, bytes]) -> list[str]:
    """Where in the folder one of the canaries lies in the clear: "<name> in <file>"."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        found += [f"{name} in {path}" for name, canary in canaries.items() if canary in data]
    return found

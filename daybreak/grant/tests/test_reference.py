"""Random worlds: the C++ proves and accepts what the reference says, and nothing else."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from daybreak import grant
from daybreak.grant.tests.reference import Grant, World

PERMISSIONS = ["read", "write", "predict"]
PATTERNS = ["*", "a/*", "a/+", "a/b", "+/b", "*/b", "a/*/b", "+"]
RESOURCES = ["a", "a/b", "a/c", "c/b", "a/c/b", "b"]
SEED = int(os.environ.get("DAYBREAK_TEST_SEED") or random.SystemRandom().randrange(1 << 32))


class Simulation:
    """Entities with wallets that grant to each other at random and pass bundles on; the reference sees the same grants."""

    def __init__(self, rng: random.Random, folder: Path) -> None:
        self.rng = rng
        self.now = int(time.time())
        self.people = [grant.Entity.create() for _ in range(5)]
        self.wallets = {person.id: grant.Wallet(person) for person in self.people}
        self.lab = self.people[0].id
        self.world = World(self.lab)
        self.attestations: dict[Grant, tuple[grant.Entity, grant.Attestation]] = {}
        self.store = grant.RevocationStore.create(str(folder))
        self.verifier = grant.Verifier(namespace=self.lab, server="test", revocations=self.store, max_staleness_s=0)
        for _ in range(rng.randrange(3, 12)):
            self.grant_at_random()
        for _ in self.people:  # late grants from above reach everyone below
            self.bundle_again()

    def grant_at_random(self) -> None:
        rng = self.rng
        attester, subject = rng.sample(self.people, 2)
        statements = [
            (rng.sample(PERMISSIONS, rng.randrange(1, 4)), pattern)
            for pattern in rng.sample(PATTERNS, rng.randrange(1, 3))
        ]
        start = self.now + rng.choice([-7200, -7200, -7200, -7200, 3600])
        lasts = rng.choice([9000, 9000, 9000, 3600])
        hops = rng.randrange(4)
        granted = self.wallets[attester.id].grant(
            subject.public, namespace=self.lab, statements=statements, hops=hops, valid_from=start, valid_for=lasts
        )
        self.wallets[subject.id].add(granted.bundle)
        made = Grant(
            attester.id,
            subject.id,
            tuple((frozenset(ps), pattern) for ps, pattern in statements),
            hops,
            start,
            start + lasts,
        )
        self.world.grants.append(made)
        known = {attestation.id for _, attestation in self.attestations.values()}
        (attestation,) = [one for one in self.wallets[attester.id].issued(subject.id) if one.id not in known]
        self.attestations[made] = (attester, attestation)

    def bundle_again(self) -> None:
        for attester in self.people:
            for subject in self.people:
                if self.wallets[attester.id].issued(subject.id):
                    self.wallets[subject.id].add(self.wallets[attester.id].bundle(subject.public))

    def required(self) -> list[tuple[str, str]]:
        return [
            (self.rng.choice(PERMISSIONS), self.rng.choice(RESOURCES)) for _ in range(self.rng.choice([1, 1, 2, 3, 6]))
        ]

    def accepts(self, proof: bytes, required: list[tuple[str, str]], subject: str) -> bool:
        try:
            return self.verifier.verify(proof, required).subject == subject
        except grant.Denied:
            return False

    def prove(self, subject: str, required: list[tuple[str, str]]) -> bytes | None:
        try:
            return self.wallets[subject].prove(required, namespace=self.lab)
        except grant.Denied as denied:
            assert denied.code in ("not_granted", "expired", "not_yet"), denied
            return None


def test_provable_and_accepted_are_what_the_reference_says(tmp_path: Path) -> None:
    print("DAYBREAK_TEST_SEED =", SEED)
    rng = random.Random(SEED)
    seen = {True: 0, False: 0, "revoked": 0}
    for number in range(40):
        one = Simulation(rng, tmp_path / str(number))
        proofs = []
        for person in one.people[1:]:
            for _ in range(8):
                required = one.required()
                truth = one.world.provable(person.id, required, one.now)
                proof = one.prove(person.id, required)
                assert (proof is not None) == truth, (SEED, number, required)
                seen[truth] += 1
                if proof is not None:
                    assert one.accepts(proof, required, person.id), (SEED, number, required)
                    other = one.required()
                    if one.accepts(proof, other, person.id):
                        assert one.world.provable(person.id, other, one.now), (SEED, number, other)
                    proofs.append((proof, required, person.id))
        revoked = rng.choice(one.world.grants)
        entity, attestation = one.attestations[revoked]
        grant.revoke(one.store, entity, attestation)
        one.world.revoked.add(revoked)
        if rng.random() < 0.3:
            person = rng.choice(one.people[1:])
            grant.revoke(one.store, person)
            one.world.revoked_entities.add(person.id)
        for proof, required, subject in proofs:
            if one.accepts(proof, required, subject):
                assert one.world.provable(subject, required, one.now), (SEED, number, required)
            else:
                seen["revoked"] += 1
    assert min(seen.values()) > 0, seen  # it saw every answer, of which how many is chance


def test_the_reference_itself_says_no() -> None:
    everything = ((frozenset({"read"}), "*"),)
    world = World("lab", [Grant("lab", "ann", everything, 0, 0, 10), Grant("ann", "bob", everything, 0, 0, 10)])
    assert world.provable("ann", [("read", "x")], 5)
    assert not world.provable("bob", [("read", "x")], 5)
    assert not world.provable("ann", [("write", "x")], 5)
    assert not world.provable("ann", [("read", "x")], 10)


@pytest.mark.parametrize("code", ["not_granted", "expired"])
def test_denied_survives_pickling(code: str) -> None:
    import pickle

    error = pickle.loads(pickle.dumps(grant.Denied(code, "why")))
    assert (error.code, error.sentence, str(error)) == (code, "why", f"{code}: why")

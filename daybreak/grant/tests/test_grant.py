"""Grants from Python: the whole way of a grant, and what must be refused."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from daybreak import Error, grant
from daybreak.base import errors

REQUIRED = [("predict", "models/pong/rl")]


class Lab:
    """A namespace that has granted to ann, who has granted to bob."""

    def __init__(self, folder: Path) -> None:
        self.lab, self.ann, self.bob = (grant.Entity.create() for _ in range(3))
        self.lab_wallet, self.ann_wallet, self.bob_wallet = map(grant.Wallet, (self.lab, self.ann, self.bob))
        statements = [(["predict", "train"], "models/pong/*")]
        self.to_ann = self.lab_wallet.grant(
            self.ann.public, namespace=self.lab.id, statements=statements, hops=1
        ).bundle
        self.ann_wallet.add(self.to_ann)
        granted = self.ann_wallet.grant(self.bob.public, namespace=self.lab.id, statements=statements)
        self.bob_wallet.add(granted.bundle)
        self.proof = self.bob_wallet.prove(REQUIRED, namespace=self.lab.id)
        self.store = grant.RevocationStore.create(str(folder / "revoked"))
        self.verifier = grant.Verifier(
            namespace=self.lab.id, server="pong.example", revocations=self.store, max_staleness_s=0
        )


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_an_entity_survives_its_file(tmp_path: Path) -> None:
    entity = grant.Entity.create()
    entity.save(str(tmp_path / "me.key"), "open sesame")
    assert stat.S_IMODE((tmp_path / "me.key").stat().st_mode) == 0o600
    again = grant.Entity.load(str(tmp_path / "me.key"), passphrase="open sesame")
    assert (again.id, again.public) == (entity.id, entity.public)
    assert grant.entity_id(entity.public) == entity.id
    with pytest.raises(errors.UnauthenticatedError):
        grant.Entity.load(str(tmp_path / "me.key"), "wrong")
    with pytest.raises(errors.UnauthenticatedError, match="give it"):
        grant.Entity.load(str(tmp_path / "me.key"))


def test_a_key_file_is_written_over_only_by_its_own_entity(tmp_path: Path) -> None:
    ann, bob, key = grant.Entity.create(), grant.Entity.create(), tmp_path / "key"
    ann.save(key)
    with pytest.raises(errors.AlreadyExistsError, match="the key of another entity"):
        bob.save(key)
    ann.save(key, "secret")  # its own: the file goes under a passphrase
    ann.save(key, "secret")
    for other, passphrase in ((bob, None), (bob, "secret"), (ann, "changed"), (ann, None)):
        with pytest.raises(errors.AlreadyExistsError, match="replace=True"):
            other.save(key, passphrase)
    assert grant.Entity.load(key, "secret").id == ann.id
    ann.save(key, "changed", replace=True)
    assert grant.Entity.load(key, "changed").id == ann.id
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    with pytest.raises(errors.AlreadyExistsError, match="no key"):
        ann.save(notes)
    assert notes.read_text() == "mine"
    notes.write_text("")
    ann.save(notes)


def test_a_passphrase_leaves_no_open_key_behind_a_link(tmp_path: Path) -> None:
    entity = grant.Entity.create()
    entity.save(tmp_path / "real.key")
    (tmp_path / "link.key").symlink_to("real.key")
    entity.save(tmp_path / "link.key", "secret")
    assert (tmp_path / "link.key").is_symlink()
    for name in ("real.key", "link.key"):
        with pytest.raises(errors.UnauthenticatedError):
            grant.Entity.load(tmp_path / name)
    entity.save(tmp_path / "one.key")
    (tmp_path / "two.key").hardlink_to(tmp_path / "one.key")
    with pytest.raises(errors.FailedPreconditionError, match="2 names"):
        entity.save(tmp_path / "one.key", "secret")


def test_what_was_given_as_a_relative_path_is_found_after_chdir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    lab, ann = grant.Entity.create(), grant.Entity.create()
    ann_wallet, store = grant.Wallet(ann, "wallet"), grant.RevocationStore.create(Path("~/revoked"))
    verifier = grant.Verifier(namespace=lab.id, server="s", revocations=store, max_staleness_s=0)
    memory = grant.ManifestMemory(b"manifests")
    monkeypatch.chdir(tmp_path / "elsewhere")
    made = grant.Wallet(lab).grant(ann.public, namespace=lab.id, statements=[(["predict"], "a")])
    ann_wallet.add(made.bundle)
    verifier.verify(ann_wallet.prove([("predict", "a")], namespace=lab.id), [("predict", "a")])
    grant.revoke(store, lab, made.attestation)
    memory.accept(grant.Manifest.create(lab, ["a"]).bytes, lab.id)
    assert not any((tmp_path / "elsewhere").iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "home", "manifests", "wallet"]
    assert len(grant.RevocationStore(str(tmp_path / "home" / "revoked"))) == 1


@pytest.mark.parametrize("name", [b"k\xff\xfe", "ü".encode() * 127, b"n" * 255])
def test_a_key_may_lie_in_a_file_of_any_name(tmp_path: Path, name: bytes) -> None:
    entity, path = grant.Entity.create(), tmp_path / os.fsdecode(name)
    entity.save(path)
    assert grant.Entity.load(os.fsencode(path)).id == entity.id
    wallet = grant.Wallet(entity, tmp_path / os.fsdecode(name[:100] + b".wallet"))
    assert wallet.attestations() == []


@pytest.mark.parametrize(
    "resource", ["models/public/../private/key", "models/public/.", "models/public/", "models//public", ".."]
)
def test_a_resource_with_a_step_or_an_empty_cell_is_refused_everywhere(lab: Lab, resource: str) -> None:
    statements = [(["predict"], resource)]
    with pytest.raises(errors.InvalidArgumentError):
        lab.lab_wallet.grant(lab.ann.public, namespace=lab.lab.id, statements=statements)
    with pytest.raises(errors.InvalidArgumentError):
        lab.lab.attest(lab.ann.public, namespace=lab.lab.id, statements=statements)
    with pytest.raises(errors.InvalidArgumentError):
        lab.ann_wallet.prove([("predict", resource)], namespace=lab.lab.id)
    with pytest.raises(errors.InvalidArgumentError):
        grant.Manifest.create(lab.lab, [resource])
    wide = lab.lab_wallet.grant(lab.ann.public, namespace=lab.lab.id, statements=[(["predict"], "models/public/*")])
    lab.ann_wallet.add(wide.bundle)
    proof = lab.ann_wallet.prove([("predict", "models/public/x")], namespace=lab.lab.id)
    with pytest.raises(grant.Denied, match="malformed"):
        lab.verifier.verify(proof, [("predict", resource)])


def test_a_signed_request_is_bound_to_the_proof_that_it_was_signed_with(lab: Lab) -> None:
    wide = lab.lab_wallet.grant(lab.bob.public, namespace=lab.lab.id, statements=[(["predict"], "models/pong/rl")])
    lab.bob_wallet.add(wide.bundle)
    other = lab.bob_wallet.prove(REQUIRED, namespace=lab.lab.id)
    assert other != lab.proof  # of the same subject, for the same pair, by a shorter chain
    request = grant.sign_request(lab.bob, lab.proof, server="pong.example", method="POST", path="/x")
    moved = grant.SignedRequest(other, request.issued_at_ns, request.nonce, request.signature)
    with pytest.raises(grant.Denied, match="malformed"):
        lab.verifier.check_request(moved, REQUIRED, method="POST", path="/x")
    # And the genuine one is not used up by it.
    assert lab.verifier.check_request(request, REQUIRED, method="POST", path="/x").subject == lab.bob.id
    challenge = lab.verifier.challenge()
    signature = grant.sign_challenge(lab.bob, lab.proof, challenge, server="pong.example")
    with pytest.raises(grant.Denied, match="malformed"):
        lab.verifier.open_session(other, challenge, signature, REQUIRED)
    lab.verifier.open_session(lab.proof, challenge, signature, REQUIRED)


def test_an_attestation_says_what_was_signed(lab: Lab) -> None:
    made = lab.lab.attest(
        lab.ann.public,
        namespace=lab.lab.id,
        statements=[(["b", "a"], "x/+"), (["c"], "x/+")],
        hops=2,
        valid_from=1_800_000_000,
        valid_for=60,
    )
    again = grant.Attestation.decode(made.encode())
    assert again.id == made.id
    assert again.statements == [(["a", "b", "c"], "x/+")]
    assert (again.attester, again.subject, again.namespace) == (lab.lab.id, lab.ann.id, lab.lab.id)
    assert (again.hops, again.valid_from, again.valid_until) == (2, 1_800_000_000, 1_800_000_060)


def test_denied_is_an_error_with_a_code_and_a_sentence(lab: Lab) -> None:
    with pytest.raises(grant.Denied, match="does not give it to") as caught:
        lab.verifier.verify(lab.proof, [("predict", "models/other")])
    assert caught.value.code == "not_granted"
    assert isinstance(caught.value, Error) and isinstance(caught.value, PermissionError)
    with pytest.raises(grant.Denied) as caught:
        lab.verifier.verify(lab.proof[:-1], REQUIRED)
    assert (caught.value.code, caught.value.http_status) == ("malformed", 400)
    with pytest.raises(grant.Denied) as caught:
        lab.verifier.verify(b"", REQUIRED)
    assert (caught.value.code, caught.value.http_status) == ("no_proof", 401)


def test_a_stolen_proof_and_a_replayed_request_are_refused(lab: Lab) -> None:
    sent = {"method": "POST", "path": "/predict", "body": b"{}"}
    stolen = grant.sign_request(grant.Entity.create(), lab.proof, server="pong.example", **sent)
    with pytest.raises(grant.Denied, match="not signed by the proof's subject"):
        lab.verifier.check_request(stolen, REQUIRED, **sent)
    request = grant.sign_request(lab.bob, lab.proof, server="pong.example", **sent)
    carried = grant.SignedRequest(request.proof, request.issued_at_ns, request.nonce, request.signature)
    with pytest.raises(grant.Denied, match="malformed"):
        lab.verifier.check_request(carried, REQUIRED, **{**sent, "body": b"[]"})
    assert lab.verifier.check_request(carried, REQUIRED, **sent).subject == lab.bob.id
    with pytest.raises(grant.Denied, match="replayed"):
        lab.verifier.check_request(carried, REQUIRED, **sent)
    elsewhere = grant.Verifier(namespace=lab.lab.id, server="other.example", revocations=None)
    request = grant.sign_request(lab.bob, lab.proof, server="pong.example", **sent)
    with pytest.raises(grant.Denied):
        elsewhere.check_request(request, REQUIRED, **sent)


def test_a_session_is_opened_by_a_challenge_and_ends_by_revocation(lab: Lab) -> None:
    audience = {"origin": "https://pong.example", "app": "pong"}
    challenge = lab.verifier.challenge(**audience)
    answer = grant.sign_challenge(lab.bob, lab.proof, challenge, server="pong.example", **audience)
    token, decision = lab.verifier.open_session(lab.proof, challenge, answer, REQUIRED, **audience)
    assert len(token) == 32 and decision.subject == lab.bob.id
    assert lab.verifier.check_session(token, [("train", "models/pong/x")], **audience).subject == lab.bob.id
    with pytest.raises(grant.Denied, match="another origin"):
        lab.verifier.check_session(token, REQUIRED)
    with pytest.raises(grant.Denied, match="replayed"):
        lab.verifier.open_session(lab.proof, challenge, answer, REQUIRED, **audience)
    (attestation,) = lab.lab_wallet.issued(lab.ann.id)
    grant.revoke(lab.store, lab.lab, attestation)
    with pytest.raises(grant.Denied) as caught:
        lab.verifier.check_session(token, REQUIRED, **audience)
    assert caught.value.code == "revoked"
    lab.verifier.close_session(token)
    with pytest.raises(grant.Denied, match="no_proof"):
        lab.verifier.check_session(token, REQUIRED, **audience)


def test_nobody_but_the_attester_revokes(lab: Lab) -> None:
    (attestation,) = lab.lab_wallet.issued(lab.ann.id)
    with pytest.raises(ValueError, match="only its maker can revoke it"):
        grant.revoke(lab.store, lab.ann, attestation)
    assert len(lab.store) == 0
    assert lab.verifier.verify(lab.proof, REQUIRED).subject == lab.bob.id
    grant.revoke(lab.store, lab.ann)  # herself
    with pytest.raises(grant.Denied, match="revoked: entity"):
        lab.verifier.verify(lab.proof, REQUIRED)


def test_an_unreadable_store_denies(lab: Lab, tmp_path: Path) -> None:
    assert lab.verifier.verify(lab.proof, REQUIRED)
    (tmp_path / "revoked").rename(tmp_path / "elsewhere")
    with pytest.raises(grant.Denied) as caught:
        lab.verifier.verify(lab.proof, REQUIRED)
    assert (caught.value.code, caught.value.http_status) == ("revocation_stale", 503)
    with pytest.raises(errors.NotFoundError, match="is it mounted"):
        grant.RevocationStore(str(tmp_path / "revoked"))
    with pytest.raises(errors.NotFoundError):
        lab.verifier.refresh()


def test_a_wallet_in_a_folder_is_there_again_and_private(lab: Lab, tmp_path: Path) -> None:
    folder = tmp_path / "wallet"
    assert grant.Wallet(lab.ann, str(folder)).add(lab.to_ann) == 1
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())
    assert grant.Wallet(lab.ann, str(folder)).prove(REQUIRED, namespace=lab.lab.id)
    with pytest.raises(errors.PermissionDeniedError, match="is for"):
        grant.Wallet(lab.bob).add(lab.to_ann)


def test_explanations_name_the_chain_and_the_missing_link(lab: Lab) -> None:
    text = lab.bob_wallet.explain([*REQUIRED, ("delete", "models/pong/rl")], namespace=lab.lab.id)
    granted, missing = sorted(text.splitlines())
    assert granted.startswith("granted: 'predict'") and lab.ann.id[:12] in granted
    assert missing.startswith("not_granted: 'delete'")
    holders = dict(lab.ann_wallet.who_has("predict", "models/pong/rl", namespace=lab.lab.id))
    assert holders == {lab.ann.id: [lab.lab.id], lab.bob.id: [lab.lab.id, lab.ann.id]}
    (attestation,) = lab.ann_wallet.issued(lab.bob.id)
    assert {subject for subject, _, _ in lab.ann_wallet.what_breaks(attestation)} == {lab.bob.id}
    lost = lab.ann_wallet.what_breaks(lab.ann.public, namespace=lab.lab.id)
    assert {subject for subject, _, _ in lost} == {lab.ann.id, lab.bob.id}


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        ([(["read"], "a//b")], "may not be empty"),
        ([(["read"], "*/*")], "two '\\*'"),
        ([([], "a")], "no permission"),
        ([(["re ad"], "a")], "permission 're ad'"),
        ([], "0 statements"),
        ([(["read"], f"a/{i}") for i in range(17)], "17 statements"),
    ],
)
def test_a_wrong_statement_is_an_error_that_names_it(
    lab: Lab, statements: list[tuple[list[str], str]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        lab.lab.attest(lab.ann.public, namespace=lab.lab.id, statements=statements)


def test_wrong_ids_and_sizes_are_errors_that_name_them(lab: Lab) -> None:
    with pytest.raises(ValueError, match="namespace is not an id of 64"):
        lab.lab.attest(lab.ann.public, namespace="lab", statements=[(["read"], "a")])
    with pytest.raises(ValueError, match="hops=16"):
        lab.lab.attest(lab.ann.public, namespace=lab.lab.id, statements=[(["read"], "a")], hops=16)
    with pytest.raises(ValueError, match="challenge has 3 bytes, not 32"):
        grant.sign_challenge(lab.bob, lab.proof, b"abc", server="s")
    with pytest.raises(ValueError, match="server_id is empty"):
        grant.Verifier(namespace=lab.lab.id, server="", revocations=None)
    with pytest.raises(errors.DataLossError, match="ends too early"):
        grant.entity_id(lab.ann.public[:-1])


def test_many_threads_share_a_verifier(lab: Lab) -> None:
    problems: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(50):
                assert lab.verifier.verify(lab.proof, REQUIRED).subject == lab.bob.id
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems


def test_the_gate_is_a_capsule_by_its_name(lab: Lab) -> None:
    import ctypes

    name = ctypes.pythonapi.PyCapsule_GetName
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    assert name(lab.verifier.gate()) == b"daybreak.gate.v1"


@pytest.mark.parametrize(
    "asked",
    [
        "api/../admin",  # python-sdk 3303, open-mercato 2667, vm0 15532
        "api/%2e%2e/admin",  # keycloak 51526, 51504
        "api/.%2E/admin",
        "api/foo;a=b/../admin",  # istio 27409
        "api//admin",
        "api/admin/",
        "/api/admin",
        "api\\..\\admin",
        "api/.\u0000./admin",
        "api/‥/admin",
        "api/. ./admin",
    ],
)
def test_what_others_normalise_into_another_resource_is_no_resource_here(lab: Lab, asked: str) -> None:
    wide = lab.lab_wallet.grant(lab.ann.public, namespace=lab.lab.id, statements=[(["read"], "api/*")])
    lab.ann_wallet.add(wide.bundle)
    proof = lab.ann_wallet.prove([("read", "api/x")], namespace=lab.lab.id)
    with pytest.raises((grant.Denied, errors.InvalidArgumentError)):
        lab.verifier.verify(proof, [("read", asked)])
    with pytest.raises(errors.InvalidArgumentError):
        lab.lab_wallet.grant(lab.ann.public, namespace=lab.lab.id, statements=[(["read"], asked)])

"""Arguments of every kind that people hold: taken, or refused by the name of the argument."""

from __future__ import annotations

import datetime
import enum
from typing import Any

import numpy as np
import pytest

from daybreak import grant
from daybreak.base import errors

LAB, ANN = grant.Entity.create(), grant.Entity.create()
STATEMENTS = [(["predict"], "models/*")]


class Hops(enum.IntEnum):
    ONE = 1


def granted(**given: Any) -> grant.Attestation:
    options = {"subject": ANN.public, "namespace": LAB.id, "statements": STATEMENTS, **given}
    return grant.Wallet(LAB).grant(options.pop("subject"), **options).attestation


@pytest.mark.parametrize("hops", [1, 1.0, np.int8(1), np.uint64(1), np.float32(1), np.array(1), Hops.ONE])
def test_whole_number_of_any_kind_is_taken(hops: Any) -> None:
    assert granted(hops=hops).hops == 1


@pytest.mark.parametrize("seconds", [3600, 3600.0, np.int32(3600), np.float64(3600)])
def test_seconds_of_any_kind_are_taken(seconds: Any) -> None:
    made = granted(valid_for=seconds, epoch_s=seconds)
    assert made.valid_until - made.valid_from == 3600
    entity = LAB.attest(ANN.public, namespace=LAB.id, statements=STATEMENTS, valid_for=seconds)
    assert entity.valid_until - entity.valid_from == 3600
    manifest = grant.Manifest.create(LAB, ["models/a"], valid_for=seconds, epoch_s=seconds)
    assert manifest.epoch_s == 3600


@pytest.mark.parametrize("name", ["hops", "valid_for", "valid_from", "epoch_s", "keys_from"])
@pytest.mark.parametrize(
    "value",
    [0.5, True, "1", b"1", 1j, float("nan"), datetime.timedelta(days=1), [1], np.array([1, 2]), 2**64, object()],
)
def test_what_is_no_whole_number_is_refused_by_the_arguments_name(name: str, value: Any) -> None:
    with pytest.raises(errors.InvalidArgumentError, match=f"^{name}="):
        granted(**{name: value})


@pytest.mark.parametrize("name", ["valid_for", "valid_from", "epoch_s"])
def test_manifest_refuses_what_is_no_whole_number_by_the_arguments_name(name: str) -> None:
    with pytest.raises(errors.InvalidArgumentError, match=f"^{name}=0.5"):
        grant.Manifest.create(LAB, ["models/a"], **{name: 0.5})


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: np.frombuffer(data, np.uint8)])
def test_record_and_bundle_may_be_in_any_buffer(kind: Any) -> None:
    made = grant.Wallet(LAB).grant(kind(ANN.public), namespace=LAB.id, statements=STATEMENTS)
    assert made.attestation.subject == ANN.id == grant.entity_id(kind(ANN.public))
    assert grant.Wallet(ANN).add(kind(made.bundle)) == 1


@pytest.mark.parametrize(
    ("subject", "says"),
    [
        (ANN.id, "subject is a str: bytes are needed"),
        (ANN, "subject is a Entity: bytes.*entity.public"),
        (5, "subject is a int"),
    ],
)
def test_subject_that_is_no_record_is_refused_by_name(subject: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        granted(subject=subject)


@pytest.mark.parametrize(
    "statements",
    [
        [("predict", "models/x")],
        [({"predict"}, "models/x")],
        {"predict": "models/x"},
        ("predict", "models/x"),
        "predict",
        [(["predict"], b"models/x")],
        [(["predict"], "models/\ud800")],
        [(["predict"],)],
        5,
    ],
)
def test_statements_that_are_none_are_shown_with_an_example(statements: Any) -> None:
    with pytest.raises(TypeError, match=r"^statements=.*such as \[\(\['predict'\]"):
        granted(statements=statements)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda b: np.frombuffer(b, np.uint8)])
def test_what_comes_from_a_server_may_be_in_any_buffer(kind: Any) -> None:
    wallet = grant.Wallet(ANN)
    wallet.add(grant.Wallet(LAB).grant(ANN.public, namespace=LAB.id, statements=STATEMENTS).bundle)
    needs = [("predict", "models/a")]
    proof = kind(wallet.prove(needs, namespace=LAB.id))
    verifier = grant.Verifier(namespace=LAB.id, server="s", revocations=None, max_staleness_s=np.int64(60))
    assert verifier.verify(proof, needs).subject == ANN.id
    sent = {"method": "POST", "path": "/p", "body": kind(b"{}")}
    signed = grant.sign_request(ANN, proof, server="s", **sent)
    carried = grant.SignedRequest(kind(signed.proof), signed.issued_at_ns, kind(signed.nonce), kind(signed.signature))
    assert verifier.check_request(carried, needs, **sent).subject == ANN.id
    challenge = verifier.challenge()
    answer = grant.sign_challenge(ANN, proof, kind(challenge), server="s")
    token, _ = verifier.open_session(proof, kind(challenge), kind(answer), needs)
    assert verifier.check_session(kind(token), needs).subject == ANN.id
    verifier.close_session(kind(token))


def test_what_is_no_bytes_is_refused_by_the_arguments_name() -> None:
    verifier = grant.Verifier(namespace=LAB.id, server="s", revocations=None)
    for wrong in ("text", 1, [1]):
        with pytest.raises(TypeError, match="^proof is a .*: bytes are needed"):
            verifier.verify(wrong, [("predict", "models/a")])  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="^body is a .*: bytes are needed"):
            grant.sign_request(ANN, b"", server="s", method="POST", path="/", body=wrong)  # type: ignore[arg-type]


# What of a request others did not sign: a caught one was sent again, or to another place.
CHANGED: dict[str, dict[str, Any]] = {
    "CastosHQ/Seriously-Simple-Podcasting#914: another episode's path": {"path": "/episodes/8"},
    "httpwg/http-extensions#1776: another query": {"path": "/episodes/7?all=1"},
    "httpwg/http-extensions#1776: another method": {"method": "DELETE"},
    "librefang/librefang#3878: another body": {"body": b"{ }"},
    "a path in other letters": {"path": "/Episodes/7"},
    "an escaped letter": {"path": "/episode%73/7"},
}


@pytest.mark.parametrize("report", CHANGED)
def test_request_that_was_signed_is_good_as_it_was_signed_and_once(report: str) -> None:
    wallet = grant.Wallet(ANN)
    wallet.add(grant.Wallet(LAB).grant(ANN.public, namespace=LAB.id, statements=STATEMENTS).bundle)
    needs = [("predict", "models/a")]
    verifier = grant.Verifier(namespace=LAB.id, server="s", revocations=None)
    sent: dict[str, Any] = {"method": "POST", "path": "/episodes/7", "body": b"{}"}
    request = grant.sign_request(ANN, wallet.prove(needs, namespace=LAB.id), server="s", **sent)
    with pytest.raises(grant.Denied, match="malformed: the request is not signed"):
        verifier.check_request(request, needs, **{**sent, **CHANGED[report]})
    verifier.check_request(request, needs, **sent)
    with pytest.raises(grant.Denied, match="replayed"):  # own-pay/OwnPay#296, #140, jasny/http-signature#1, bunmail#43
        verifier.check_request(request, needs, **sent)

"""The page's sources in Node: their own tests, and their physics and signatures held against Daybreak's."""

import base64
import json
import re
import struct
import subprocess
from pathlib import Path

import pytest

from daybreak import grant
from daybreak.rl import envs

ROOT = Path(__file__).resolve().parent.parent
SEED = 20180
STEPS = 4000


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the tests and the headless player, compiled."""
    folder = tmp_path_factory.mktemp("console")
    subprocess.run(["node", "build-tests.mjs", str(folder)], cwd=ROOT / "console", check=True)
    return folder


@pytest.fixture(scope="module")
def ask(built):
    """Asks the compiled sources: ask("entity", publicKey=...)."""
    with subprocess.Popen(
        ["node", str(built / "probe.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as probe:

        def ask(what, **question):
            probe.stdin.write(json.dumps({"ask": what, **question}) + "\n")
            probe.stdin.flush()
            return json.loads(probe.stdout.readline())

        yield ask
        probe.stdin.close()


def b64(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_the_tests_of_the_page_pass(built):
    done = subprocess.run(
        ["node", "--test", *sorted(str(path) for path in built.glob("*.test.mjs"))], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"^# pass (\d+)", done.stdout, re.MULTILINE)[1]) >= 19


def state_of(pong):
    """Ball (x, y, dx, dy, previous x, y), left and right paddle, and the right one's flags (up, down), exactly: the saved state
    ends with the game's numbers, in the order of PongGame::each_field, and a checksum of 8 bytes."""
    fields = struct.unpack("<12d q 6?", pong.save_state()[-8 - 110 : -8])
    return list(fields[:8]), fields[15:17]


def test_physics_are_those_of_the_environment_to_the_last_bit(ask):
    pong = envs.make_vec("daybreak/Pong-v0", 1, autoreset_mode="next_step", copy=True, reward="win")
    observation, _ = pong.reset(seed=SEED)
    compared = rallies = 0
    while compared < STEPS:
        begin, _ = state_of(pong)
        actions, expected, outcome = [], [], 0
        while not outcome and len(actions) < 1000:
            # Mostly after the ball, at times anything: long rallies, and hits on every face of the paddle.
            centre, ball = observation[0][0] * 500 + 30, observation[0][3] * 500
            chase = 1 if ball > centre + 25 else 2 if ball < centre - 25 else 0
            action = chase if (compared + len(actions)) % 40 < 33 else (compared + len(actions)) % 3
            observation, reward, over, _, _ = pong.step([action])
            state, (up, down) = state_of(pong)
            actions.append([action, 2 if up else 1 if down else 0])
            expected.append(state)
            outcome = int(reward[0])
            assert bool(over[0]) == bool(outcome)
        x, y, dx, dy, x_prev, y_prev, left, right = begin
        ball = {"x": x, "y": y, "dx": dx, "dy": dy, "xPrev": x_prev, "yPrev": y_prev}
        played = ask("rally", ball=ball, left=left, right=right, actions=actions)
        last = played.pop() if outcome else None
        for step, (ours, theirs) in enumerate(zip(played, expected, strict=False)):
            assert ours["state"] == theirs, f"rally {rallies}, step {step}"
            assert ours["observation"] == [v / 500 for v in (theirs[6], 0, *theirs[:6])]
        if last:  # the serve that follows differs by definition, the point and the paddles do not
            assert last["point"] == ("left" if outcome == 1 else "right")
            assert last["state"][6:] == expected[-1][6:]
            rallies += 1
            observation, *_ = pong.step([0])  # this one only serves
        compared += len(expected)
    assert rallies >= 3


def test_an_entity_record_is_written_as_the_grant_room_writes_it(ask):
    entity = grant.Entity.create(sealing=False, valid_from=1_790_000_000, valid_for=86_400)
    record = entity.public
    asked = ask(
        "entity",
        publicKey=b64(record[1:33]),
        commitment=b64(record[-32:]),
        **{"from": 1_790_000_000, "until": 1_790_086_400},
    )
    assert unb64(asked["record"]) == record
    assert asked["id"] == entity.id


def test_the_grant_room_grants_to_an_identity_of_the_page(ask):
    made = ask("identity")
    record = unb64(made["record"])
    assert grant.entity_id(record) == made["id"]
    lab = grant.Entity.create()
    granted = grant.Wallet(lab).grant(record, namespace=lab.id, statements=[(["predict"], "apps/pong")])
    assert granted.attestation.subject == made["id"]


def test_a_session_message_of_the_page_opens_a_session(ask, tmp_path):
    lab = grant.Entity.create()
    player = grant.Entity.create(sealing=False)
    player.save(str(tmp_path / "player.key"))
    seed = (tmp_path / "player.key").read_bytes()[16:48]
    wallet = grant.Wallet(player)
    statements = [(["predict"], "apps/pong")]
    wallet.add(grant.Wallet(lab).grant(player.public, namespace=lab.id, statements=statements).bundle)
    required = [("predict", "apps/pong")]
    proof = wallet.prove(required, namespace=lab.id)
    verifier = grant.Verifier(namespace=lab.id, server="pong-server", revocations=None)
    where = {"origin": "http://127.0.0.1:1337", "app": "pong"}

    def signature(challenge, **changed):
        audience = {"server": "pong-server", **where, **changed}
        return unb64(ask("session", seed=b64(seed), proof=b64(proof), challenge=b64(challenge), **audience))

    challenge = verifier.challenge(**where)
    expected = grant.sign_challenge(player, proof, challenge, server="pong-server", **where)
    assert signature(challenge) == expected  # Ed25519 signatures are deterministic
    token, decision = verifier.open_session(proof, challenge, signature(challenge), required, **where)
    assert decision.subject == player.id
    assert verifier.check_session(token, required, **where).subject == player.id
    challenge = verifier.challenge(**where)
    with pytest.raises(grant.Denied):
        verifier.open_session(proof, challenge, signature(challenge, app="other"), required, **where)


def test_the_headless_player_says_why_it_cannot_play(built):
    done = subprocess.run(
        ["node", str(built / "headless.mjs"), "ws://127.0.0.1:9/pong/predict", "--points", "1"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "ECONNREFUSED" in done.stderr and "\n    at " not in done.stderr

"""`daybreak grant` as a person types it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from daybreak import grant
from daybreak.cli import main

DAY = 86_400


class Shell:
    """Runs commands in a folder and keeps what they print."""

    def __init__(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capfd = folder, capfd

    def __call__(self, who: str, *words: str) -> str:
        status, out, err = self.status(who, *words)
        assert status == 0, err
        return out

    def status(self, who: str, *words: str) -> tuple[int, str, str]:
        """A leading word 'entity' or 'manifest' is followed by its own command."""
        homeless = words[0] == "verify" or words[:2] == ("manifest", "show")
        status = main(["grant", *words, *([] if homeless else ["--home", str(self.folder / who)])])
        printed = self.capfd.readouterr()
        return status, printed.out, printed.err

    def denied(self, who: str, *words: str) -> str:
        status, out, err = self.status(who, *words)
        assert status == 1 and out == "" and err.startswith("daybreak: ") and err.count("\n") >= 1, (status, out, err)
        assert "Traceback" not in err
        return err.removeprefix("daybreak: ")

    def make(self, *names: str) -> dict[str, str]:
        """Entities; gives their ids."""
        return {name: self(name, "entity", "create").split()[1] for name in names}

    def record(self, who: str) -> str:
        return str(self.folder / who / "entity.public")

    def path(self, name: str) -> str:
        return str(self.folder / name)


@pytest.fixture
def shell(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    for name in list(os.environ):
        if name.startswith("DAYBREAK_GRANT"):
            monkeypatch.delenv(name)
    return Shell(tmp_path, capfd)


def mode(path: str | Path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_lab_trainer_deployer_and_stranger_by_commands_alone(shell: Shell) -> None:
    ids = shell.make("lab", "trainer", "deployer", "stranger")
    lab, store = ids["lab"], shell.path("revoked")
    shell("lab", "revoke", "--create", "--revocations", store)
    imitation, rl = "models/pong/imitation", "models/pong/rl"
    shell("lab", "manifest", "create", imitation, rl, "-o", shell.path("manifest"))
    shell(
        "lab", "attest", shell.record("trainer"), "-p", "publish", "-r", "models/pong/*", "-o", shell.path("t.bundle")
    )
    assert "1 new" in shell("trainer", "add", shell.path("t.bundle"))

    # The trainer publishes both models.
    for name, resource in (("imitation", imitation), ("rl", rl)):
        (shell.folder / f"{name}.bin").write_bytes(name.encode() * 50_000)
        arguments = [shell.path(f"{name}.bin"), "-r", resource, "-n", lab, "-m", shell.path("manifest")]
        shell("trainer", "encrypt", *arguments, "-o", shell.path(f"{name}.enc"))

    def opens(who: str, name: str) -> bytes:
        out = shell.path(f"{who}-{name}.out")
        shell(who, "decrypt", shell.path(f"{name}.enc"), "-n", lab, "--revocations", store, "-o", out)
        assert mode(out) == 0o600
        return Path(out).read_bytes()

    def refused(who: str, name: str) -> str:
        out = shell.path(f"{who}-{name}.refused")
        said = shell.denied(who, "decrypt", shell.path(f"{name}.enc"), "-n", lab, "--revocations", store, "-o", out)
        assert not os.path.exists(out)
        return said

    assert refused("deployer", "imitation").startswith("not_granted: ")
    granting = ["-p", "decrypt", "-r", imitation, "--hops", "1", "-o", shell.path("d.bundle")]
    said = shell("lab", "attest", shell.record("deployer"), *granting)
    assert "whole epochs" in said and "00:00:00 UTC" in said
    shell("deployer", "add", shell.path("d.bundle"))
    assert opens("deployer", "imitation") == b"imitation" * 50_000
    assert refused("deployer", "rl").startswith("not_granted: ")
    # It cannot hand on what it does not hold.
    more = ["-n", lab, "-p", "decrypt", "-r", rl, "-o", shell.path("no.bundle")]
    assert "no key for 'models/pong/rl'" in shell.denied("deployer", "attest", shell.record("stranger"), *more)
    shell("lab", "attest", shell.record("deployer"), "-p", "decrypt", "-r", rl, "-o", shell.path("d2.bundle"))
    shell("deployer", "add", shell.path("d2.bundle"))
    assert opens("deployer", "rl") == b"rl" * 50_000

    # What the stranger plants in the lab's name is refused.
    shell("stranger", "manifest", "create", rl, "-o", shell.path("own-manifest"))
    planted = [shell.path("rl.bin"), "-r", rl, "-m", shell.path("own-manifest"), "-o", shell.path("planted.enc")]
    shell("stranger", "encrypt", *planted)
    assert "is of namespace" in refused("deployer", "planted")
    assert "expected is" in shell.denied("trainer", "encrypt", *planted[:3], "-n", lab, *planted[3:])
    assert "nothing there is granted" in shell.denied(
        "stranger", "encrypt", *planted[:3], "-n", lab, "-m", shell.path("manifest"), "-o", shell.path("x")
    )

    # Revoked: refused, and said so by every command.
    listed = shell.denied("lab", "revoke", "000000", "--revocations", store)
    target = next(line for line in listed.splitlines() if f"decrypt on {imitation}" in line).split()[0]
    assert f"{ids['deployer']} would lose decrypt on {imitation}" in shell("lab", "explain", "--breaks", target)
    assert f"lost    decrypt on {imitation} by {ids['deployer']}" in shell(
        "lab", "revoke", target[:12], "--revocations", store
    )
    assert refused("deployer", "imitation").startswith("revoked: ")
    asked = ["-p", "decrypt", "-r", imitation, "-n", lab]
    assert shell("deployer", "explain", *asked, "--revocations", store).startswith("revoked: ")
    assert shell("deployer", "explain", *asked).startswith("granted: ")
    assert shell("lab", "explain", *asked, "--who", "--revocations", store) == ""
    assert opens("deployer", "rl") == b"rl" * 50_000


def test_proof_is_made_and_verified_and_a_denial_has_its_code_and_status_1(shell: Shell) -> None:
    ids = shell.make("lab", "ann", "bob")
    lab, bundle, proof = ids["lab"], shell.path("b"), shell.path("proof")
    shell(
        "lab", "attest", shell.record("ann"), "-p", "predict", "-p", "train", "-r", "m/*", "--hops", "1", "-o", bundle
    )
    shell("ann", "add", bundle)
    shell("ann", "attest", shell.record("bob"), "-n", lab, "-p", "predict", "-r", "m/a", "--for", "1h", "-o", bundle)
    shell("bob", "add", bundle)
    asked = ["-p", "predict", "-r", "m/a", "-n", lab]
    shell("bob", "prove", *asked, "-o", proof)
    assert mode(proof) == 0o600
    assert shell("", "verify", proof, *asked, "--no-revocations").startswith(f"allowed  {ids['bob']} until ")
    denied = ["-p", "train", "-r", "m/a", "-n", lab, "--no-revocations"]
    assert shell.denied("", "verify", proof, *denied).startswith("not_granted: 'train' on 'm/a' is not granted")
    assert shell.denied("", "verify", proof, *asked, "--no-revocations", "--subject", ids["ann"]).startswith(
        "not_granted: the proof is for "
    )
    assert shell.denied("", "verify", proof, *asked[:4], "-n", ids["ann"], "--no-revocations").startswith("not_granted")
    assert "say where revocations are" in shell.denied("", "verify", proof, *asked)
    assert "no store" in shell.denied("", "verify", proof, *asked, "--revocations", shell.path("nowhere"))
    Path(proof).write_bytes(b"\x01junk")
    assert shell.denied("", "verify", proof, *asked, "--no-revocations").startswith("malformed: ")
    assert shell.denied("bob", "prove", *denied[:6], "-o", proof).startswith("not_granted: ")
    holders = shell("lab", "explain", *asked, "--who").splitlines()
    assert holders == [f"{ids['ann']} has predict on m/a through {lab}"], (
        "what ann passed on is not in the lab's wallet"
    )
    assert ids["bob"] in shell("ann", "explain", *asked, "--who")


def test_late_grant_from_above_is_bundled_again(shell: Shell) -> None:
    ids = shell.make("lab", "ann", "bob")
    asked = ["-p", "read", "-r", "a", "-n", ids["lab"]]
    shell("ann", "attest", shell.record("bob"), *asked, "-o", shell.path("early"))
    shell("bob", "add", shell.path("early"))
    assert "ask it for its bundle again" in shell.denied("bob", "prove", *asked, "-o", shell.path("p"))
    shell("lab", "attest", shell.record("ann"), *asked[:4], "--hops", "1", "-o", shell.path("late"))
    shell("ann", "add", shell.path("late"))
    shell("ann", "attest", shell.record("bob"), "--again", "-o", shell.path("again"))
    shell("bob", "add", shell.path("again"), shell.path("early"))
    shell("bob", "prove", *asked, "-o", shell.path("p"))


def test_key_is_private_and_never_overwritten(shell: Shell) -> None:
    home = shell.folder / "deep" / "ann"
    created = shell("deep/ann", "entity", "create")
    assert mode(home) == mode(home.parent) == 0o700 and mode(home / "entity.key") == 0o600
    before = (home / "entity.key").read_bytes()
    assert "is there" in shell.denied("deep/ann", "entity", "create")
    assert (home / "entity.key").read_bytes() == before
    assert sorted(path.name for path in home.iterdir()) == ["entity.key", "entity.public"]
    assert created.split()[1] == grant.Entity.load(str(home / "entity.key")).id
    assert shell("deep/ann", "entity", "show").split()[1] == created.split()[1]
    assert shell("", "entity", "show", str(home / "entity.public")).split()[1] == created.split()[1]
    assert "is not there" in shell.denied("nobody", "add", shell.path("x"))
    assert before.hex() not in created and "entity create" in shell.denied("nobody", "add", shell.path("x"))


def test_passphrase_comes_from_a_file_or_the_terminal_and_is_not_printed(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "correct horse 4711"
    (shell.folder / "phrase").write_text(secret + "\n")
    phrase = ["--passphrase-file", shell.path("phrase")]
    shell("lab", "entity", "create", *phrase)
    manifest = ["manifest", "create", "a", "-o", shell.path("m")]
    assert secret not in shell("lab", *manifest, *phrase)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert "passphrase" in shell.denied("lab", *manifest)
    (shell.folder / "wrong").write_text("something else")
    assert "passphrase" in shell.denied("lab", *manifest, "--passphrase-file", shell.path("wrong"))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    answers = iter([secret, secret, "one", "other", secret])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))
    shell("lab", *manifest)
    with pytest.raises(StopIteration):  # it is asked for again, each time
        for _ in range(5):
            main(["grant", "entity", "create", "--passphrase", "--home", shell.path(f"p{_}")])
    assert not (shell.folder / "p1").exists(), "the two differed"
    for path in shell.folder.rglob("*"):
        if path.is_file() and path.name not in ("phrase", "wrong"):
            assert secret.encode() not in path.read_bytes()


def test_decrypt_writes_whole_and_private_or_nothing_and_dash_is_the_standard_output(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    def at(name: str) -> str:
        return str(tmp_path / name)

    main(["grant", "entity", "create", "--home", at("lab")])
    main(["grant", "manifest", "create", "a", "-o", at("m"), "--home", at("lab")])
    (tmp_path / "text").write_bytes(b"plain \xff text")
    home = ["--home", at("lab")]
    assert main(["grant", "encrypt", at("text"), "-r", "a", "-o", at("e"), *home]) == 0
    capfdbinary.readouterr()
    decrypt = ["grant", "decrypt", at("e"), "--no-revocations", *home, "-o"]
    assert main([*decrypt, "-"]) == 0
    assert capfdbinary.readouterr().out == b"plain \xff text"
    # Over a file that others can read, and over a link: it stays, and what it points to is written.
    (tmp_path / "out").write_bytes(b"old")
    (tmp_path / "out").chmod(0o644)
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for name in ("out", "link"):
        assert main([*decrypt, at(name)]) == 0
        assert (tmp_path / name).read_bytes() == b"plain \xff text" and mode(at(name)) == 0o600
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").read_bytes() == b"plain \xff text"
    damaged = bytearray((tmp_path / "e").read_bytes())
    damaged[-1] ^= 1
    (tmp_path / "e").write_bytes(damaged)
    (tmp_path / "out").write_bytes(b"old")
    for name in ("out", "-", "none"):
        capfdbinary.readouterr()
        assert main([*decrypt, name if name == "-" else at(name)]) == 1
        printed = capfdbinary.readouterr()
        assert printed.out == b"" and printed.err.startswith(b"daybreak: malformed: ")
    assert (tmp_path / "out").read_bytes() == b"old" and not (tmp_path / "none").exists()
    assert main([*decrypt, at("no-folder/out")]) == 1
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == [], "no temporary files stay"


def test_what_is_said_goes_aside_when_the_result_is_the_standard_output(shell: Shell) -> None:
    shell.make("lab", "ann")
    command = [
        "attest",
        shell.record("ann"),
        "-p",
        "predict",
        "-r",
        "a",
        "--home",
        shell.path("lab"),
        "-o",
        "/dev/stdout",
    ]
    done = subprocess.run([sys.executable, "-m", "daybreak.cli", "grant", *command], capture_output=True, check=True)
    assert b"granted" in done.stderr and b"granted" not in done.stdout
    ann = grant.Entity.load(Path(shell.path("ann")) / "entity.key")
    assert grant.Wallet(ann).add(done.stdout) == 1


def test_keys_can_begin_earlier_and_the_rounding_is_shown(shell: Shell) -> None:
    shell.make("lab", "ann")
    arguments = ["attest", shell.record("ann"), "-p", "decrypt", "-r", "a", "-o", shell.path("b")]
    today, earlier = (time.strftime("%Y-%m-%d", time.gmtime(time.time() - days * DAY)) for days in (0, 3))
    assert f"keys    {today} 00:00:00 UTC to " in shell("lab", *arguments)
    assert f"keys    {earlier} 00:00:00 UTC to " in shell("lab", *arguments, "--from", "3d")
    assert f"keys    {earlier} 00:00:00 UTC to " in shell("lab", *arguments, "--from", earlier)
    for wrong in ("yesterday", "3x", "d", "-1d", "99999999999d"):
        assert "write 2026-01-31" in shell.denied("lab", *arguments, "--from", wrong) or wrong.endswith("d")
    assert "write 30d" in shell.denied("lab", *arguments, "--for", "long")


def test_manifests_are_numbered_and_an_old_one_is_refused(shell: Shell) -> None:
    ids = shell.make("lab", "ann")
    first, second = shell.path("m1"), shell.path("m2")
    assert "sequence  1" in shell("lab", "manifest", "create", "a", "-o", first)
    assert "sequence  2" in shell("lab", "manifest", "create", "a", "b", "--for", "7d", "--epoch", "1h", "-o", second)
    shown = shell("", "manifest", "show", second)
    assert f"namespace {ids['lab']}" in shown and "resource  b" in shown and "epochs of 3600 s" in shown
    shell("lab", "attest", shell.record("ann"), "-p", "publish", "-r", "a", "-o", shell.path("bundle"))
    shell("ann", "add", shell.path("bundle"))
    (shell.folder / "text").write_bytes(b"x")
    encrypting = ["encrypt", shell.path("text"), "-r", "a", "-n", ids["lab"], "-o", shell.path("e")]
    assert "has been seen" in shell.denied("ann", *encrypting)
    shell("ann", *encrypting, "-m", second)
    assert "rolled back" in shell.denied("ann", *encrypting, "-m", first)
    shell("ann", *encrypting)  # the newest seen
    Path(first).write_bytes(b"junk")
    assert "malformed" in shell.denied("ann", *encrypting, "-m", first)


def test_what_is_missing_or_ambiguous_is_said_in_one_line(shell: Shell) -> None:
    shell.make("lab", "ann")
    assert "is not there" in shell.denied("lab", "add", shell.path("no-such-bundle"))
    assert "is a directory" in shell.denied("lab", "add", shell.path("lab"))
    assert "say what is granted" in shell.denied("lab", "attest", shell.record("ann"), "-o", shell.path("b"))
    assert "say what it is about" in shell.denied("lab", "explain")
    assert "name a grant's id" in shell.denied("lab", "revoke", "--revocations", shell.path("s"))
    assert "no store" in shell.denied("lab", "revoke", "--entity", "--revocations", shell.path("s"))
    assert "names 0 of the grants" in shell.denied("lab", "revoke", "abc", "--create", "--revocations", shell.path("s"))
    shell("lab", "revoke", "--entity", "--revocations", shell.path("s"))
    assert len(grant.RevocationStore(shell.path("s"))) == 1
    assert shell.status("lab", "attest")[0] == 2


def test_json_is_what_the_text_says(shell: Shell) -> None:
    ids = shell.make("lab", "ann")
    assert json.loads(shell("lab", "entity", "show", "--json")) == {"id": ids["lab"], "record": shell.record("lab")}
    shell("lab", "manifest", "create", "m/a", "-o", shell.path("manifest"))
    shown = json.loads(shell("", "manifest", "show", shell.path("manifest"), "--json"))
    assert (shown["namespace"], shown["sequence"], shown["resources"]) == (ids["lab"], 1, ["m/a"])
    assert shown["epoch_s"] == DAY and shown["valid_from"] < shown["valid_until"]
    shell("lab", "attest", shell.record("ann"), "-p", "read", "-r", "m/a", "-o", shell.path("bundle"))
    shell("ann", "add", shell.path("bundle"))
    asked = ("-p", "read", "-r", "m/a", "-n", ids["lab"])
    shell("ann", "prove", *asked, "-o", shell.path("proof"))
    decision = json.loads(shell("", "verify", shell.path("proof"), *asked, "--no-revocations", "--json"))
    assert decision["allowed"] is True and decision["subject"] == ids["ann"] and decision["expires"] > time.time()
    assert shell.denied("", "verify", shell.path("proof"), "-p", "write", *asked[2:], "--no-revocations", "--json")

"""`daybreak grant ...`: keys, grants, proofs and ciphertexts as files.

A home folder (``--home``, ``.daybreak/grant``) is one entity's: ``entity.key`` (0600), ``entity.public`` to hand out, ``wallet/``
and ``manifests/``. Namespaces are ids; where revocations are published is a directory. Nothing here prints a secret.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from daybreak import grant as _grant
from daybreak.base import errors, paths
from daybreak.base.terminal import Json, clean, json_out

from .files import MAX_BODY_BYTES, MAX_SMALL_BYTES, is_standard_output, make_private_folder, read, write_private

__all__ = ["app"]

app = typer.Typer(
    help="Who may do what, and who may read what, with no server in the middle.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a bug's traceback shows no variables: one may be a passphrase
)
entity_app = typer.Typer(help="The entity of this home folder.", no_args_is_help=True)
manifest_app = typer.Typer(help="The public keys of a namespace's resources.", no_args_is_help=True)
app.add_typer(entity_app, name="entity")
app.add_typer(manifest_app, name="manifest")

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
TARGET_DIGITS = 6  # of an attestation's id, at least, when it is named to be revoked


def _given(text: str) -> Path:
    """``~`` is the home also where the shell leaves it: ``--home=~/x``, a variable. ``-`` is the standard output."""
    return Path(text if text == "-" else paths.given(text))


Home = Annotated[Path, typer.Option(envvar="DAYBREAK_GRANT_HOME", parser=_given, help="The entity's folder.")]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(parser=_given, help="Read the key's passphrase from this file; without it the terminal is asked."),
]
Namespace = Annotated[str, typer.Option("--namespace", "-n", envvar="DAYBREAK_GRANT_NAMESPACE", help="Its id.")]
OwnNamespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", envvar="DAYBREAK_GRANT_NAMESPACE", help="Its id; the entity's own by default."),
]
Permissions = Annotated[list[str], typer.Option("--permission", "-p", help="Such as predict; may be given again.")]
Resources = Annotated[list[str], typer.Option("--resource", "-r", help="Such as models/pong/*; may be given again.")]
Revocations = Annotated[
    Path | None,
    typer.Option(
        envvar="DAYBREAK_GRANT_REVOCATIONS", parser=_given, help="The directory in which revocations are published."
    ),
]
NoRevocations = Annotated[bool, typer.Option("--no-revocations", help="Do not look whether anything is revoked.")]
Output = Annotated[
    Path, typer.Option("--out", "-o", parser=_given, help="The file to write, 0600; - is the standard output.")
]
DEFAULT_HOME = Path(".daybreak/grant")


def seconds(text: str) -> int:
    """``30d``, ``12h``, ``90s``: in seconds.

    >>> seconds("30d"), seconds("2w")
    (2592000, 1209600)
    """
    number, unit = text[:-1], text[-1:]
    if unit not in UNITS_S or not number.isascii() or not number.isdigit() or len(number) > 9:
        raise errors.InvalidArgumentError(f"{text!r} is no time: write 30d, 12h, 45m, 90s or 2w")
    return int(number) * UNITS_S[unit]


def moment(text: str) -> int:
    """A date (``2026-01-31``, ``2026-01-31T12:00``, UTC unless it says otherwise) or so long ago (``3d``), in unix seconds.

    >>> moment("1970-01-02")
    86400
    """
    if text[-1:] in UNITS_S:
        return int(time.time()) - seconds(text)
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise errors.InvalidArgumentError(f"{text!r} is no date: write 2026-01-31, or 3d for so long ago") from None
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())


def shown(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def passphrase_in(path: Path) -> str:
    try:
        return read(path, MAX_SMALL_BYTES).decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise errors.InvalidArgumentError(f"'{path}' is no UTF-8 text: is it the file with the passphrase?") from None


def load(home: Path, passphrase_file: Path | None) -> _grant.Entity:
    key = home / "entity.key"
    if not key.exists():
        raise errors.NotFoundError(f"'{key}' is not there: daybreak grant entity create, or name another --home")
    if passphrase_file is not None:
        return _grant.Entity.load(str(key), passphrase_in(passphrase_file))
    try:
        return _grant.Entity.load(str(key))
    except errors.UnauthenticatedError:
        if not sys.stdin.isatty():
            raise
    return _grant.Entity.load(str(key), getpass.getpass("Passphrase: "))


def wallet_of(home: Path, entity: _grant.Entity) -> _grant.Wallet:
    return _grant.Wallet(entity, str(home / "wallet"))


def store_of(path: Path | None, skip: bool = False) -> _grant.RevocationStore | None:
    """The store, or None when it is said that revocations are not to be looked at: not by leaving out an option."""
    if path is None and not skip:
        raise errors.InvalidArgumentError("say where revocations are (--revocations), or --no-revocations")
    return None if path is None or skip else _grant.RevocationStore(str(path))


def verifier_of(namespace: str, store: _grant.RevocationStore | None) -> _grant.Verifier:
    return _grant.Verifier(namespace=namespace, server="daybreak-grant", revocations=store, max_staleness_s=0)


def pairs_of(permissions: list[str], resources: list[str]) -> list[tuple[str, str]]:
    return [(permission, resource) for resource in resources for permission in permissions]


# ---- entities


@entity_app.command("create")
def entity_create(
    home: Home = DEFAULT_HOME,
    valid: Annotated[str, typer.Option("--for", help="How long it is valid.")] = "365d",
    passphrase: Annotated[
        bool, typer.Option("--passphrase", help="Ask for a passphrase on the terminal, for the key file.")
    ] = False,
    passphrase_file: PassphraseFile = None,
    sealing: Annotated[bool, typer.Option(help="With the key to which bundles are sealed.")] = True,
) -> None:
    """Make a key. A key file that is there already is never overwritten."""
    secret: str | None = None
    key = home / "entity.key"
    if key.exists():
        raise errors.AlreadyExistsError(f"'{key}' is there: take another --home, or move it away yourself")
    if passphrase_file is not None:
        secret = passphrase_in(passphrase_file)
    elif passphrase:
        secret = getpass.getpass("Passphrase: ")
        if secret != getpass.getpass("Again: "):
            raise errors.InvalidArgumentError("the two passphrases differ")
    entity = _grant.Entity.create(valid_for=seconds(valid), sealing=sealing)
    make_private_folder(home)
    fresh = home / f"entity.key.{os.getpid()}.new"
    entity.save(str(fresh), secret)
    try:
        os.link(fresh, key)  # unlike a rename it fails when another process was first
    except FileExistsError:
        raise errors.AlreadyExistsError(f"'{key}' is there: take another --home") from None
    finally:
        fresh.unlink()
    write_private(home / "entity.public", entity.public)
    print(f"id      {entity.id}\nrecord  {clean(home / 'entity.public')}  (public: hand it to whoever grants to you)")


@entity_app.command("show")
def entity_show(
    home: Home = DEFAULT_HOME,
    record: Annotated[Path | None, typer.Argument(help="Somebody's record instead.")] = None,
    as_json: Json = False,
) -> None:
    """Print the id of this entity, or of a record."""
    path = home / "entity.public" if record is None else record
    found = _grant.entity_id(read(path, MAX_SMALL_BYTES))
    if as_json:
        json_out({"id": found, "record": str(path)})
        return
    print(f"id      {found}\nrecord  {clean(path)}")


# ---- grants


@app.command()
def attest(
    subject: Annotated[Path, typer.Argument(help="The public record of whom it is for.")],
    out: Output,
    permission: Annotated[list[str] | None, typer.Option("--permission", "-p")] = None,
    resource: Annotated[list[str] | None, typer.Option("--resource", "-r")] = None,
    namespace: OwnNamespace = None,
    hops: Annotated[int, typer.Option(help="How often it may be passed on.")] = 0,
    valid: Annotated[str, typer.Option("--for", help="How long it is valid.")] = "30d",
    since: Annotated[
        str | None, typer.Option("--from", help="With decrypt: keys from this date on, or from so long ago.")
    ] = None,
    epoch: Annotated[str, typer.Option(help="With decrypt, by the namespace's owner: as in its manifest.")] = "1d",
    again: Annotated[bool, typer.Option("--again", help="Nothing new: the bundle of all that was granted.")] = False,
    home: Home = DEFAULT_HOME,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Grant: write the bundle for the subject."""
    entity = load(home, passphrase_file)
    wallet = wallet_of(home, entity)
    record = read(subject, MAX_SMALL_BYTES)
    if again:
        write_private(out, wallet.bundle(record))
        return
    if not permission or not resource:
        raise errors.InvalidArgumentError("say what is granted: -p PERMISSION -r RESOURCE, or --again")
    made = wallet.grant(
        record,
        namespace=namespace or entity.id,
        statements=[(permission, one) for one in resource],
        hops=hops,
        valid_for=seconds(valid),
        keys_from=None if since is None else moment(since),
        epoch_s=seconds(epoch),
    )
    write_private(out, made.bundle)
    say = say_aside if is_standard_output(out) else print
    say(f"granted {made.attestation.id} to {made.attestation.subject}")
    say(f"valid   {shown(made.attestation.valid_from)} to {shown(made.attestation.valid_until)}")
    if made.keys_until:
        say(f"keys    {shown(made.keys_from)} to {shown(made.keys_until)}  (whole epochs: rounded outwards)")


def say_aside(text: str) -> None:
    """Beside the standard output, when that is the result's."""
    print(text, file=sys.stderr)


@app.command()
def add(
    bundles: Annotated[list[Path], typer.Argument(help="Bundles, in any order.")],
    home: Home = DEFAULT_HOME,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Take bundles that were made for this entity."""
    wallet = wallet_of(home, load(home, passphrase_file))
    for path in bundles:
        print(f"{clean(path)}: {wallet.add(read(path, MAX_SMALL_BYTES))} new attestations")


@app.command()
def prove(
    out: Output,
    permission: Permissions,
    resource: Resources,
    namespace: Namespace,
    revocations: Revocations = None,
    home: Home = DEFAULT_HOME,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Write a proof of every permission on every resource."""
    wallet = wallet_of(home, load(home, passphrase_file))
    store = None if revocations is None else _grant.RevocationStore(str(revocations))
    write_private(out, wallet.prove(pairs_of(permission, resource), namespace=namespace, revocations=store))


@app.command()
def verify(
    proof: Annotated[Path, typer.Argument()],
    permission: Permissions,
    resource: Resources,
    namespace: Namespace,
    subject: Annotated[str | None, typer.Option(help="Whose proof it must be (id).")] = None,
    revocations: Revocations = None,
    no_revocations: NoRevocations = False,
    as_json: Json = False,
) -> None:
    """Verify a proof; when denied: status 1, the code and the missing link. It does not say who presents it."""
    verifier = verifier_of(namespace, store_of(revocations, no_revocations))
    decision = verifier.verify(read(proof, MAX_SMALL_BYTES), pairs_of(permission, resource), subject=subject)
    if as_json:
        json_out({"allowed": True, "subject": decision.subject, "expires": decision.expires})
        return
    print(f"allowed  {decision.subject} until {shown(decision.expires)}")


def issued(wallet: _grant.Wallet, target: str) -> _grant.Attestation:
    """The one attestation of the owner's whose id begins so."""
    found = [one for one in wallet.issued() if len(target) >= TARGET_DIGITS and one.id.startswith(target)]
    if len(found) == 1:
        return found[0]
    listed = "".join(
        f"\n  {one.id} to {one.subject[:12]}: "
        + "; ".join(f"{' '.join(permissions)} on {resource}" for permissions, resource in one.statements)
        for one in (found or wallet.issued())
    )
    raise errors.NotFoundError(
        f"'{target}' names {len(found)} of the grants that this entity made: give {TARGET_DIGITS} digits or more of"
        f" one{listed}"
    )


@app.command()
def revoke(
    revocations: Annotated[Path, typer.Option(envvar="DAYBREAK_GRANT_REVOCATIONS", parser=_given)],
    target: Annotated[str | None, typer.Argument(help="The grant's id, or its beginning.")] = None,
    entity: Annotated[bool, typer.Option("--entity", help="This entity itself, for ever.")] = False,
    create: Annotated[bool, typer.Option("--create", help="Make the directory of revocations first.")] = False,
    home: Home = DEFAULT_HOME,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Revoke a grant, or this entity, for ever. Future access ends; keys and plaintext that somebody has stay there."""
    if (target is not None) == entity and not (create and target is None):
        raise errors.InvalidArgumentError("name a grant's id, or --entity")
    owner = None if target is None and not entity else load(home, passphrase_file)
    store = (_grant.RevocationStore.create if create else _grant.RevocationStore)(str(revocations))
    if owner is None:
        print(f"store   {clean(revocations)}")
    elif target is None:
        _grant.revoke(store, owner)
        print(f"revoked entity {owner.id}")
    else:
        wallet = wallet_of(home, owner)
        attestation = issued(wallet, target)
        losses = _grant.what_breaks(wallet, attestation, revocations=store)
        _grant.revoke(store, owner, attestation)
        print(f"revoked {attestation.id}")
        for subject, permission, resource in losses:
            print(f"lost    {permission} on {resource} by {subject}")


@app.command()
def explain(
    permission: Annotated[list[str] | None, typer.Option("--permission", "-p")] = None,
    resource: Annotated[list[str] | None, typer.Option("--resource", "-r")] = None,
    namespace: OwnNamespace = None,
    subject: Annotated[str | None, typer.Option(help="Why or why not this one (id); this entity by default.")] = None,
    who: Annotated[bool, typer.Option("--who", help="Everyone who has it, and through whom.")] = False,
    breaks: Annotated[str | None, typer.Option(help="What revoking this grant (id) would end.")] = None,
    revocations: Revocations = None,
    home: Home = DEFAULT_HOME,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Why something is granted or not, who has it, what a revocation would break: over what this wallet knows."""
    entity = load(home, passphrase_file)
    wallet = wallet_of(home, entity)
    store = None if revocations is None else _grant.RevocationStore(str(revocations))
    if breaks is not None:
        for loser, lost, where in _grant.what_breaks(wallet, issued(wallet, breaks), revocations=store):
            print(f"{loser} would lose {lost} on {where}")
        return
    if not permission or not resource:
        raise errors.InvalidArgumentError("say what it is about: -p PERMISSION -r RESOURCE, or --breaks ID")
    root = namespace or entity.id
    if not who:
        print(
            _grant.explain(wallet, pairs_of(permission, resource), namespace=root, subject=subject, revocations=store)
        )
        return
    for one, where in pairs_of(permission, resource):
        for holder, through in _grant.who_has(wallet, one, where, namespace=root, revocations=store):
            print(f"{holder} has {one} on {where} through {' '.join(through)}")


# ---- encryption


@app.command()
def encrypt(
    file: Annotated[Path, typer.Argument()],
    out: Output,
    resource: Annotated[str, typer.Option("--resource", "-r", help="One resource.")],
    namespace: OwnNamespace = None,
    manifest: Annotated[Path | None, typer.Option("--manifest", "-m", help="Default: the newest one seen.")] = None,
    home: Home = DEFAULT_HOME,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Encrypt a file to a resource: it opens for whoever has decrypt there, now or later. Needs publish there."""
    entity = load(home, passphrase_file)
    memory, root = _grant.ManifestMemory(str(home / "manifests")), namespace or entity.id
    keys = memory.newest(root) if manifest is None else memory.accept(read(manifest, MAX_BODY_BYTES), root)
    text = read(file, MAX_BODY_BYTES)
    write_private(out, _grant.encrypt(keys, resource, text, author=wallet_of(home, entity)))


@app.command()
def decrypt(
    file: Annotated[Path, typer.Argument()],
    out: Output,
    namespace: OwnNamespace = None,
    revocations: Revocations = None,
    no_revocations: NoRevocations = False,
    home: Home = DEFAULT_HOME,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Open a ciphertext: the whole plaintext (0600), or nothing and the reason."""
    entity = load(home, passphrase_file)
    verifier = verifier_of(namespace or entity.id, store_of(revocations, no_revocations))
    ciphertext = read(file, MAX_BODY_BYTES)
    write_private(out, _grant.decrypt(ciphertext, wallet=wallet_of(home, entity), verifier=verifier))


@manifest_app.command("create")
def manifest_create(
    resources: Annotated[list[str], typer.Argument(help="Resources, none of them a pattern.")],
    out: Output,
    valid: Annotated[str, typer.Option("--for", help="How long it is valid.")] = "90d",
    epoch: Annotated[str, typer.Option(help="How long each key is used.")] = "1d",
    home: Home = DEFAULT_HOME,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Publish the keys of resources of this entity's own namespace: a whole new manifest, numbered after the last."""
    entity = load(home, passphrase_file)
    memory = _grant.ManifestMemory(str(home / "manifests"))
    sequence = 1
    with contextlib.suppress(errors.NotFoundError):
        sequence = memory.newest(entity.id).sequence + 1
    made = _grant.Manifest.create(
        entity, resources, sequence=sequence, valid_for=seconds(valid), epoch_s=seconds(epoch)
    )
    memory.accept(made.bytes, entity.id)
    write_private(out, made.bytes)
    if not is_standard_output(out):
        show(made, print)


@manifest_app.command("show")
def manifest_show(file: Annotated[Path, typer.Argument()], as_json: Json = False) -> None:
    """Print what a manifest says. It is signed by the namespace that it names; that it is the newest is not checked."""
    found = _grant.Manifest(read(file, MAX_BODY_BYTES))
    if as_json:
        names = ("namespace", "sequence", "valid_from", "valid_until", "epoch_s", "resources")
        json_out({name: getattr(found, name) for name in names})
        return
    show(found, print)


def show(manifest: _grant.Manifest, say: Callable[[str], None]) -> None:
    say(f"namespace {manifest.namespace}\nsequence  {manifest.sequence}")
    say(f"valid     {shown(manifest.valid_from)} to {shown(manifest.valid_until)}, epochs of {manifest.epoch_s} s")
    for resource in manifest.resources:
        say(f"resource  {resource}")

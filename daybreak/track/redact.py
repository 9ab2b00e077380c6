"""Values that look like secrets by their name are not written down.

One rule for names: a name is a path of parts (``db.auth.password``), a part is words (``apiKey``, ``API_KEYS``). What is below a
part that names a secret is secret. A word like "password" names one, and so do pairs like "api key"; but not where words behind it
say that it is something about it: a length, a file, a limit. "token" is a secret but where the words around it are those of
language models; "tokens" and "pass" alone are so only of text, since there are counts of that name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["REDACTED", "looks_secret", "redact", "redact_argv", "redact_text"]

REDACTED = "[redacted]"


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SECRET = _set(
    "apikey authorization bearer cookie credential jwt mnemonic otp passcode passphrase passwd password pat pwd secret totp"
)
_KEYS = _set(
    "access account admin aes api app auth client crypto decryption deploy dsa ecdsa ed25519 encryption encrypt fernet gpg"
    " hmac jwt kaggle license licence master pgp private root rsa secret service session shared sign signing ssh ssl storage"
    " subscription tls wallet"
    # and the services whose keys programs of this kind hold
    " anthropic aws azure brave cohere comet deepgram deepl deepseek dify elevenlabs fireworks gcp gemini google groq hf"
    " huggingface kaggle langchain langsmith mailgun mistral neptune nvidia openai openrouter perplexity pinecone qdrant replicate"
    " runpod sendgrid serpapi stripe supabase tavily together twilio voyage wandb weaviate xai"
)
_PAIRS = frozenset(
    {
        ("connection", "string"),
        ("conn", "str"),
        ("webhook", "url"),
        ("discord", "webhook"),
        ("slack", "webhook"),
        ("sentry", "dsn"),
        ("seed", "phrase"),
        ("recovery", "code"),
        ("backup", "code"),
    }
)
# Before "pass" and "pw": it may be a number of passes, or whether something passed.
_PASS = _set(
    "account admin auth basic database db email ftp http imap ldap login mail mongo mysql pg pop3 postgres proxy rabbitmq redis"
    " root service sftp smtp ssh sudo user vnc wifi"
)
# Behind "auth": it may be a method, an address.
_AUTH = _set("code cookie credential data header key password secret string token")
# Words behind a secret's that say it is something about it.
_ABOUT = _set(
    "age algorithm attempt backend bits budget category class count counter date days dim domain enabled encoding endpoint"
    " env expires expiry expiration field file filename format generation generator id ids index indices len length level"
    " limit manager max method min mode name names path policy prefix provider required rotation rounds rules samesite scheme"
    " scope secure size source store strength suffix ttl type types uri url version"
)
# Around "token": the tokens of language models.
_MODEL_BEFORE = _set(
    "accepted added additional all assistant audio avg begin blank boa boi bos bov byte cached char chat class cls completion"
    " context decoded decoder dist distill draft each encoder end eoa eoi eos eov eval extra fim first forced forward"
    " generated generation global ignore image input label last latent local mask max mean mem memory middle min multimodal n"
    " new next no num number output pad padding patch per placeholder pos prefix prev previous processed prompt query"
    " reasoning register role sampled seen sentinel sep separator soft source special speech src start stop sub suffix"
    " suppress system target test text tgt thinking total train training turn unique unk unknown val video vision visual vocab"
    " word yes"
)
_MODEL_BEHIND = _set(
    "acc accuracy bucket buffer choice classification cost dropout drop efficiency embed embedding entropy freq frequency ids"
    " logit logits loss mask masks merge merging mixer mixing order parallel per pool pooling position positions price prob"
    " probability probs pruning rate ratio seen seq sequence shape shift span speed stream throughput usage used weight"
    " weights window"
)
_AUTH_TOKENS = _set(
    "access api auth bearer bot client csrf deploy device github gitlab hf identity jwt login oauth personal refresh registry"
    " secret security service session slack user xsrf"
)
_GLUED = re.compile(
    r"(password|passwd|passphrase|apikey|apisecret|clientsecret|secretkey|privatekey|privkey|accesskey|authkey)s?$"
    r"|^(admin|database|db|ldap|mail|mongo|mysql|postgres|redis|root|smtp|ssh|sudo|user)(pass|pw)$"
)
_GLUED_TOKEN = re.compile(
    r"(access|api|auth|bearer|bot|csrf|github|gitlab|hf|id|oauth|refresh|session|user|xsrf)token$"
)

_PARTS = re.compile(r"[./\\:\[\]'\"]+")
_SPLIT = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# name=value, name: value, "name": "value", as programs print them.
_HEAD = re.compile(r"""["']?(?P<name>[A-Za-z][A-Za-z0-9_.\-]{0,63})["']?\s?(?:=|:)\s?(?:(?i:Bearer|Basic|Token)\s)?""")
_VALUE = re.compile(r""""[^"]*"|'[^']*'|[^\s,;}\])]+""")
_NUMBER = re.compile(r"[-+]?\d[\d_,]*(\.\d+)?(e[-+]?\d+)?[kMGTB]?$")
_URL_PASSWORD = re.compile(
    r"(?P<head>\b[A-Za-z][A-Za-z0-9+.\-]*://)(?P<user>[^/\s:@]*)(?P<password>:[^/\s]*)?@(?=[^/\s@])"
)
_WEB = re.compile(r"(?:\w+\+)?(?:https?|wss?|ftps?)://$", re.IGNORECASE)
_MAX_NESTED = 4096  # characters of a printed list or dict that is looked for its end

NO, TEXT, YES = 0, 1, 2  # whether a name is that of a secret: TEXT where only text can be one


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _of_part(part: str) -> int:
    if part in ("PWD", "OLDPWD"):  # the working directory, in every environment
        return NO
    spelled = [word.lower() for word in _SPLIT.split(part) if word]
    words = [_singular(word) for word in spelled]
    found = NO
    for i, word in enumerate(words):
        before = words[i - 1] if i else ""
        behind = words[i + 1 :]
        following = behind[0] if behind else ""
        about = any(other in _ABOUT or spelled[i + 1 + k] in _ABOUT for k, other in enumerate(behind))
        if (before, word) == ("access", "key") and following == "id":
            return YES
        if (before, word) in _PAIRS:
            return YES
        if word == "token":
            plural = spelled[i] == "tokens"
            if about or {before, words[i - 2] if i > 1 else ""} & _MODEL_BEFORE - ({"id"} if before == "id" else set()):
                continue
            if following in _MODEL_BEHIND or (behind and spelled[i + 1] in _MODEL_BEHIND):
                continue
            if plural and before not in _AUTH_TOKENS:
                found = max(found, TEXT if not behind else NO)
                continue
            return YES
        if about:
            continue
        if word in _SECRET or _GLUED.search(word) or _GLUED_TOKEN.search(word):
            return YES
        if word == "key" and before in _KEYS:
            return YES
        if word == "auth" and (not behind or following in _AUTH):
            return YES
        if word in ("pass", "pw") and not behind and (before in _PASS or not before):
            if before:
                return YES
            found = TEXT
    return found


def _secrecy(name: str) -> int:
    return max((_of_part(part) for part in _PARTS.split(name) if part), default=NO)


def looks_secret(name: str) -> bool:
    """Whether a text of this name is to be kept out of records.

    >>> [looks_secret(name) for name in ("DB_PASSWORD", "apiKeys", "wandb.api-key", "auth_token", "secrets.db")]
    [True, True, True, True, True]
    >>> [looks_secret(name) for name in ("author", "max_tokens", "token_budget", "image_token_index", "key", "password_length")]
    [False, False, False, False, False, False]
    """
    return _secrecy(name) != NO


def _hidden(value: Any, secrecy: int) -> Any:
    """What is left of a secret value, or of one that holds secrets: its form. Booleans and None tell nothing."""
    if value is None or isinstance(value, bool) or (secrecy == TEXT and isinstance(value, (int, float))):
        return value
    if isinstance(value, Mapping):
        return {key: _hidden(item, secrecy) for key, item in value.items()}
    if secrecy == TEXT and isinstance(value, (list, tuple)):
        return [_hidden(item, secrecy) for item in value]
    return REDACTED


def redact(name: str, value: Any) -> Any:
    """The value, or "[redacted]" where its name, or that of a mapping around it, looks like a secret's; the same within mappings
    and lists, and text as by ``redact_text``.

    >>> redact("config", {"lr": 0.1, "db": {"password": "x", "url": "postgres://me:pw@host/db"}})
    {'lr': 0.1, 'db': {'password': '[redacted]', 'url': 'postgres://me:[redacted]@host/db'}}
    >>> redact("secrets", {"db": "x", "keep": True})
    {'db': '[redacted]', 'keep': True}
    """
    if secrecy := _secrecy(name):
        return _hidden(value, secrecy)
    if isinstance(value, Mapping):
        said = value.get("name", value.get("key"))  # as Kubernetes writes variables: {"name": "HF_TOKEN", "value": ...}
        named = _secrecy(said) if isinstance(said, str) and "value" in value else NO
        return {
            key: _hidden(item, named) if named and key == "value" else redact(str(key), item)
            for key, item in value.items()
        }
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, tuple) and (fields := getattr(value, "_fields", None)):  # a NamedTuple: its fields have names
        return [redact(str(field), item) for field, item in zip(fields, value, strict=False)]
    if isinstance(value, (list, tuple)):
        return [redact("", item) for item in value]
    return value


def redact_argv(argv: Sequence[str]) -> list[str]:
    """A command line without the values of options that look like secrets, in both spellings.

    >>> redact_argv(["train.py", "--lr=0.1", "--api-key=abc", "--password", "hunter2", "-v", "AWS_SECRET=x"])
    ['train.py', '--lr=0.1', '--api-key=[redacted]', '--password', '[redacted]', '-v', 'AWS_SECRET=[redacted]']
    """
    out: list[str] = []
    hide_next = False
    for argument in argv:
        name, equals, value = argument.partition("=")
        if hide_next and not argument.startswith("--"):
            out.append(REDACTED)
        elif equals and looks_secret(name):
            out.append(f"{name}={REDACTED}")
        else:
            out.append(redact_text(argument))
        hide_next = argument.startswith("-") and not equals and looks_secret(name)
    return out


def redact_text(text: str) -> str:
    """Printed text without values that follow a name that looks like a secret's, and without passwords and tokens in URLs.

    >>> redact_text("connecting, password=hunter2, to postgres://me:pw@host/db; loss: 0.1")
    'connecting, password=[redacted], to postgres://me:[redacted]@host/db; loss: 0.1'
    >>> redact_text("clone https://ghp_0123@github.com/me/code, token=abc")
    'clone https://[redacted]@github.com/me/code, token=[redacted]'
    """
    text = _URL_PASSWORD.sub(_without_password, text) if "://" in text else text
    if "=" not in text and ":" not in text:
        return text
    parts: list[str] = []
    at = kept = (
        0  # what is before `kept` is in parts; the search for a name goes on at `at`: a value may begin with a name
    )
    while head := _HEAD.search(text, at):
        at = head.end()
        secrecy = _secrecy(head["name"])
        end = _value_end(text, at) if secrecy else at
        if end > at and not (secrecy == TEXT and _NUMBER.match(text[at:end])) and text[at:end] not in _TELLS_NOTHING:
            parts += [text[kept:at], REDACTED]
            at = kept = end
    return "".join([*parts, text[kept:]])


_TELLS_NOTHING = ("None", "null", "True", "False", "true", "false", REDACTED)


def _without_password(found: re.Match[str]) -> str:
    user, password = found["user"], found["password"]
    if password is not None:
        # Of a web address the user may be the token, beside "x-oauth-basic".
        shown = REDACTED if _WEB.match(found["head"]) and len(user) >= 20 else user
        return f"{found['head']}{shown}:{REDACTED}@"
    return f"{found['head']}{REDACTED if _WEB.match(found['head']) else user}@"


def _value_end(text: str, at: int) -> int:
    """Where the value that begins there ends; of a printed list or dict, behind the bracket that closes it."""
    if text[at : at + 1] in ("{", "[", "(") and not text.startswith(REDACTED, at):
        depth = 0
        for place in range(at, min(len(text), at + _MAX_NESTED)):
            depth += (text[place] in "{[(") - (text[place] in "}])")
            if depth == 0:
                return place + 1
        return len(text)
    value = _VALUE.match(text, at)
    return value.end() if value is not None else at

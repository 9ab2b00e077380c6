"""One bucket of an S3-compatible store. Needs boto3: `pip install daybreak[s3]`.

Endpoint, region and credentials come from where AWS' own tools take them: AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and
AWS_SECRET_ACCESS_KEY, profiles, the role of the machine. No error and no `repr` has a credential in it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit

from daybreak.base import numbers
from daybreak.base.errors import (
    AlreadyExistsError,
    DataLossError,
    DeadlineExceededError,
    Error,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnauthenticatedError,
    UnavailableError,
)

__all__ = ["ObjectInfo", "S3Store", "parsed"]

MAX_KEY_BYTES = 1024
MAX_PUT_BYTES = 5 << 30  # of one request, as S3 has it
_DELETED_AT_ONCE = 1000
Found = TypeVar("Found")

# By S3's code of an error, or the status where the answer has no body.
_ERRORS: dict[str, type[Error]] = {
    **dict.fromkeys(("NoSuchKey", "NoSuchBucket", "NotFound", "404"), NotFoundError),
    **dict.fromkeys(("AccessDenied", "AllAccessDisabled", "403"), PermissionDeniedError),
    **dict.fromkeys(
        ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "401"),
        UnauthenticatedError,
    ),
    **dict.fromkeys(("PreconditionFailed", "ConditionalRequestConflict", "412", "409"), AlreadyExistsError),
    **dict.fromkeys(("SlowDown", "ServiceUnavailable", "InternalError", "500", "502", "503", "504"), UnavailableError),
    **dict.fromkeys(("RequestTimeout", "RequestTimeTooSkewed"), DeadlineExceededError),
    **dict.fromkeys(("EntityTooLarge", "QuotaExceeded", "413", "507"), ResourceExhaustedError),
    **dict.fromkeys(
        ("InvalidRange", "InvalidArgument", "InvalidBucketName", "KeyTooLongError", "400", "416"), InvalidArgumentError
    ),
}
_WAYS = {
    NotFoundError: "look at the name",
    PermissionDeniedError: "these credentials may not do that: give them the permission, or use others",
    UnauthenticatedError: "the store does not know these credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    UnavailableError: "try later, or ask for less at once",
    DeadlineExceededError: "give timeout_s more, or look at the clock of this machine",
}


@dataclass(frozen=True)
class ObjectInfo:
    """Of a listing. etag: of the contents, as the store has it."""

    key: str
    size: int
    etag: str = ""


def parsed(url: str) -> tuple[str, str]:
    """Bucket and key, or prefix, of "s3://BUCKET/KEY".

    Raises:
        InvalidArgumentError: it is none.
    """
    if not isinstance(url, str) or not url.startswith("s3://"):
        raise InvalidArgumentError(f"{url!r} is no URL of a store: 's3://BUCKET/KEY' expected")
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not bucket or any(sign in bucket for sign in "@:?#\0 "):
        shown = "the URL" if "@" in url else repr(url)  # what stands before an @ may be a secret
        raise InvalidArgumentError(f"{shown}: 's3://BUCKET/KEY' expected, without credentials or a port")
    return bucket, key


class S3Store:
    """A bucket. Thread-safe; it pickles without credentials, which each process finds by itself.

    Args:
        bucket: its name.
        endpoint: of a store that is not AWS: "http://127.0.0.1:8333". None: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or AWS.
        timeout_s: without a byte, until a request is given up.
        attempts: of a request that failed for a reason that may pass.
    """

    def __init__(self, bucket: str, *, endpoint: str | None = None, timeout_s: float = 60.0, attempts: int = 4) -> None:
        if not isinstance(bucket, str) or not bucket or "/" in bucket:
            raise InvalidArgumentError(f"bucket={bucket!r}: a bucket's name expected")
        if endpoint is not None:
            said = urlsplit(endpoint)
            if said.scheme not in ("http", "https") or not said.hostname or said.username or said.password:
                raise InvalidArgumentError(
                    "endpoint: 'http://HOST:PORT' or 'https://HOST:PORT' expected, without credentials"
                )
        self.bucket, self.endpoint = bucket, endpoint
        self.timeout_s = numbers.real(timeout_s, "timeout_s", minimum=0.01, maximum=86400.0)
        self.attempts = numbers.integer(attempts, "attempts", minimum=1, maximum=100)
        self._lock = threading.Lock()
        self._made: Any = None

    def __repr__(self) -> str:
        return f"S3Store({self.bucket!r}{'' if self.endpoint is None else f', endpoint={self.endpoint!r}'})"

    def __reduce__(self) -> Any:
        return _again, (self.bucket, self.endpoint, self.timeout_s, self.attempts)

    @property
    def client(self) -> Any:
        """boto3's own client.

        Raises:
            FailedPreconditionError: boto3 is not installed, or there is a problem with its configuration.
        """
        with self._lock:
            if self._made is None:
                self._made = self._make()
        return self._made

    def _make(self) -> Any:
        try:
            import boto3.session
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError
        except ImportError as error:
            raise FailedPreconditionError(f"an S3 store needs boto3 ({error}): pip install 'daybreak[s3]'") from None
        config = Config(
            connect_timeout=min(self.timeout_s, 10.0),
            read_timeout=self.timeout_s,
            retries={"max_attempts": self.attempts, "mode": "standard"},
            max_pool_connections=64,
            request_checksum_calculation="when_required",  # stores that are not AWS need not know the newer ones
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"} if self.endpoint else None,
        )
        try:
            session = boto3.session.Session()  # of this client alone: a shared one is not thread-safe
            region = session.region_name or "us-east-1"
            return session.client("s3", endpoint_url=self.endpoint, region_name=region, config=config)
        except (BotoCoreError, ValueError) as error:
            raise FailedPreconditionError(
                f"{self!r}: there is no client for it: {type(error).__name__}: look at AWS_PROFILE and AWS_ENDPOINT_URL"
            ) from None

    # ---- objects

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Those whose keys begin so, in the order of their keys, page by page."""
        token: dict[str, str] = {}
        while True:
            page = self._ask(
                "list",
                prefix,
                lambda: self.client.list_objects_v2(Bucket=self.bucket, Prefix=prefix, **token),  # noqa: B023
            )
            for each in page.get("Contents", ()):
                yield ObjectInfo(each["Key"], int(each["Size"]), str(each.get("ETag", "")).strip('"'))
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def info(self, key: str) -> ObjectInfo:
        """
        Raises:
            NotFoundError: there is none of that key.
        """
        found = self._ask("info", key, lambda: self.client.head_object(Bucket=self.bucket, Key=_checked(key)))
        return ObjectInfo(key, int(found["ContentLength"]), str(found.get("ETag", "")).strip('"'))

    def get(self, key: str, start: int = 0, stop: int | None = None) -> bytes:
        """Bytes `start` to `stop` of an object, `stop` not included, as far as there are; None: to its end.

        Raises:
            NotFoundError: there is none of that key.
            DataLossError: the store has given fewer bytes than it said, in each attempt.
        """
        begin = numbers.integer(start, "start", minimum=0)
        end = None if stop is None else numbers.integer(stop, "stop", minimum=0)
        if end is not None and end <= begin:
            self.info(key)  # an object that is not there is not empty
            return b""
        ranged = {} if begin == 0 and end is None else {"Range": f"bytes={begin}-{'' if end is None else end - 1}"}
        short = ""
        for _ in range(self.attempts):
            try:
                data, said = self._ask("get", key, lambda: self._read(key, ranged))
            except InvalidArgumentError as error:
                if "416" in str(error) or "InvalidRange" in str(error):
                    return b""  # it begins behind the end
                raise
            if len(data) == said:
                if ranged and end is not None and len(data) > end - begin:
                    return data[begin:end]  # a store that does not know ranges gives the whole object
                return data
            short = f"{len(data)} of {said} bytes"
        raise DataLossError(f"get {self._place(key)}: {short} have come, in each of {self.attempts} attempts")

    def _read(self, key: str, ranged: dict[str, str]) -> tuple[bytes, int]:
        from botocore.exceptions import IncompleteReadError, ResponseStreamingError

        found = self.client.get_object(Bucket=self.bucket, Key=_checked(key), **ranged)
        said = int(found["ContentLength"])
        try:
            return found["Body"].read(), said
        except (IncompleteReadError, ResponseStreamingError):
            return b"", said if said else -1

    def put(self, key: str, data: Any, *, if_absent: bool = False) -> str:
        """Writes an object, whole or not at all: its etag. data: bytes or what has the buffer protocol, C-contiguous.

        Raises:
            AlreadyExistsError: if_absent, and there is one of that key.
            ResourceExhaustedError: more than 5 GiB.
        """
        view = memoryview(data)
        if not view.c_contiguous:
            raise InvalidArgumentError("data: its bytes are not contiguous: copy it first (numpy.ascontiguousarray)")
        if view.nbytes > MAX_PUT_BYTES:
            raise ResourceExhaustedError(
                f"put {self._place(key)}: {view.nbytes} bytes, at most {MAX_PUT_BYTES} in one object"
            )
        only = {"IfNoneMatch": "*"} if if_absent else {}
        body = view.cast("B") if view.nbytes else b""
        found = self._ask(
            "put", key, lambda: self.client.put_object(Bucket=self.bucket, Key=_checked(key), Body=bytes(body), **only)
        )
        return str(found.get("ETag", "")).strip('"')

    def delete(self, keys: str | Iterable[str]) -> int:
        """Deletes these objects; those that are not there count as deleted. How many.

        Raises:
            PermissionDeniedError, ...: some could not be; the first is named, and how many there are.
        """
        wanted = [_checked(key) for key in ([keys] if isinstance(keys, str) else keys)]
        for at in range(0, len(wanted), _DELETED_AT_ONCE):
            some = wanted[at : at + _DELETED_AT_ONCE]
            listed = {"Objects": [{"Key": key} for key in some], "Quiet": True}
            found = self._ask(
                "delete",
                some[0],
                lambda: self.client.delete_objects(Bucket=self.bucket, Delete=listed),  # noqa: B023
            )
            problems = [each for each in found.get("Errors", ()) if each.get("Code") not in ("NoSuchKey", "NotFound")]
            if problems:
                kind = _ERRORS.get(problems[0].get("Code", ""), UnavailableError)
                raise kind(
                    f"delete {self._place(problems[0].get('Key', ''))}: {problems[0].get('Code')}; "
                    f"{len(problems)} of {len(some)} stay"
                )
        return len(wanted)

    def make_bucket(self) -> None:
        """The bucket, unless it is there."""
        try:
            self._ask("make", "", lambda: self.client.create_bucket(Bucket=self.bucket))
        except Error as error:
            if "BucketAlready" not in str(error):
                raise

    # ---- errors

    def _place(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"

    def _ask(self, what: str, key: str, ask: Callable[[], Found]) -> Found:
        client = self.client  # which says when there is none
        del client
        from botocore import exceptions

        try:
            return ask()
        except exceptions.ClientError as error:
            self._refuse(what, key, str(error.response.get("Error", {}).get("Code", "")), error.response)
        except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError, exceptions.CredentialRetrievalError):
            raise UnauthenticatedError(
                f"{what} {self._place(key)}: no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            ) from None
        except (exceptions.ConnectTimeoutError, exceptions.ReadTimeoutError):
            raise DeadlineExceededError(
                f"{what} {self._place(key)}: no answer in timeout_s={self.timeout_s:g} seconds, {self.attempts} attempts"
            ) from None
        except (exceptions.HTTPClientError, exceptions.EndpointConnectionError) as error:
            raise UnavailableError(
                f"{what} {self._place(key)}: {type(error).__name__}: is the store there? endpoint="
                f"{self.endpoint or 'as AWS_ENDPOINT_URL says, or AWS'}"
            ) from None
        except exceptions.ParamValidationError:
            raise InvalidArgumentError(
                f"{what} {self._place(key)}: the bucket or the key has no name that a store takes"
            ) from None
        except exceptions.BotoCoreError as error:
            raise UnavailableError(f"{what} {self._place(key)}: {type(error).__name__}") from None

    def _refuse(self, what: str, key: str, code: str, response: Any) -> NoReturn:
        status = str(response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
        kind = _ERRORS.get(code) or _ERRORS.get(status) or UnavailableError
        way = _WAYS.get(kind, "")
        raise kind(f"{what} {self._place(key)}: {code or status}" + (f": {way}" if way else "")) from None


def _again(bucket: str, endpoint: str | None, timeout_s: float, attempts: int) -> S3Store:
    return S3Store(bucket, endpoint=endpoint, timeout_s=timeout_s, attempts=attempts)


def _checked(key: str) -> str:
    if not isinstance(key, str) or not key:
        raise InvalidArgumentError(f"key={key!r}: an object's key is a text of 1 to {MAX_KEY_BYTES} bytes")
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise InvalidArgumentError(f"key={key!r}: no UTF-8 says it") from None
    if size > MAX_KEY_BYTES:
        raise InvalidArgumentError(f"a key of {size} bytes: at most {MAX_KEY_BYTES}: {key[:60]!r}...")
    return key

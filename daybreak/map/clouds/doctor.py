"""What is missing before calls run on a back end of Lithops: looked at, never changed.

Packages, sections and keys of the configuration, credentials and whether the storage answers are looked at. Permissions of a
cloud's functions and its quotas are asked for where the cloud has a call for that (AWS); where not, the line says so.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from daybreak.base.errors import Error

__all__ = ["Finding", "examine"]

OK, MISSING, UNKNOWN = "ok", "missing", "not looked at"
_EXTRAS: dict[str, tuple[str, ...]] = {
    "aws_lambda": ("boto3",), "aws_batch": ("boto3",), "aws_ec2": ("boto3",), "aws_s3": ("boto3",), "minio": ("boto3",),
    "ceph": ("boto3",), "gcp_functions": ("googleapiclient", "google.auth", "google.cloud.storage"),
    "gcp_cloudrun": ("googleapiclient", "google.auth"), "gcp_storage": ("google.cloud.storage",),
    "azure_functions": ("azure.identity", "azure.storage.blob"), "azure_containers": ("azure.identity",),
    "azure_storage": ("azure.storage.blob",), "ibm_cf": ("ibm_boto3",), "code_engine": ("kubernetes", "ibm_boto3"),
    "ibm_cos": ("ibm_boto3",), "aliyun_fc": ("alibabacloud_fc20230330",), "aliyun_oss": ("oss2",), "oracle_f": ("oci",),
    "oracle_oss": ("oci",), "knative": ("kubernetes",), "k8s": ("kubernetes",), "redis": ("redis",), "rabbitmq": ("pika",),
    "singularity": ("pika",), "aws_sqs": ("boto3",), "gcp_pubsub": ("google.cloud.pubsub_v1",),
    "azure_queue": ("azure.storage.queue",), "openwhisk": (), "localhost": (), "daybreak": (), "storage": (),
}  # fmt: skip
_SECTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "aws_lambda": {"aws_lambda": ("execution_role",)},
    "aws_batch": {"aws_batch": ("execution_role", "instance_role", "subnets", "security_groups")},
    "gcp_functions": {"gcp": ("region",)},
    "gcp_cloudrun": {"gcp": ("region",)},
    "azure_functions": {
        "azure": ("resource_group", "region", "subscription_id"),
        "azure_storage": ("storage_account_name",),
    },
    "ibm_cf": {"ibm": ("iam_api_key",)},
    "code_engine": {"ibm": ("iam_api_key",), "code_engine": ()},
    "aliyun_fc": {"aliyun": ("account_id", "access_key_id", "access_key_secret", "region")},
    "oracle_f": {"oracle": ("user", "key_file", "fingerprint", "tenancy", "region", "compartment_id")},
    "singularity": {"rabbitmq": ("amqp_url",)},
    "rabbitmq": {"rabbitmq": ("amqp_url",)},
    "redis": {"redis": ("host",)},
    "minio": {"minio": ("storage_bucket", "endpoint", "access_key_id", "secret_access_key")},
    "aws_s3": {"aws_s3": ("storage_bucket",)},
}
_PROGRAMS: dict[str, tuple[str, ...]] = {
    "k8s": ("docker",), "knative": ("docker", "kubectl"), "code_engine": ("docker",), "gcp_cloudrun": ("docker",),
    "azure_functions": ("az", "func"), "azure_containers": ("az", "docker"), "singularity": ("singularity",),
}  # fmt: skip
_SECRET = re.compile(r"key|secret|token|password|url|credential", re.IGNORECASE)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. state: "ok", "missing" or "not looked at"; way: what to do about it."""

    subject: str
    state: str
    text: str
    way: str = ""


def examine(backend: str, config: Any = None) -> list[Finding]:
    """What calls on this compute back end of Lithops need, in the order in which it would fail. Changes nothing, and has no
    credential in it.

    config: of Lithops, a dict or a file's path; None: what Lithops finds by itself.
    """
    found = list(_of_lithops(backend))
    if any(each.state == MISSING for each in found):
        return found
    from ..engines.lithops import configuration

    try:
        said = configuration(config)
    except (Error, OSError, ValueError) as error:
        return [*found, Finding("configuration", MISSING, str(error), "give --config FILE")]
    common = said.get("lithops") or {}
    storage = common.get("storage") or (
        "localhost" if backend == "localhost" else "daybreak" if backend == "daybreak" else "aws_s3"
    )
    monitoring = common.get("monitoring") or "storage"
    for name in dict.fromkeys((backend, storage, monitoring)):
        found += _packages(name)
        found += _keys(name, said)
    found += [
        Finding(f"program {name}", OK if shutil.which(name) else MISSING, shutil.which(name) or f"there is no {name} on the PATH",
                "" if shutil.which(name) else f"install {name}: it builds the runtime's image")
        for name in _PROGRAMS.get(backend, ())
    ]  # fmt: skip
    if all(each.state != MISSING for each in found):
        found.append(_storage_answers(said, backend))
    found += _of_cloud(backend, said)
    return found


def _of_lithops(backend: str) -> Iterator[Finding]:
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    yield Finding("python", OK, f"{python}: the runtime must be of the same version")
    try:
        version = importlib.metadata.version("lithops")
    except importlib.metadata.PackageNotFoundError:
        yield Finding("package lithops", MISSING, "Lithops is not installed", "pip install 'daybreak[lithops]'")
        return
    old = tuple(int(part) for part in version.split(".")[:2]) < (3, 8)
    yield Finding("package lithops", MISSING if old else OK, version, "pip install 'lithops>=3.8'" if old else "")
    from lithops.constants import LOCALHOST, SERVERLESS_BACKENDS, STANDALONE_BACKENDS

    known = sorted({LOCALHOST, "daybreak", *SERVERLESS_BACKENDS, *STANDALONE_BACKENDS})
    if backend not in known:
        yield Finding("back end", MISSING, f"Lithops has no {backend!r}", f"one of {', '.join(known)}")


def _there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _packages(name: str) -> Iterator[Finding]:
    for module in _EXTRAS.get(name, ()):
        there = _there(module)
        extra = name.partition("_")[0]
        way = "" if there else f"pip install 'lithops[{extra}]'"
        yield Finding(f"package {module}", OK if there else MISSING, f"of {name}", way)


def _keys(name: str, config: dict[str, Any]) -> Iterator[Finding]:
    for section, keys in _SECTIONS.get(name, {}).items():
        there = config.get(section) or {}
        for key in keys:
            value = there.get(key)
            shown = "is set" if value and _SECRET.search(key) else repr(value)
            state = OK if value else MISSING
            way = "" if value else f"say it in Lithops' configuration: {section}: {{{key}: ...}}"
            yield Finding(f"{section}.{key}", state, shown if value else "is not set", way)


def _storage_answers(config: dict[str, Any], backend: str) -> Finding:
    """Asks the storage for its bucket: a listing, nothing is written."""
    try:
        from lithops.config import default_storage_config, extract_storage_config
        from lithops.storage import Storage

        if "daybreak" in (backend, (config.get("lithops") or {}).get("storage")):
            return Finding("storage", OK, "files of this machine")
        full = default_storage_config(config_data=config)
        storage = Storage(storage_config=extract_storage_config(full))
        storage.list_keys(storage.bucket, prefix="lithops.jobs/none-of-this-name")
    except Exception as error:
        return Finding("storage", MISSING, f"{type(error).__name__}: {_without_secrets(str(error), config)}"[:300],
                       "look at the bucket's name, the credentials and the endpoint")  # fmt: skip
    return Finding("storage", OK, f"the bucket {storage.bucket!r} answers")


def _without_secrets(text: str, config: Any) -> str:
    """No value of a key that may be a secret is in it."""
    if isinstance(config, dict):
        for key, value in config.items():
            if isinstance(value, dict):
                text = _without_secrets(text, value)
            elif isinstance(value, str) and len(value) > 3 and _SECRET.search(str(key)):
                text = text.replace(value, "***")
    return text


def _of_cloud(backend: str, config: dict[str, Any]) -> Iterator[Finding]:
    if backend in ("localhost", "daybreak"):
        yield Finding("quotas", OK, f"this machine: {os.cpu_count()} CPUs")
        return
    if not backend.startswith("aws") or not _there("boto3"):
        yield Finding(
            "permissions and quotas",
            UNKNOWN,
            f"{backend}: look at them in its console",
            "a call of its own tells the rest",
        )
        return
    keys = config.get("aws") or {}
    try:
        import boto3.session
        from botocore.config import Config

        session = boto3.session.Session(
            aws_access_key_id=keys.get("access_key_id"),
            aws_secret_access_key=keys.get("secret_access_key"),
            aws_session_token=keys.get("session_token"),
            region_name=keys.get("region") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
        )
        quick = Config(connect_timeout=5, read_timeout=10, retries={"max_attempts": 1})
        who = session.client("sts", config=quick).get_caller_identity()["Arn"]
        yield Finding("credentials", OK, str(who))
        if backend == "aws_lambda":
            limits = session.client("lambda", config=quick).get_account_settings()["AccountLimit"]
            yield Finding("quotas", OK, f"{limits['ConcurrentExecutions']} calls at the same time")
    except Exception as error:
        way = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; sts:GetCallerIdentity and lambda:GetAccountSettings"
        yield Finding("credentials", MISSING, type(error).__name__, way)

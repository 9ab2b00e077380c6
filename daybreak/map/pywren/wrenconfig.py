"""PyWren's configuration: a YAML file, or what stands here."""

from __future__ import annotations

import copy
import os
import sys
from typing import Any

from daybreak.base import paths
from daybreak.base.errors import InvalidArgumentError

__all__ = [
    "MAX_AGG_DATA_SIZE",
    "default",
    "default_runtime",
    "extract_storage_config",
    "get_default_config_filename",
    "get_default_home_filename",
    "load",
    "patch_storage_config",
]

MAX_AGG_DATA_SIZE = 4e6
AWS_REGION_DEFAULT = "us-west-2"
AWS_S3_BUCKET_DEFAULT = "pywren.data"
AWS_S3_PREFIX_DEFAULT = "pywren.jobs"
DEFAULT_KEY_NAME = "PYWREN_DEFAULT_KEY"
_MAX_CONFIG_BYTES = 1 << 20
_HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"

default_runtime = {
    version: f"pywren.runtimes/default_{version}.meta.json" for version in ("2.7", "3.4", "3.5", "3.6", "3.7", _HERE)
}

_DEFAULTS: dict[str, Any] = {
    "account": {"aws_account_id": "", "aws_lambda_role": "pywren_exec_role", "aws_region": AWS_REGION_DEFAULT},
    "lambda": {"memory": 1536, "timeout": 300, "function_name": "pywren1"},
    "s3": {"bucket": AWS_S3_BUCKET_DEFAULT, "pywren_prefix": AWS_S3_PREFIX_DEFAULT},
    "runtime": {"s3_bucket": "", "s3_key": default_runtime[_HERE]},
    "scheduler": {"map_item_limit": 10000},
    "standalone": {
        "ec2_instance_type": "m4.large",
        "sqs_queue_name": "pywren-queue",
        "visibility": 10,
        "ec2_ssh_key": None,
        "target_ami": "",
        "instance_name": "pywren-standalone",
        "instance_profile_name": "pywren-standalone",
        "max_idle_time": 60,
        "idle_terminate_granularity": 3600,
    },
}


def load(config_filename: Any) -> dict[str, Any]:
    """The configuration in a file; sections that it leaves out are the default ones.

    Raises:
        InvalidArgumentError: it is no YAML mapping of mappings; or its bucket was never filled in.
    """
    import yaml

    try:
        found = yaml.safe_load(paths.read(config_filename, _MAX_CONFIG_BYTES))
    except yaml.YAMLError as error:
        raise InvalidArgumentError(f"{config_filename}: no YAML: {error}") from None
    if not isinstance(found, dict) or not all(isinstance(found.get(name) or {}, dict) for name in _DEFAULTS):
        raise InvalidArgumentError(
            f"{config_filename}: sections (account, lambda, s3, runtime, ...) of `name: value` are expected"
        )
    config = {name: {**section, **(found.get(name) or {})} for name, section in copy.deepcopy(_DEFAULTS).items()}
    config = {**found, **config}
    if config["s3"]["bucket"] == "BUCKET_NAME":
        raise InvalidArgumentError(
            f"{config_filename} has bucket name as BUCKET_NAME -- make sure you change the default bucket"
        )
    if config["standalone"]["ec2_ssh_key"] == DEFAULT_KEY_NAME:
        config["standalone"]["ec2_ssh_key"] = None
    return config if "storage_backend" in config else patch_storage_config(config)


def get_default_home_filename() -> str:
    return os.path.join(os.path.expanduser("~/.pywren_config"))


def get_default_config_filename() -> str:
    """PYWREN_CONFIG_FILE, else ./.pywren_config, else ~/.pywren_config."""
    if "PYWREN_CONFIG_FILE" in os.environ:
        return os.environ["PYWREN_CONFIG_FILE"]
    if os.path.exists(".pywren_config"):
        return os.path.abspath(".pywren_config")
    return get_default_home_filename()


def patch_storage_config(config_data: dict[str, Any]) -> dict[str, Any]:
    if "storage_backend" in config_data:
        raise InvalidArgumentError("storage_backend is already in the config")
    patched = copy.deepcopy(config_data)
    patched["storage_backend"] = "s3"
    patched["storage_prefix"] = config_data["s3"]["pywren_prefix"]
    patched["runtime"]["runtime_storage"] = "s3"
    return patched


def default() -> dict[str, Any]:
    """The configuration of the file that there is; without one, the default: calls then run on this machine, and need none.

    >>> default()["s3"]["bucket"] != ""
    True
    """
    name = get_default_config_filename()
    if "PYWREN_CONFIG_FILE" in os.environ or os.path.exists(name):
        return load(name)
    return patch_storage_config(_DEFAULTS)


def extract_storage_config(config: dict[str, Any]) -> dict[str, Any]:
    found = {"storage_backend": config["storage_backend"], "storage_prefix": config["storage_prefix"]}
    if found["storage_backend"] == "s3":
        found["backend_config"] = {"bucket": config["s3"]["bucket"], "region": config["account"]["aws_region"]}
    return found

"""Prices of functions and storages: public list prices, to be replaced by whoever has others.

A table maps a compute back end of Lithops to a `Price`. `DATE` says when these were written down, `source` where each is published;
nothing is looked up. Free tiers, taxes, traffic out of a region and discounts are not in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from daybreak.base import numbers, paths
from daybreak.base.errors import InvalidArgumentError

__all__ = ["DATE", "PRICES", "Price", "table_of"]

DATE = "2025-01"  # of these figures, from memory of the pages named: check them before you rely on one
CURRENCY = "USD"


@dataclass(frozen=True)
class Price:
    """Of one back end: per GB and second, per million calls, per thousand reads and writes of its storage, and per call at least
    so many milliseconds are charged."""

    gb_second: float
    million_calls: float
    thousand_reads: float
    thousand_writes: float
    least_ms: float = 1.0
    source: str = "given by the user"


PRICES: dict[str, Price] = {
    "aws_lambda": Price(
        1.66667e-5, 0.20, 0.0004, 0.005, 1, "aws.amazon.com/lambda/pricing, aws.amazon.com/s3/pricing (us-east-1)"
    ),
    "gcp_functions": Price(
        1.65e-5, 0.40, 0.0004, 0.005, 100, "cloud.google.com/functions/pricing (tier 1, 2 GB with its CPU)"
    ),
    "gcp_cloudrun": Price(1.4e-5, 0.40, 0.0004, 0.005, 100, "cloud.google.com/run/pricing (1 vCPU for 2 GB)"),
    "azure_functions": Price(
        1.6e-5, 0.20, 0.0004, 0.005, 100, "azure.microsoft.com/pricing/details/functions (consumption)"
    ),
    "ibm_cf": Price(1.7e-5, 0.0, 0.0004, 0.005, 100, "cloud.ibm.com/functions/learn/pricing"),
    "code_engine": Price(1.89e-5, 0.538, 0.0004, 0.005, 100, "cloud.ibm.com/docs/codeengine (1 vCPU for 4 GB)"),
    "aliyun_fc": Price(1.6384e-5, 0.20, 0.0001, 0.0016, 1, "alibabacloud.com/product/function-compute/pricing"),
    "oracle_f": Price(1.417e-5, 0.20, 0.00034, 0.00034, 1, "oracle.com/cloud/price-list"),
    **{
        name: Price(0.0, 0.0, 0.0, 0.0, 0, "your own machines")
        for name in ("localhost", "daybreak", "singularity", "knative", "k8s", "openwhisk", "vm")
    },
}


def table_of(given: Any) -> dict[str, Price]:
    """PRICES with what is given in its place: a mapping of back ends to the fields of a Price, or the path of a JSON file with one.

    >>> table_of({"aws_lambda": {"gb_second": 1.5e-5}})["aws_lambda"].gb_second
    1.5e-05
    >>> table_of({"aws_lambda": {"gb_hour": 1}})
    Traceback (most recent call last):
        ...
    daybreak.base.errors.InvalidArgumentError: prices: aws_lambda.gb_hour is no field of a price: gb_second, million_calls, \
thousand_reads, thousand_writes, least_ms, source
    """
    if given is None:
        return dict(PRICES)
    if not isinstance(given, Mapping):
        import json

        try:
            given = json.loads(paths.read(paths.given(given, "prices"), 1 << 20))
        except ValueError as error:
            raise InvalidArgumentError(f"prices: {error}: a JSON object of back ends expected") from None
        if not isinstance(given, Mapping):
            raise InvalidArgumentError("prices: a JSON object of back ends expected")
    known = [field.name for field in fields(Price)]
    table = dict(PRICES)
    for name, said in given.items():
        if isinstance(said, Price):
            table[name] = said
            continue
        if not isinstance(said, Mapping):
            raise InvalidArgumentError(f"prices: {name}={said!r}: a mapping of {', '.join(known)} expected")
        values: dict[str, Any] = {}
        for key, value in said.items():
            if key not in known:
                raise InvalidArgumentError(f"prices: {name}.{key} is no field of a price: {', '.join(known)}")
            values[key] = (
                str(value) if key == "source" else numbers.real(value, f"prices: {name}.{key}", minimum=0, finite=True)
            )
        base = table.get(name)
        below = {key: getattr(base, key) for key in known[:-1]} if base else {}
        try:
            table[name] = Price(**{**below, **values})
        except TypeError:
            missing = [key for key in known[:4] if key not in values]
            raise InvalidArgumentError(f"prices: {name}: {', '.join(missing)} is missing") from None
    return table

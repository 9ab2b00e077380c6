"""What a program says of itself as a whole, in Ray's form."""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs 5 ms of what `import daybreak` may
if TYPE_CHECKING:
    from typing import Any

__all__ = ["JobConfig", "LoggingConfig"]


class LoggingConfig:
    """`init(logging_config=LoggingConfig(...))`: how Ray's own log looks. There is none here, so it has no effect; the values are
    looked at all the same."""

    def __init__(
        self, encoding: str = "TEXT", log_level: str = "INFO", additional_log_standard_attrs: list[str] | None = None
    ) -> None:
        if encoding not in ("TEXT", "JSON"):
            raise ValueError(f"Invalid encoding type: {encoding}. Valid encoding types are: ['JSON', 'TEXT']")
        self.encoding = encoding
        self.log_level = log_level
        self.additional_log_standard_attrs = additional_log_standard_attrs or []


class JobConfig:
    """`init(job_config=JobConfig(runtime_env=..., ray_namespace=...))`. `metadata`, `code_search_path` and what is of Java have
    no effect here."""

    def __init__(
        self,
        jvm_options: list[str] | None = None,
        code_search_path: list[str] | None = None,
        runtime_env: dict[str, Any] | None = None,
        metadata: dict[str, str] | None = None,
        ray_namespace: str | None = None,
        default_actor_lifetime: str = "non_detached",
    ) -> None:
        if default_actor_lifetime not in ("non_detached", "detached"):
            raise ValueError(
                f"default_actor_lifetime={default_actor_lifetime!r}: 'non_detached' or 'detached' expected"
            )
        self.jvm_options = jvm_options or []
        self.code_search_path = code_search_path or []
        self.runtime_env = runtime_env
        self.metadata = metadata or {}
        self.ray_namespace = ray_namespace
        self.default_actor_lifetime = default_actor_lifetime

    def set_runtime_env(self, runtime_env: dict[str, Any] | None, validate: bool = False) -> None:
        from . import env

        self.runtime_env = env.checked("runtime_env", runtime_env or {})

    def set_ray_namespace(self, ray_namespace: str) -> None:
        self.ray_namespace = ray_namespace

    def set_metadata(self, key: str, value: str) -> None:
        self.metadata[key] = value

"""PyWren's logging: `default_config("INFO")` shows what an executor does."""

from __future__ import annotations

import logging.config

__all__ = ["default_config"]


def default_config(log_level: str = "INFO") -> None:
    """All loggers of this process write to the standard error, from this level on."""
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"standard": {"format": "%(asctime)s [%(levelname)s] %(name)s: %(message)s"}},
            "handlers": {"default": {"level": log_level, "class": "logging.StreamHandler", "formatter": "standard"}},
            "loggers": {"": {"handlers": ["default"], "level": log_level, "propagate": True}},
        }
    )

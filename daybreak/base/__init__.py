"""The ground floor: errors, and the clock, files, log and metrics that the C++ rooms share."""

from daybreak.base.errors import Error

__all__ = ["Error"]

"""Which PyWren this is the surface of."""

__all__ = ["__version__"]
__version__ = "0.4.0"

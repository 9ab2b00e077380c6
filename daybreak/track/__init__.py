"""Record every run, keep its data."""

__all__: list[str] = []

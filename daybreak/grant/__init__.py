"""Who may do what, with no server in the middle."""

__all__: list[str] = []

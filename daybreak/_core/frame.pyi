def greeting(name: str) -> str:
    """A greeting. InvalidArgumentError unless the name has 1 to 100 bytes."""

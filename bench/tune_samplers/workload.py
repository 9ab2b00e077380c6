"""What is minimised. Standard library only."""

LOW, HIGH = -5.0, 5.0


def names(dims: int) -> list[str]:
    return [f"x{k:02d}" for k in range(dims)]


def losses(values: list[float], objectives: int) -> list[float]:
    first = sum((value - 1.5) * (value - 1.5) for value in values)
    return [first] if objectives == 1 else [first, sum((value + 1.5) * (value + 1.5) for value in values)]


def evaluations(quick: bool) -> int:
    return 5_000 if quick else 100_000

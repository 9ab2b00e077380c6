"""Ten lines that run on a laptop and, unchanged, as a Ray job: every core of the cluster counts points in a circle."""

import random
import sys

import daybreak

daybreak.init(sys.argv[1] if len(sys.argv) > 1 else None)  # "auto" in a job; nothing: this machine's own cores


@daybreak.remote
def inside(points: int) -> int:
    return sum(random.random() ** 2 + random.random() ** 2 < 1 for _ in range(points))


print(f"pi is near {4 * sum(daybreak.get([inside.remote(100_000) for _ in range(40)])) / 4_000_000:.2f}")

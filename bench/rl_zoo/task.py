"""The Zoo's settings: whether agents learn what Stable-Baselines3's do. A value is a return, the median of three or five seeds."""

from bench.rl_zoo.settings import LONG, RUNS, WORST, ZOO
from bench.rows import Row


def row(name: str) -> Row:
    algo, env, steps, _ = RUNS[name]
    what = f"{algo} on {env}, {steps:,} steps: "
    if name in ZOO:
        mean, deviation = ZOO[name]
        what += f"the return; at least the Zoo's {mean:.4g} less its deviation of {deviation:.3g}"
        return Row(name, "return", "higher", what, must_value=mean - deviation, rounds=1, long=name in LONG)
    what += f"the return above {WORST[name]:g}; at least that of Stable-Baselines3 less one deviation of its seeds"
    return Row(name, "return", "higher", what, must=1.0, rounds=1, long=name in LONG)


ROWS = [row(name) for name in RUNS]
PEERS = ["sb3"]

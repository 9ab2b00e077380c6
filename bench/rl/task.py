"""Reinforcement learning: environments and training beside the libraries that people use for it."""

from bench.rows import Row

ROWS = [
    Row(
        "cartpole_env_python",
        "steps/s",
        "higher",
        "step(actions) from Python, 64 CartPoles, actions drawn beforehand",
        must=50,
    ),
    Row(
        "cartpole_env_native",
        "steps/s",
        "higher",
        "the same loop in C++, against the peer's loop in Python",
        must=1000,
    ),
]
PEERS = ["gymnasium"]

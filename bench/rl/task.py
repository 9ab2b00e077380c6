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
    Row(
        "ppo_cartpole_100k",
        "steps/s",
        "higher",
        "PPO on CartPole-v1, 100,000 steps, the Zoo's settings on both sides",
        must=12,
        goal=20,
        floors={"mean_return": 475},
        rounds=1,
    ),
    Row(
        "ppo_cartpole_seconds_to_475",
        "s",
        "lower",
        "training until 100 greedy episodes average 475, looked at every 5,000 steps; our best settings, the Zoo's for SB3",
        must=60,
        goal=150,
        rounds=1,
    ),
    Row(
        "ppo_pong_seconds_to_1000",
        "s",
        "lower",
        "training until 100 greedy episodes of Pong average 1,000, looked at every 100,000 steps; the slowest of 5 seeds",
        must_value=6,
        floors={"seeds_reached": 5},
        rounds=1,
    ),
    Row(
        "ppo_pendulum_100k",
        "steps/s",
        "higher",
        "PPO on Pendulum-v1, 100,000 steps, 4 x 1024 steps and 10 epochs of 64 on both sides",
        must=10,
        floors={"mean_return": -250, "worst_return": -250},
        rounds=1,
    ),
    Row(
        "dqn_cartpole",
        "steps/s",
        "higher",
        "DQN on CartPole-v1, 50,000 steps, the Zoo's settings on both sides; seeds_450: our best settings, 5 seeds",
        must=4,
        floors={"seeds_450": 5},
        rounds=1,
    ),
    Row(
        "learner_flops",
        "GFLOP/s",
        "higher",
        "PPO updates of 256-256 nets, minibatch 4096, one thread, beside OpenBLAS' 2048^3 sgemm on one thread",
        must=0.5,
        goal=0.8,
    ),
    Row(
        "policy_infer_batch1",
        "us",
        "lower",
        "one observation to one action through a 64-64 policy, from Python, one thread",
        must=10,
    ),
]
PEERS = ["gymnasium", "sb3", "openblas", "torch"]

"""PyTorch on one thread: the same policy as a module."""

import numpy as np
import torch

from bench.rows import Measure, rate

REQUIREMENTS = ["torch==2.13.0", "numpy>=2"]
QUICK = False


def policy_infer_batch1() -> Measure:
    torch.set_num_threads(1)
    net = torch.nn.Sequential(
        torch.nn.Linear(4, 64), torch.nn.Tanh(), torch.nn.Linear(64, 64), torch.nn.Tanh(), torch.nn.Linear(64, 2)
    )
    observation = np.array([0.01, 0.02, 0.03, 0.04], np.float32)

    def answer() -> int:
        with torch.inference_mode():
            return int(net(torch.from_numpy(observation)).argmax())

    return Measure(1e6 / rate(answer, 0.5, warm_up=100))

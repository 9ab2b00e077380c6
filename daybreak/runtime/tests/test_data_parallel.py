"""A PyTorch loop whose batches are shared out over actors: gradients are averaged by an allreduce, and all end equal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from daybreak.util import collective

import daybreak

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.usefixtures("ray")
RANKS = 2
STEPS = 20
BATCH = 32


def network() -> Any:
    torch.manual_seed(7)
    return torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)).double()


def examples(step: int) -> tuple[Any, Any]:
    random = np.random.default_rng(step)
    inputs = torch.from_numpy(random.normal(size=(BATCH, 8)))
    return inputs, inputs.sum(dim=1, keepdim=True).sin()


def trained(rank: int, ranks: int, average: Any) -> list[Any]:
    """The parameters after all steps, of who sees every `ranks`-th example."""
    torch.set_num_threads(1)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for step in range(STEPS):
        inputs, targets = examples(step)
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(inputs[rank::ranks]), targets[rank::ranks]).backward()
        for parameter in model.parameters():
            average(parameter.grad)
        optimizer.step()
    return [parameter.detach().numpy().copy() for parameter in model.parameters()]


class Trainer:
    def __init__(self, rank: int) -> None:
        self.rank = rank

    def train(self) -> list[Any]:
        collective.init_collective_group(RANKS, self.rank, group_name="trainers")

        def average(gradient: Any) -> None:
            collective.allreduce(gradient, group_name="trainers")
            gradient /= RANKS

        return trained(self.rank, RANKS, average)


def test_parameters_are_equal_on_all_ranks_and_to_one_processs_run(ray: Any) -> None:
    trainers = [daybreak.remote(Trainer).options(num_cpus=0).remote(rank) for rank in range(RANKS)]
    first, second = ray.get([trainer.train.remote() for trainer in trainers], timeout=120)
    for ours, others in zip(first, second, strict=True):
        assert np.array_equal(ours, others)  # to the bit: both have added the same numbers
    alone = trained(0, 1, lambda gradient: None)
    for ours, single in zip(first, alone, strict=True):
        assert np.allclose(ours, single, rtol=1e-9, atol=1e-12)
    begun = [parameter.detach().numpy() for parameter in network().parameters()]
    assert any(not np.allclose(ours, before) for ours, before in zip(first, begun, strict=True))
    for trainer in trainers:
        daybreak.kill(trainer)

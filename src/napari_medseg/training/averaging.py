"""A network that learns beside the running mean of its weights."""

import copy
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import nn

MOMENTUM = 0.9


def optimizer_of(
    groups: Iterable[dict[str, Any]], kind: Literal["adamw", "sgd"], weight_decay: float
) -> torch.optim.Optimizer:
    """Return an optimiser of groups of parameters; the learning rate is set at each step."""
    if kind == "adamw":
        return torch.optim.AdamW(groups, weight_decay=weight_decay)
    return torch.optim.SGD(groups, 0.1, MOMENTUM, weight_decay=weight_decay, nesterov=True)


class Averaged:
    """A network, its optimiser, and the running mean of its weights, which is scored and kept.

    Parameters
    ----------
    network : nn.Module
        On its device.
    optimizer : torch.optim.Optimizer
        Of its parameters.
    decay : float
        Of the mean per step; 0 makes it the last weights.
    """

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer, decay: float) -> None:
        self.network, self._optimizer, self._decay = network, optimizer, decay
        self.mean = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def average(self, number: int) -> None:
        """Take the weights after `number` steps before this one into the mean."""
        # Early on the mean is over few steps, or the random beginning would last.
        decay = min(self._decay, (1 + number) / (10 + number))
        for own, other in zip(self.mean.state_dict().values(), self.network.state_dict().values(), strict=True):
            if own.is_floating_point():
                own.lerp_(other, 1 - decay)
            else:
                own.copy_(other)

    def state_dict(self) -> dict[str, Any]:
        """Return weights, their running mean and the optimiser's state."""
        return {
            "network": self.network.state_dict(),
            "mean": self.mean.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned, bit for bit."""
        self.network.load_state_dict(state["network"])
        self.mean.load_state_dict(state["mean"])
        self._optimizer.load_state_dict(state["optimizer"])

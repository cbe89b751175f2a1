"""A network that learns beside the running mean of its weights."""

import copy
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from napari_medseg import processes

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
        Of its parameters; a group may have a ``share`` of the learning rate.
    decay : float
        Of the mean per step; 0 makes it the last weights.
    """

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer, decay: float) -> None:
        self.network, self._optimizer, self._decay = network, optimizer, decay
        self.mean = copy.deepcopy(network).eval().requires_grad_(False)

    def begin(self, rate: float) -> None:
        """Forget the last gradients, and set the learning rate of each group: `rate` times its ``share``."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group.get("share", 1.0)
        self._optimizer.zero_grad(set_to_none=True)

    def descend(self, loss: torch.Tensor, clip: float, number: int) -> torch.Tensor:
        """Take a step down the mean gradient of all processes, and return the loss; nothing if one of them has none.

        Parameters
        ----------
        loss : scalar tensor
            Of this process's images.
        clip : float
            Largest norm of the gradient; longer ones are shortened.
        number : int
            Steps taken before.
        """
        [broken] = processes.any_of(not bool(torch.isfinite(loss)))
        if not broken:
            loss.backward()  # type: ignore[no-untyped-call]
            processes.average_gradients(self.network.parameters())
            processes.average_statistics(m for m in self.network.modules() if isinstance(m, _BatchNorm) and m.training)
            nn.utils.clip_grad_norm_(self.network.parameters(), clip)
            self._optimizer.step()
            self.average(number)
        return loss.detach()

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

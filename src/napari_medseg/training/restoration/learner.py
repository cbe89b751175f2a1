"""A network that gives images, and how it takes a step."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from napari_medseg import processes
from napari_medseg.device import compute_dtype
from napari_medseg.models.nets.subpixel import SubpixelNetwork
from napari_medseg.models.nets.unrolled import UnrolledNetwork
from napari_medseg.training.clock import clock_of
from napari_medseg.training.restoration.config import RestorationConfig
from napari_medseg.training.restoration.pairs import Batch, Pairs

LONGEST = 1.0
"""Largest norm of a gradient; longer ones are shortened."""
BEFORE = 4
"""Batches that tell how much there is to learn."""


class Learner:
    """Network and optimiser.

    Parameters
    ----------
    network : SubpixelNetwork or UnrolledNetwork
        With fresh or loaded weights.
    config : RestorationConfig
        How to learn.
    device : torch.device
        Where.
    squared : bool
        Whether large errors count more. Learning from noisy answers needs it: their mean is what is right.
    """

    def __init__(
        self, network: nn.Module, config: RestorationConfig, device: torch.device, squared: bool = False
    ) -> None:
        assert isinstance(network, SubpixelNetwork | UnrolledNetwork)
        self.network, self.device, self.squared = network.to(device).train(), device, squared
        self.clock = clock_of(config.clock)
        self._dtype = compute_dtype(config.precision, device)
        self._scaler = torch.GradScaler(device.type, enabled=self._dtype is torch.float16)
        self._optimizer = torch.optim.Adam(network.parameters(), config.learning_rate, betas=(0.9, 0.99))

    def calibrate(self, pairs: Pairs) -> float:
        """Set how large the answers of the blocks are, from what the linear part leaves; return seconds per batch."""
        rest, seconds = [], []
        with torch.inference_mode():
            for step in range(BEFORE):
                inputs, targets, _ = self._tensors(pairs.batch(step, processes.rank()))
                started = self.clock()
                with self._autocast():
                    answers = self.network(inputs)
                rest.append((targets - middle_of(answers, targets)).square().mean())
                seconds.append(self.clock() - started)
            each = processes.total(torch.stack(rest).mean()) / processes.count()
            self.network.gain.fill_(max(math.sqrt(float(each)), 1e-6))
        return sum(seconds[1:]) / (BEFORE - 1)

    def step(self, batch: Batch, rate: float) -> torch.Tensor:
        """Take a step, and return the loss: the mean error over that of the linear part at the start, or its square."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        inputs, targets, weights = self._tensors(batch)
        with self._autocast():
            answers = self.network(inputs)
        error = (middle_of(answers, targets).float() - targets) / self.network.gain
        each = error.square() if self.squared else error.abs()
        loss = each.mean() if weights is None else (each * weights).sum() / weights.sum().clamp_min(1)
        self._optimizer.zero_grad(set_to_none=True)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        processes.average_gradients(self.network.parameters())
        self._scaler.unscale_(self._optimizer)
        nn.utils.clip_grad_norm_(self.network.parameters(), LONGEST)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        result: torch.Tensor = loss.detach()
        return result

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=self._dtype, enabled=self._dtype is not torch.float32)

    def _tensors(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        inputs, targets = (torch.from_numpy(part).to(self.device) for part in (batch.inputs, batch.targets))
        if inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        weights = None if batch.weights is None else torch.from_numpy(batch.weights).to(self.device)
        return inputs, targets, weights

    def state_dict(self) -> dict[str, Any]:
        """Return the state, for a checkpoint."""
        return {"network": self.network.state_dict(), "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, content: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.network.load_state_dict(content["network"])
        self._optimizer.load_state_dict(content["optimizer"])


def middle_of(answers: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the part of (pair, 1, ...) answers that targets are known for, which is in their middle."""
    sizes = zip(answers.shape[2:], targets.shape[2:], strict=True)
    middle = tuple(slice((every - known) // 2, (every + known) // 2) for every, known in sizes)
    return answers[(slice(None), slice(None), *middle)]

"""A network that learns: one step at a time, in the number format and within the memory of its device."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from napari_medseg.data.patches import TAUGHT
from napari_medseg.device import compute_dtype, release_memory
from napari_medseg.inference.network import is_out_of_memory
from napari_medseg.models import ModelSpec
from napari_medseg.models.registry import build
from napari_medseg.tasks import UNLABELLED, Task
from napari_medseg.training.config import TrainConfig

WIDE = 32
"""From this many channels on, channels-last order is faster also with instance normalisation, which dislikes it."""


class NoMemory(Exception):  # noqa: N818 - told apart by the loop, never shown
    """A step did not fit into the device's memory; nothing was changed by it."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Patches for one step."""

    image: torch.Tensor
    """(batch, channel, z, y, x) float32, without z for a network that takes planes."""
    target: torch.Tensor
    """(batch, z, y, x) int64 class indices, -1 where unlabelled, more by `TAUGHT` where a teacher said so, without z
    for a network that takes planes."""


class Learner:
    """A network with its optimiser.

    Parameters
    ----------
    spec : ModelSpec
        What to build; the initial weights follow from the seed.
    task : Task
        Gives the loss.
    config : TrainConfig
        How to learn.
    device : torch.device
        Where.
    """

    def __init__(self, spec: ModelSpec, task: Task, config: TrainConfig, device: torch.device) -> None:
        self._task, self._config, self.device = task, config, device
        self._dtype = compute_dtype(config.precision, device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.network = build(spec)
        self.network.to(device).train()
        self._layout = _layout(self.network, spec)
        self.network.to(memory_format=self._layout)
        self._batch_norms = [m for m in self.network.modules() if "BatchNorm" in type(m).__name__]
        self._optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )

    def step(
        self, batch: Batch, learning_rate: float, number: int, settled: bool = False, teacher: float = 0.0
    ) -> torch.Tensor:
        """Take a step and return its scalar loss, on the device.

        Parameters
        ----------
        batch : Batch
            Patches.
        learning_rate : float
            Of this step.
        number : int
            Steps taken before.
        settled : bool
            Whether batch normalisation uses its running statistics instead of the batch's, and keeps them.
        teacher : float
            Weight of what a teacher labelled.

        Raises
        ------
        NoMemory
            If the batch is too large for the device.
        """
        # Dropout and its like follow from the step alone, so that a resumed run repeats them.
        torch.manual_seed(int(np.random.SeedSequence([self._config.seed, number]).generate_state(1)[0]))
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        for module in self._batch_norms:
            module.train(not settled)
        try:
            loss = self._backward(batch, teacher)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            loss = None
        # Only now that the error is gone are its frames, and the tensors in them.
        if loss is None:
            self._optimizer.zero_grad(set_to_none=True)
            release_memory(self.device)
            raise NoMemory
        nn.utils.clip_grad_norm_(self.network.parameters(), self._config.gradient_clip)
        self._optimizer.step()
        return loss

    def _loss(self, logits: torch.Tensor, target: torch.Tensor, teacher: float) -> torch.Tensor:
        """Return the loss on what was painted, and, weighed by `teacher`, on that and what a teacher said."""
        taught = target >= TAUGHT
        if not taught.any():
            return self._task.loss(logits, target)
        painted = self._task.loss(logits, target.masked_fill(taught, UNLABELLED))
        return painted + teacher * self._task.loss(logits, torch.where(taught, target - TAUGHT, target))

    def _backward(self, batch: Batch, teacher: float) -> torch.Tensor:
        self._optimizer.zero_grad(set_to_none=True)
        image = batch.image.to(self.device, non_blocking=True).contiguous(memory_format=self._layout)
        target = batch.target.to(self.device, non_blocking=True)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._dtype is torch.bfloat16):
            logits = self.network(image)
        loss = self._loss(logits, target, teacher)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        """Return weights and optimiser state."""
        return {"network": self.network.state_dict(), "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned, bit for bit."""
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])


def _layout(network: nn.Module, spec: ModelSpec) -> torch.memory_format:
    """Return the order in memory in which the network is faster."""
    first = next((p.shape[0] for p in network.parameters() if p.ndim == spec.dims + 2), 0)
    instance_norm = any("InstanceNorm" in type(module).__name__ for module in network.modules())
    if instance_norm and first < WIDE:
        return torch.contiguous_format
    return torch.channels_last_3d if spec.dims == 3 else torch.channels_last

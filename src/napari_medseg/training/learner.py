"""A network that learns: one step at a time, in the number format and within the memory of its device."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from napari_medseg import processes
from napari_medseg.data.patches import TAUGHT
from napari_medseg.device import compute_dtype, release_memory
from napari_medseg.inference.network import is_out_of_memory
from napari_medseg.models import ModelSpec
from napari_medseg.models.anatomy import Part, head_axes, parts
from napari_medseg.models.registry import build
from napari_medseg.tasks import UNLABELLED, Task
from napari_medseg.training.config import TrainConfig

Done = TypeVar("Done")
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


@dataclass(frozen=True)
class Pace:
    """What learns at a step, and how fast."""

    learning_rate: float
    settled: bool = False
    """Whether batch normalisation uses its running statistics instead of the batch's, and keeps them."""
    frozen: frozenset[Part] = frozenset()
    """Parts of a network from another model that stay as they are."""


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
    fresh : collection of str, optional
        Of a network that starts from another model: parameters that do not, which learn at the full rate. None if all
        is new.
    """

    def __init__(
        self,
        spec: ModelSpec,
        task: Task,
        config: TrainConfig,
        device: torch.device,
        fresh: Collection[str] | None = None,
    ) -> None:
        self._task, self._config, self.device = task, config, device
        self._dtype = compute_dtype(config.precision, device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.network = build(spec)
        self.network.to(device).train()
        self._layout = layout_of(self.network, spec)
        self.network.to(memory_format=self._layout)
        self._parts: dict[str, Part] = parts(spec) if fresh is not None and config.freeze != "none" else {}
        self._batch_norms = {name: m for name, m in self.network.named_modules() if "BatchNorm" in type(m).__name__}
        self._optimizer = _optimizer(self.network, config, fresh)
        if config.dropout:
            _drop_before_head(self.network, spec, config.dropout)

    def step(self, batch: Batch, pace: Pace, number: int) -> torch.Tensor:
        """Take a step and return its scalar loss, on the device.

        Parameters
        ----------
        batch : Batch
            Patches.
        pace : Pace
            What learns how fast.
        number : int
            Steps taken before.

        Raises
        ------
        NoMemory
            If the batch is too large for the device.
        """
        # Dropout and its like follow from the step alone, so that a resumed run repeats them.
        seed = [self._config.seed, number, *([processes.rank()] if processes.rank() else [])]
        torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        self._prepare(pace)
        loss = self._attempt(batch)
        # Only now that the attempt is over are its tensors gone.
        if loss is None:
            self._optimizer.zero_grad(set_to_none=True)
            release_memory(self.device)
            raise NoMemory
        processes.average_gradients(self.network.parameters())
        processes.average_statistics(self._batch_norms.values())
        nn.utils.clip_grad_norm_(self.network.parameters(), self._config.gradient_clip)
        self._optimizer.step()
        return loss

    def _prepare(self, pace: Pace) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = pace.learning_rate * group["share"]
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(self._parts.get(name) not in pace.frozen)
        for name, module in self._batch_norms.items():
            module.train(not pace.settled and self._parts.get(f"{name}.weight") not in pace.frozen)

    def _deep_loss(self, outputs: object, target: torch.Tensor) -> torch.Tensor:
        """Return the loss of a network's outputs: of each half as much as of the next finer one."""
        total: torch.Tensor | None = None
        found = at_resolutions(outputs, target)
        for level, logits in enumerate(found):
            # At full size, as strokes would get lost at a coarser one.
            if logits.shape[2:] != target.shape[1:]:
                mode = "trilinear" if logits.ndim == 5 else "bilinear"
                logits = functional.interpolate(logits.float(), target.shape[1:], mode=mode)
            part = self._loss(logits, target) * 2.0**-level
            total = part if total is None else total + part
        assert total is not None
        return total / sum(2.0**-level for level in range(len(found)))

    def _loss(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss on what was painted, and where a teacher said more, also on both together."""
        taught = target >= TAUGHT
        # Several processes must ask the same of each other.
        if not any(processes.any_of(bool(taught.any()))):
            return self._task.loss(logits, target)
        painted = self._task.loss(logits, target.masked_fill(taught, UNLABELLED))
        return painted + self._task.loss(logits, torch.where(taught, target - TAUGHT, target))

    def _attempt(self, batch: Batch) -> torch.Tensor | None:
        """Return the loss once its gradients are there; None if the memory of any process is too small."""
        outputs = _unless_out_of_memory(lambda: self._forward(batch))
        if any(processes.any_of(outputs is None)):
            return None
        loss = _unless_out_of_memory(lambda: self._backward(outputs, batch))
        return None if any(processes.any_of(loss is None)) else loss

    def _forward(self, batch: Batch) -> object:
        self._optimizer.zero_grad(set_to_none=True)
        image = batch.image.to(self.device, non_blocking=True).contiguous(memory_format=self._layout)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._dtype is torch.bfloat16):
            outputs: object = self.network(image)
        return outputs

    def _backward(self, outputs: object, batch: Batch) -> torch.Tensor:
        loss = self._deep_loss(outputs, batch.target.to(self.device, non_blocking=True))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        """Return weights and optimiser state."""
        return {"network": self.network.state_dict(), "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned, bit for bit."""
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])


def _unless_out_of_memory(work: Callable[[], Done]) -> Done | None:
    """Return what `work` does, or None if memory did not suffice for it."""
    try:
        return work()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    return None


def _optimizer(network: nn.Module, config: TrainConfig, fresh: Collection[str] | None) -> torch.optim.Optimizer:
    """Return the optimiser; its groups know their share of the learning rate."""
    named = dict(network.named_parameters())
    new = [p for name, p in named.items() if fresh is None or name in fresh]
    old = [p for name, p in named.items() if fresh is not None and name not in fresh]
    groups = [{"params": new, "share": 1.0}, {"params": old, "share": config.body_rate}]
    filled = [group for group in groups if group["params"]]
    if config.optimizer == "sgd":
        nesterov = config.momentum > 0
        return torch.optim.SGD(
            filled, config.learning_rate, config.momentum, weight_decay=config.weight_decay, nesterov=nesterov
        )
    return torch.optim.AdamW(filled, lr=config.learning_rate, weight_decay=config.weight_decay)


def _drop_before_head(network: nn.Module, spec: ModelSpec, share: float) -> None:
    """Let channels drop out of what enters each output layer, while the network trains."""
    drop = functional.dropout3d if spec.dims == 3 else functional.dropout2d
    # Under several names one layer is still one; one between classes and classes has no features to drop.
    names = [name for name, axes in head_axes(spec).items() if name.endswith("weight") and len(axes) == 1]
    for module in {network.get_submodule(name.rpartition(".")[0]) for name in names}:
        module.register_forward_pre_hook(lambda m, inputs: (drop(inputs[0], share, m.training), *inputs[1:]))


def at_resolutions(outputs: object, target: torch.Tensor) -> list[torch.Tensor]:
    """Return the logits of a network's outputs, finest first.

    Parameters
    ----------
    outputs : tensor or sequence of tensors
        What the network returned.
    target : (batch, [z,] y, x) tensor
        Of as many axes as the labels have.
    """
    if isinstance(outputs, torch.Tensor):
        # Some networks of MONAI stack the outputs of all resolutions behind the batch.
        return list(outputs.unbind(1)) if outputs.ndim > target.ndim + 1 else [outputs]
    assert isinstance(outputs, list | tuple)
    return list(outputs)


def layout_of(network: nn.Module, spec: ModelSpec) -> torch.memory_format:
    """Return the order in memory in which the network is faster."""
    first = next((p.shape[0] for p in network.parameters() if p.ndim == spec.dims + 2), 0)
    instance_norm = any("InstanceNorm" in type(module).__name__ for module in network.modules())
    if instance_norm and first < WIDE:
        return torch.contiguous_format
    return torch.channels_last_3d if spec.dims == 3 else torch.channels_last

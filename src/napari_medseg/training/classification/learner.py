"""A classifier that learns, with the running mean of its weights."""

import copy
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from napari_medseg.device import compute_dtype
from napari_medseg.models import ModelSpec
from napari_medseg.models.pretrained import head_names
from napari_medseg.tasks.kinds.classification import Classification
from napari_medseg.training.classification.augment import Change, changed, mixed
from napari_medseg.training.classification.config import ClassificationConfig

MOMENTUM = 0.9


class ClassifierLearner:
    """A network with its optimiser and the running mean of its weights.

    Parameters
    ----------
    network : nn.Module
        As it begins; changed in place.
    spec : ModelSpec
        Of the network.
    config : ClassificationConfig
        How to learn.
    task : Classification
        Gives the loss.
    device : torch.device
        Where.
    pretrained : bool
        Whether all but the last layer has learnt before.
    """

    def __init__(
        self,
        network: nn.Module,
        spec: ModelSpec,
        config: ClassificationConfig,
        task: Classification,
        device: torch.device,
        pretrained: bool,
    ) -> None:
        self.device, self._config, self._task, self._classes = device, config, task, len(spec.classes)
        self._dtype = compute_dtype(config.precision, device)
        layout = torch.channels_last_3d if spec.dims == 3 else torch.channels_last
        self.network = network.to(device).to(memory_format=layout)
        self.mean = copy.deepcopy(self.network).eval().requires_grad_(False)
        head = head_names(spec)
        self._body = [p for name, p in self.network.named_parameters() if name not in head]
        last = [p for name, p in self.network.named_parameters() if name in head]
        self._body_rate = config.body_rate if pretrained else 1.0
        groups = [{"params": last}, {"params": self._body}]
        if config.optimizer == "adamw":
            self._optimizer: torch.optim.Optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
        else:
            self._optimizer = torch.optim.SGD(groups, 0.1, MOMENTUM, weight_decay=config.weight_decay, nesterov=True)

    def step(self, images: torch.Tensor, labels: torch.Tensor, rate: float, number: int, frozen: bool) -> torch.Tensor:
        """Take a step and return its scalar loss, on the device.

        Parameters
        ----------
        images : (image, channel, [z,] y, x) tensor
            As they are, before augmentation.
        labels : (image,) int64 tensor
            Class indices.
        rate : float
            Learning rate of the last layer.
        number : int
            Steps taken before.
        frozen : bool
            Whether the last layer alone learns.
        """
        config = self._config
        seed = int(np.random.SeedSequence([config.seed, number]).generate_state(1)[0])
        torch.manual_seed(seed)
        rng = torch.Generator().manual_seed(seed)
        target = functional.one_hot(labels, self._classes).float()
        batch = changed(images.float(), Change.of(config), rng)
        batch, target = mixed(batch, target, config.mixup, rng)
        self._prepare(rate, frozen)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._dtype is torch.bfloat16):
            logits = self.network(batch.to(self.device))
        loss = self._task.loss(logits, target.to(self.device))
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), config.gradient_clip)
        self._optimizer.step()
        self._average(number)
        return loss.detach()

    def _prepare(self, rate: float, frozen: bool) -> None:
        # A frozen body keeps the statistics of its normalisation, too.
        self.network.train(not frozen)
        if frozen:
            for module in self.network.modules():
                if isinstance(module, nn.Dropout):
                    module.train()
        for parameter in self._body:
            parameter.requires_grad_(not frozen)
        for group, share in zip(self._optimizer.param_groups, (1.0, self._body_rate), strict=True):
            group["lr"] = rate * share
        self._optimizer.zero_grad(set_to_none=True)

    @torch.no_grad()
    def _average(self, number: int) -> None:
        # Early on the mean is over few steps, or the random beginning would last.
        decay = min(self._config.ema, (1 + number) / (10 + number))
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

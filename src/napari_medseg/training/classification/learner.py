"""A classifier that learns, with the running mean of its weights."""

import torch
from torch import nn

from napari_medseg.device import compute_dtype
from napari_medseg.models import ModelSpec
from napari_medseg.tasks.kinds.classification import Classification, pseudo_loss
from napari_medseg.training.averaging import Averaged, optimizer_of
from napari_medseg.training.classification.augment import Change, blended, changed
from napari_medseg.training.classification.config import ClassificationConfig
from napari_medseg.training.classification.images import Stack
from napari_medseg.training.classification.stages import stages_of
from napari_medseg.training.scored.pace import seed_of

STRONG_CHANGES = 2
"""Of each unlabelled image, as in RandAugment's and FixMatch's papers."""


class ClassifierLearner(Averaged):
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
        self.device, self._config, self._task = device, config, task
        self._dtype = compute_dtype(config.precision, device)
        layout = torch.channels_last_3d if spec.dims == 3 else torch.channels_last
        network = network.to(device).to(memory_format=layout)
        self.stages = stages_of(network, spec)
        body = [config.body_rate * config.stage_rate**k if pretrained else 1.0 for k in range(len(self.stages) - 1)]
        groups = [{"params": own, "share": share} for own, share in zip(self.stages, (1.0, *body), strict=True)]
        super().__init__(network, optimizer_of(groups, config.optimizer, config.weight_decay), config.ema)

    def step(
        self, batch: Stack, rate: float, number: int, free: int, unlabelled: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Take a step and return its scalar loss, on the device.

        Parameters
        ----------
        batch : Stack
            Images as they are, before augmentation.
        rate : float
            Learning rate of the last layer.
        number : int
            Steps taken before.
        free : int
            How many stages learn, counted from the last layer on.
        unlabelled : (image, channel, [z,] y, x) tensor, optional
            Images without labels.
        """
        config = self._config
        seed = seed_of(config.seed, number)
        torch.manual_seed(seed)
        rng = torch.Generator().manual_seed(seed)
        images, target = changed(batch.images.float(), Change.of(config), rng), batch.targets
        images, target = blended(images, target, config, rng)
        self._prepare(rate, free)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._dtype is torch.bfloat16):
            logits, extra = self._answers(images, batch.facts, unlabelled, rng)
        loss = self._task.loss(logits, target.to(self.device))
        if extra is not None:
            loss = loss + config.unlabelled_weight * pseudo_loss(*extra, config.sure, self._task.output)
        return self.descend(loss, config.gradient_clip, number)

    def _answers(
        self,
        images: torch.Tensor,
        facts: torch.Tensor | None,
        unlabelled: torch.Tensor | None,
        rng: torch.Generator,
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor] | None]:
        """Return the logits of labelled images, and those of unlabelled ones that were changed a little and a lot."""
        images = images.to(self.device)
        told = () if facts is None else (facts.to(self.device),)
        if unlabelled is None:
            return self.network(images, *told), None
        kinds, config = Change.of(config=self._config), self._config
        weak = changed(unlabelled.float(), Change(kinds.flips, kinds.geometry, kinds.intensity), rng)
        strong = changed(weak, Change("none", False, False, STRONG_CHANGES, config.strength), rng)
        with torch.no_grad():
            guess = self.mean(weak.to(self.device))
        # Together, so that batch normalisation sees both kinds of images.
        whole = torch.cat([images, strong.to(self.device)])
        if told:
            told = (torch.cat([told[0], told[0].new_zeros((len(strong), told[0].shape[1]))]),)
        logits = self.network(whole, *told)
        return logits[: len(images)], (guess, logits[len(images) :])

    def _prepare(self, rate: float, free: int) -> None:
        # A frozen body keeps the statistics of its normalisation, too.
        whole = free >= len(self.stages)
        self.network.train(whole)
        for module in self.network.modules():
            if isinstance(module, nn.Dropout):
                module.train()
        for number, parameters in enumerate(self.stages):
            for parameter in parameters:
                parameter.requires_grad_(number < free)
        self.begin(rate)

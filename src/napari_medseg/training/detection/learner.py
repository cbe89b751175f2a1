"""A detector that learns, with the running mean of its weights."""

from collections.abc import Sequence

import torch
from torch import nn

from napari_medseg.device import compute_dtype
from napari_medseg.models import ModelSpec
from napari_medseg.models.nets.detectors.anchored import AnchoredDetector
from napari_medseg.models.nets.detectors.backbones import Backbone
from napari_medseg.models.nets.detectors.regions import RegionDetector
from napari_medseg.tasks.kinds.detection import Detection, Target
from napari_medseg.training.averaging import Averaged, optimizer_of
from napari_medseg.training.detection.config import DetectionConfig
from napari_medseg.training.scored.pace import seed_of

Things = Sequence[torch.Tensor | None]
FROZEN_STRIDE = 4
"""Of a pretrained backbone the maps up to this stride are left as they are, unless asked otherwise."""


class DetectorLearner(Averaged):
    """A network with its optimiser and the running mean of its weights.

    Parameters
    ----------
    network : nn.Module
        As it begins; changed in place.
    spec : ModelSpec
        Of the network.
    config : DetectionConfig
        How to learn.
    device : torch.device
        Where.
    pretrained : bool
        Whether the backbone has learnt before.
    """

    def __init__(
        self, network: nn.Module, spec: ModelSpec, config: DetectionConfig, device: torch.device, pretrained: bool
    ) -> None:
        self.device, self._config = device, config
        self._task = Detection(matching=config.matching, classes=config.loss)
        dtype = compute_dtype(config.precision, device)
        self._dtype = torch.float32 if isinstance(network, RegionDetector) else dtype
        layout = torch.channels_last_3d if spec.dims == 3 else torch.channels_last
        body = next((module for module in network.modules() if isinstance(module, Backbone)), None)
        if body is not None:
            freeze = config.freeze if config.freeze is not None else FROZEN_STRIDE * pretrained
            body.freeze(freeze)
        network = network.to(device).to(memory_format=layout)
        # Statistics of few images are worse than those of the many that the network has seen before.
        norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm3d)]
        self._fixed = norms if pretrained else []
        own = {id(p) for p in body.parameters()} if body is not None else set()
        learning = [p for p in network.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in learning if id(p) not in own], "share": 1.0},
            {"params": [p for p in learning if id(p) in own], "share": config.body_rate if pretrained else 1.0},
        ]
        groups = [group for group in groups if group["params"]]
        optimizer = optimizer_of(groups, config.optimizer, config.weight_decay)
        super().__init__(network, optimizer, config.ema)

    def step(
        self, images: torch.Tensor, targets: list[Target], rate: float, number: int, things: Things = ()
    ) -> torch.Tensor:
        """Take a step and return its scalar loss, on the device.

        Parameters
        ----------
        images : (image, channel, [z,] y, x) float32 tensor
            Views.
        targets : list of Target
            Their boxes.
        rate : float
            Learning rate of what is new.
        number : int
            Steps taken before.
        things : sequence of (n, y, x) bool tensor, optional
            Masks of the boxes, where they are known.
        """
        torch.manual_seed(seed_of(self._config.seed, number))
        self.network.train()
        for module in self._fixed:
            module.eval()
        self.begin(rate)
        place = [(edges.to(self.device), labels.to(self.device)) for edges, labels in targets]
        layout = torch.channels_last_3d if images.ndim == 5 else torch.channels_last
        masks = [None if one is None else one.to(self.device) for one in things]
        loss = self._loss(images.to(self.device).contiguous(memory_format=layout), place, masks)
        return self.descend(loss, self._config.gradient_clip, number)

    def _loss(self, images: torch.Tensor, targets: list[Target], things: Things) -> torch.Tensor:
        if isinstance(self.network, RegionDetector):
            parts = self.network.losses(images, targets, things)
        else:
            assert isinstance(self.network, AnchoredDetector)
            with torch.autocast(self.device.type, dtype=self._dtype, enabled=self._dtype is not torch.float32):
                raw = self.network(images)
            parts = self._task.loss(raw.logits, raw.boxes, raw.anchors, raw.levels, targets)
        return torch.stack(list(parts.values())).sum()

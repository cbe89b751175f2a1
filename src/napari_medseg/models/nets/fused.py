"""A network that is told more than the image."""

import torch
from torch import nn

HIDDEN = 16
"""Features that are made of the facts."""


class Fused(nn.Module):
    """Features of facts about the patient beside those of the image, before the last layer.

    A last layer over both kinds of features is the sum of one over each; that of the image is the image network's own,
    so that its published weights fit.

    Parameters
    ----------
    image : nn.Module
        Gives (batch, class) logits from an image.
    facts : int
        Numbers per image.
    classes : int
        Channels of the output.
    """

    def __init__(self, image: nn.Module, facts: int, classes: int) -> None:
        super().__init__()
        self.image = image
        self.count = facts
        self.facts = nn.Sequential(nn.Linear(facts, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, classes))

    def forward(self, image: torch.Tensor, facts: torch.Tensor | None = None) -> torch.Tensor:
        """Return (batch, class) logits.

        Parameters
        ----------
        image : (batch, channel, [z,] y, x) tensor
            As the network of the image takes it.
        facts : (batch, number) tensor, optional
            As `napari_medseg.models.covariates.encode` gives them; without them, all are unknown.
        """
        if facts is None:
            facts = image.new_zeros((len(image), self.count))
        logits: torch.Tensor = self.image(image) + self.facts(facts.to(image.dtype))
        return logits

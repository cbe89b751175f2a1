"""One class per image."""

from dataclasses import dataclass

import torch
from torch.nn import functional


@dataclass(frozen=True)
class Classification:
    """Cross-entropy with class weights, label smoothing and focus on hard images."""

    weights: tuple[float, ...] | None = None
    """Of each class; None weighs all alike."""
    smoothing: float = 0.0
    """Share of each label that is spread over all classes."""
    focal: float = 0.0
    """Power of the focal loss: images that are already right count less; 0 is plain cross-entropy."""

    def loss(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the scalar loss.

        Parameters
        ----------
        logits : (batch, class) float tensor
            The network's output.
        target : (batch, class) float tensor
            Share of each class, of sum 1.
        """
        chosen = logits.float()
        classes = chosen.shape[1]
        wanted = target * (1 - self.smoothing) + self.smoothing / classes
        log_p = functional.log_softmax(chosen, dim=1)
        if self.focal:
            log_p = (1 - log_p.exp()) ** self.focal * log_p
        weights = chosen.new_ones(classes) if self.weights is None else chosen.new_tensor(self.weights)
        each = -(wanted * weights * log_p).sum(dim=1)
        return each.sum() / (target * weights).sum()


TASK = Classification()
"""Plain cross-entropy."""


def balanced_weights(counts: list[int]) -> tuple[float, ...]:
    """Return weights that make all classes count alike, one for a class of mean size.

    Examples
    --------
    >>> balanced_weights([30, 10])
    (0.6666666666666666, 2.0)
    """
    return tuple(sum(counts) / (len(counts) * max(count, 1)) for count in counts)

"""Classes of whole images: one of several, any number of them, or a grade."""

from dataclasses import dataclass

import torch
from torch.nn import functional

from napari_medseg.prediction import OutputKind

MOST_POSITIVE = 100.0
"""Most that a rare class counts more than its absence."""


def log_probabilities(logits: torch.Tensor, output: OutputKind = "classes") -> torch.Tensor:
    """Return the (image, class) logarithms of probabilities, as float32.

    Parameters
    ----------
    logits : (image, channel) float tensor
        The network's output.
    output : str
        ``classes``: channels are classes of which each image has one. ``several``: each class is there or not.
        ``ordered``: K - 1 channels for K grades; channel k says whether an image that is at least of grade k is above
        it (Shi et al., CORN, 2023), so that the chance of being above a grade never rises with the grade.

    Examples
    --------
    >>> log_probabilities(torch.zeros(1, 2), "ordered").exp().tolist()
    [[0.5, 0.25, 0.25]]
    """
    values = logits.float()
    if output == "several":
        return functional.logsigmoid(values)
    if output != "ordered":
        return functional.log_softmax(values, dim=1)
    above = functional.logsigmoid(values).cumsum(dim=1)
    reached = functional.pad(above, (1, 0))
    return reached + functional.pad(functional.logsigmoid(-values), (0, 1))


@dataclass(frozen=True)
class Classification:
    """Cross-entropy with class weights, label smoothing and focus on hard images."""

    weights: tuple[float, ...] | None = None
    """Of each class; where an image may have several, of its presence. None weighs all alike."""
    smoothing: float = 0.0
    """Share of each label that is spread over all classes."""
    focal: float = 0.0
    """Power of the focal loss: images that are already right count less; 0 is plain cross-entropy."""
    output: OutputKind = "classes"
    """As for `log_probabilities`."""

    def loss(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the scalar loss.

        Parameters
        ----------
        logits : (batch, channel) float tensor
            The network's output.
        target : (batch, class) float tensor
            Share of each class, of sum 1; of several classes, whether each is there.
        """
        log_p = log_probabilities(logits, self.output)
        classes = log_p.shape[1]
        weights = log_p.new_ones(classes) if self.weights is None else log_p.new_tensor(self.weights)
        if self.output == "several":
            wanted = target * (1 - self.smoothing) + self.smoothing / 2
            absent = self._focused(functional.logsigmoid(-logits.float()))
            return -(wanted * weights * self._focused(log_p) + (1 - wanted) * absent).mean()
        wanted = target * (1 - self.smoothing) + self.smoothing / classes
        each = -(wanted * weights * self._focused(log_p)).sum(dim=1)
        return each.sum() / (target * weights).sum()

    def _focused(self, log_p: torch.Tensor) -> torch.Tensor:
        return (1 - log_p.exp()) ** self.focal * log_p if self.focal else log_p


def pseudo_loss(
    weak: torch.Tensor, strong: torch.Tensor, threshold: float, output: OutputKind = "classes"
) -> torch.Tensor:
    """Return the loss of taking for true what the network is sure of (Sohn et al., FixMatch, 2020).

    Parameters
    ----------
    weak : (image, channel) tensor
        Logits for images that were changed a little; nothing is learnt by them.
    strong : (image, channel) tensor
        Logits for the same images, changed a lot.
    threshold : float
        Probability from which an answer is taken for true.
    output : str
        As for `log_probabilities`.

    Returns
    -------
    scalar tensor
        Cross-entropy over the sure images, divided by the number of all.
    """
    sure = log_probabilities(weak.detach(), output).exp()
    answers = log_probabilities(strong, output)
    if output == "several":
        there, absent = sure >= threshold, sure <= 1 - threshold
        return -(there * answers + absent * functional.logsigmoid(-strong.float())).mean()
    best, label = sure.max(dim=1)
    return -(answers.gather(1, label[:, None])[:, 0] * (best >= threshold)).mean()


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


def presence_weights(counts: list[int], images: int) -> tuple[float, ...]:
    """Return weights that make the presence of a class count as much as its absence, of images with several.

    Examples
    --------
    >>> presence_weights([10, 50], 100)
    (9.0, 1.0)
    """
    return tuple(min((images - count) / max(count, 1), MOST_POSITIVE) for count in counts)

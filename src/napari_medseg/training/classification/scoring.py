"""How good a classifier is on images that were kept out of its training."""

import numpy as np
import torch
from torch import nn

from napari_medseg.data.labelled.answers import decided
from napari_medseg.evaluate.classification import macro_auc
from napari_medseg.evaluate.multilabel import several_auc
from napari_medseg.evaluate.ordinal import quadratic_kappa
from napari_medseg.inference.classify import batch_size, logits_of, probabilities
from napari_medseg.models import ModelSpec
from napari_medseg.prediction import OutputKind
from napari_medseg.tasks.kinds.classification import Classification
from napari_medseg.training.classification.images import Stack

COOLEST, HOTTEST = 0.2, 20.0
"""Range of temperatures that are tried."""
DOUBT = 5.0
"""How strongly few images are distrusted: those that are all right would ask for no doubt at all."""


def validation_logits(
    network: nn.Module, stack: Stack, spec: ModelSpec, device: torch.device, precision: str
) -> torch.Tensor:
    """Return the (image, channel) logits of a part; the network is in evaluation mode afterwards."""
    many = batch_size(spec)
    parts = (stack.chosen(range(start, min(start + many, len(stack)))) for start in range(0, len(stack), many))
    return torch.cat([logits_of(network, part.images, part.facts, device, precision) for part in parts])


def scores_of(logits: torch.Tensor, targets: torch.Tensor, output: OutputKind) -> dict[str, float]:
    """Return scores of validation.

    Parameters
    ----------
    logits : (image, channel) tensor
        The network's answers.
    targets : (image, class) tensor
        Of 0 and 1.
    output : str
        As `ModelSpec.output`.

    Returns
    -------
    dict of str to float
        ``auc`` (mean over classes, each against the rest; one half where the part holds one class only), ``accuracy``
        (of several classes: share of right answers over all classes), ``cross_entropy``, and for grades ``kappa``
        (quadratic).
    """
    probable = probabilities(logits, 1.0, output)
    truth = targets.numpy() > 0
    loss = float(Classification(output=output).loss(logits, targets))
    if output == "several":
        found = {"auc": several_auc(truth, probable), "accuracy": float(((probable > 0.5) == truth).mean())}
        return {name: 0.5 if np.isnan(value) else value for name, value in found.items()} | {"cross_entropy": loss}
    labels = truth.argmax(axis=1)
    auc = macro_auc(labels, probable)
    guess = decided(probable, output)
    found = {"auc": 0.5 if np.isnan(auc) else auc, "accuracy": float((guess == labels).mean()), "cross_entropy": loss}
    return found | ({"kappa": quadratic_kappa(labels, guess, probable.shape[1])} if output == "ordered" else {})


def fitted_temperature(logits: torch.Tensor, targets: torch.Tensor, output: OutputKind = "classes") -> float:
    """Return the number by which logits are divided so that the cross-entropy is least (Guo et al., 2017).

    With few images it stays near one.
    """
    from scipy.optimize import minimize_scalar

    plain = Classification(output=output)
    images = len(logits)

    def cost(log_temperature: float) -> float:
        wrong = plain.loss(logits / float(np.exp(log_temperature)), targets) * images
        return float(wrong) + DOUBT * log_temperature**2

    found = minimize_scalar(cost, bounds=(np.log(COOLEST), np.log(HOTTEST)), method="bounded")
    return round(float(np.exp(found.x)), 6)

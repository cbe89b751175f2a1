"""How good a classifier is on images that were kept out of its training."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from napari_medseg.evaluate.classification import macro_auc
from napari_medseg.inference.classify import batch_size, logits_of, probabilities
from napari_medseg.models import ModelSpec
from napari_medseg.training.classification.images import Stack

COOLEST, HOTTEST = 0.2, 20.0
"""Range of temperatures that are tried."""
DOUBT = 5.0
"""How strongly few images are distrusted: those that are all right would ask for no doubt at all."""


def validation_logits(
    network: nn.Module, stack: Stack, spec: ModelSpec, device: torch.device, precision: str
) -> torch.Tensor:
    """Return the (image, class) logits of a part; the network is in evaluation mode afterwards."""
    many = batch_size(spec)
    parts = torch.split(stack.images, many)
    return torch.cat([logits_of(network, part, device, precision) for part in parts])


def scores_of(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """Return ``auc`` (mean over classes, each against the rest), ``accuracy`` and ``cross_entropy``.

    ``auc`` is one half where the part holds one class only.
    """
    auc = macro_auc(labels.numpy(), probabilities(logits, 1.0))
    accuracy = float((logits.argmax(dim=1) == labels).float().mean())
    loss = float(functional.cross_entropy(logits, labels))
    return {"auc": 0.5 if np.isnan(auc) else auc, "accuracy": accuracy, "cross_entropy": loss}


def fitted_temperature(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Return the number by which logits are divided so that the cross-entropy is least (Guo et al., 2017).

    With few images it stays near one.
    """
    from scipy.optimize import minimize_scalar

    def cost(log_temperature: float) -> float:
        wrong = functional.cross_entropy(logits.double() / np.exp(log_temperature), labels, reduction="sum")
        return float(wrong) + DOUBT * log_temperature**2

    found = minimize_scalar(cost, bounds=(np.log(COOLEST), np.log(HOTTEST)), method="bounded")
    return round(float(np.exp(found.x)), 6)

"""LIME on superpixels and supervoxels."""

from typing import TYPE_CHECKING

from napari_medseg.explain.registry import Method, register

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from napari_medseg.explain.question import Question

SAMPLES_PER_PART = 8
COMPACTNESS = 0.1
"""Of the parts, for values from 0 to 1: they follow the edges of the image before they are round."""
KERNEL_WIDTH = 0.5
"""Of the weight of an image, over the share of hidden parts."""


def lime(question: "Question") -> "torch.Tensor":
    """Return the coefficient of each part in a linear model of the score, fitted to images with hidden parts."""
    import torch
    from captum._utils.models.linear_model import SkLearnRidge
    from captum.attr import Lime

    parts = _parts(question)
    explainer = Lime(question.score, SkLearnRidge(alpha=1e-6), similarity_func=_similarity)
    found = explainer.attribute(
        question.image,
        baselines=question.baseline,
        feature_mask=torch.from_numpy(parts)[None, None].to(question.image.device),
        n_samples=_samples(question),
        perturbations_per_eval=question.batch,
    )
    maps: torch.Tensor = found.detach()[0, :1]
    return maps


def superpixels(image: "NDArray[np.float32]", count: int) -> "NDArray[np.int64]":
    """Return the number of the part that each voxel belongs to, from 0 on.

    Parameters
    ----------
    image : (channel, ...) array
        As the network sees it.
    count : int
        Parts, as many as possible up to this number.
    """
    import numpy as np
    from skimage.segmentation import slic

    low, high = np.percentile(image, (0.5, 99.5))
    scaled = np.clip((image - low) / max(high - low, 1e-6), 0, 1)
    found = slic(scaled, n_segments=count, compactness=COMPACTNESS, channel_axis=0, start_label=0)
    return np.asarray(np.unique(found, return_inverse=True)[1].reshape(found.shape), np.int64)


def _parts(question: "Question") -> "NDArray[np.int64]":
    image = question.image[0].cpu().numpy()
    return superpixels(image, question.options.superpixels)


def _similarity(
    _image: "torch.Tensor", _seen: "torch.Tensor", shown: "torch.Tensor", **_keywords: object
) -> "torch.Tensor":
    """Return the weight of an image by the share of its parts that are hidden."""
    hidden = 1 - shown.float().mean()
    return (-((hidden / KERNEL_WIDTH) ** 2)).exp().sqrt()


def _samples(question: "Question") -> int:
    return max(question.options.samples or SAMPLES_PER_PART * question.options.superpixels, 2)


register(
    Method(
        "lime",
        "LIME",
        "How much each superpixel (supervoxel) adds to the score, by a linear model of images where some are hidden.",
        lime,
        _samples,
        signed=True,
        hides=True,
        uses=("baseline", "samples", "superpixels"),
    )
)

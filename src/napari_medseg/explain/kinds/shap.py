"""SHAP by expected gradients."""

from typing import TYPE_CHECKING

from napari_medseg.explain.registry import Method, register

if TYPE_CHECKING:
    import torch

    from napari_medseg.explain.question import Question

SAMPLES = 24


def shap(question: "Question") -> "torch.Tensor":
    """Return the mean of slope times difference at random points between the baseline and noisy copies of the image."""
    from captum.attr import GradientShap

    from napari_medseg.explain.question import summed

    explainer, left = GradientShap(question.score), samples_of(question)
    total = None
    # The library takes all samples at once, however many; their mean is that of parts.
    while left:
        part = min(question.batch, left)
        found = explainer.attribute(
            question.image,
            baselines=question.baseline,
            n_samples=part,
            stdevs=question.options.noise * question.spread,
        )
        total = part * found.detach() if total is None else total + part * found.detach()
        left -= part
    assert total is not None
    return summed(total / samples_of(question), question.options.per_channel)


def samples_of(question: "Question") -> int:
    """Return how many points are wanted."""
    return question.options.samples or SAMPLES


register(
    Method(
        "shap",
        "SHAP (gradient)",
        "Each voxel's share of the difference between the score of the image and that of the baseline, by sampling.",
        shap,
        samples_of,
        signed=True,
        uses=("baseline", "samples", "noise", "per_channel"),
    )
)

"""Integrated gradients."""

from typing import TYPE_CHECKING

from napari_medseg.explain.registry import Method, register

if TYPE_CHECKING:
    import torch

    from napari_medseg.explain.question import Question


def integrated_gradients(question: "Question") -> "torch.Tensor":
    """Return what each voxel adds on the straight way from the baseline to the image."""
    from captum.attr import IntegratedGradients

    from napari_medseg.explain.question import summed

    found = IntegratedGradients(question.score).attribute(
        question.image,
        baselines=question.baseline,
        n_steps=question.options.steps,
        internal_batch_size=min(question.batch, question.options.steps),
    )
    return summed(found, question.options.per_channel)


register(
    Method(
        "integrated-gradients",
        "Integrated gradients",
        "How much each voxel adds to the score on the way from the baseline to the image; the sum is the difference.",
        integrated_gradients,
        lambda question: question.options.steps,
        signed=True,
        uses=("baseline", "steps", "per_channel"),
    )
)

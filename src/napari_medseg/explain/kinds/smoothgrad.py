"""SmoothGrad."""

from typing import TYPE_CHECKING

from napari_medseg.explain.registry import Method, register

if TYPE_CHECKING:
    import torch

    from napari_medseg.explain.question import Question

SAMPLES = 24


def smoothgrad(question: "Question") -> "torch.Tensor":
    """Return the mean slope of the score over noisy copies of the image."""
    from captum.attr import NoiseTunnel, Saliency

    from napari_medseg.explain.question import summed

    options = question.options
    found = NoiseTunnel(Saliency(question.score)).attribute(
        question.image,
        nt_type="smoothgrad",
        nt_samples=samples_of(question),
        nt_samples_batch_size=min(question.batch, samples_of(question)),
        stdevs=options.noise * question.spread,
        abs=False,
    )
    return summed(found, options.per_channel)


def samples_of(question: "Question") -> int:
    """Return how many noisy copies are wanted."""
    return question.options.samples or SAMPLES


register(
    Method(
        "smoothgrad",
        "SmoothGrad",
        "How the score would change with each voxel, the mean over noisy copies of the image.",
        smoothgrad,
        samples_of,
        signed=True,
        uses=("samples", "noise", "per_channel"),
    )
)

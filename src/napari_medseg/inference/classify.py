"""One answer per image: what a classification network sees, and what it says."""

import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from napari_medseg.data.labelled.images import Pictures, with_channels
from napari_medseg.device import choose, compute_dtype
from napari_medseg.errors import BundleError, DataError, MedsegError
from napari_medseg.inference.preprocess import transform_named
from napari_medseg.models import Bundle, ModelSpec
from napari_medseg.models.configs import intensity_transform
from napari_medseg.progress import Control, Event, Finished, Note, with_time_left

BATCH_VALUES = 1 << 22
"""Input values of a batch."""


def resized(image: NDArray[np.generic], spec: ModelSpec, name: str) -> torch.Tensor:
    """Return an image in the model's size, before its intensity rule.

    Parameters
    ----------
    image : (channel, [z,] y, x) array
        As `napari_medseg.data.labelled.picture_of` gives it.
    spec : ModelSpec
        Of the model.
    name : str
        Of the image, for messages.

    Returns
    -------
    (channel, [z,] y, x) float32 tensor
        Of `spec.patch_size`; the aspect ratio is not kept.

    Raises
    ------
    DataError
        If the image is a volume and the model sees planes, or the other way round; or its channels do not fit.
    """
    if image.ndim != spec.dims + 1:
        kinds = {2: "a plane image", 3: "a volume"}
        found = kinds.get(image.ndim - 1, "of another kind")
        raise DataError(f"{name} is {found}; {spec.name} is for {kinds[spec.dims]}.", "Choose another model or image.")
    values = torch.from_numpy(with_channels(image, spec.channels, name))[None]
    size = tuple(spec.patch_size)
    if values.shape[2:] == size:
        return values[0]
    if spec.dims == 2:
        return functional.interpolate(values, size, mode="bilinear", antialias=True, align_corners=False)[0]
    smaller = tuple(min(n, m) for n, m in zip(values.shape[2:], size, strict=True))
    # Averages first, so that nothing between the new voxels is passed over.
    values = functional.interpolate(values, smaller, mode="area")
    return functional.interpolate(values, size, mode="trilinear", align_corners=False)[0]


def normalised(image: torch.Tensor, spec: ModelSpec) -> torch.Tensor:
    """Return an image of the model's size after its intensity rule."""
    name, arguments = intensity_transform(spec.intensity)
    return transform_named(name, arguments)(image)


def seen(pictures: Pictures, number: int, spec: ModelSpec) -> torch.Tensor:
    """Return an image as the network sees it."""
    return normalised(resized(pictures.get(number), spec, pictures.names[number]), spec)


def batch_size(spec: ModelSpec) -> int:
    """Return how many images are predicted on together."""
    return max(1, min(256, BATCH_VALUES // (spec.channels * int(np.prod(spec.patch_size)))))


def classify(
    bundle: Bundle, pictures: Pictures, control: Control | None = None, device: str = "auto"
) -> Iterator[Event]:
    """Predict the class of images.

    Parameters
    ----------
    bundle : Bundle
        Of a classification.
    pictures : Pictures
        The images.
    control : Control, optional
        Cancels and pauses.
    device : str
        As for `napari_medseg.device.choose`.

    Yields
    ------
    Event
        `Progress`, a `Note` for each image that cannot be read or does not fit, and last `Finished` with the (image,
        class) float64 probabilities, which are nan for those.

    Raises
    ------
    BundleError
        If the model is for another task.
    """
    spec, control = bundle.spec, control or Control()
    if spec.task != "classification":
        raise BundleError(f"{spec.name} is for {spec.task}.", "Choose a model for classification.")
    place, started = choose(device), time.monotonic()
    network = bundle.network().to(place)
    answers: list[NDArray[np.float64]] = []
    many = batch_size(spec)
    for start in range(0, len(pictures), many):
        control.checkpoint()
        yield with_time_left("Classifying", len(pictures), started, start)
        numbers = range(start, min(start + many, len(pictures)))
        block = np.full((len(numbers), len(spec.classes)), np.nan)
        usable: dict[int, torch.Tensor] = {}
        for row, number in enumerate(numbers):
            try:
                usable[row] = seen(pictures, number, spec)
            except MedsegError as error:
                yield Note(f"{pictures.names[number]}: {error}", "warning")
        if usable:
            logits = logits_of(network, torch.stack(list(usable.values())), place)
            block[list(usable)] = probabilities(logits, spec.temperature)
        answers.append(block)
    yield Finished(np.concatenate(answers) if answers else np.empty((0, len(spec.classes))))


def logits_of(
    network: nn.Module, batch: torch.Tensor, device: torch.device, precision: str = "float32"
) -> torch.Tensor:
    """Return a network's (image, class) logits as float32 on the CPU; the network is in evaluation mode afterwards."""
    dtype = compute_dtype("auto" if precision == "auto" else "float32", device)
    with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
        logits: torch.Tensor = network.eval()(batch.to(device, torch.float32))
    return logits.float().cpu()


def probabilities(logits: torch.Tensor, temperature: float) -> NDArray[np.float64]:
    """Return (image, class) probabilities of sum 1."""
    return np.asarray((logits.double() / temperature).softmax(dim=1).numpy(), np.float64)


def rows_of(names: Sequence[str], found: NDArray[np.float64], spec: ModelSpec) -> list[list[str]]:
    """Return the lines of ``predictions.csv``: ``image,predicted,p_<class>...``, headings first.

    Images without an answer are left out.
    """
    classes = [c.name for c in spec.classes]
    lines = [["image", "predicted", *(f"p_{name}" for name in classes)]]
    for name, values in zip(names, found, strict=True):
        if np.isfinite(values).all():
            lines.append([name, classes[int(values.argmax())], *(f"{value:.6g}" for value in values)])
    return lines

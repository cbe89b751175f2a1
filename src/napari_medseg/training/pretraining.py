"""A start without labels: a new network first learns to fill in what was hidden of the images.

Blocks of a patch are hidden and the network is asked for what they hold, as in masked autoencoders (He et al., CVPR
2022) and, for U-Nets on volumes, in Wald et al., Revisiting MAE pre-training for 3D medical image segmentation, CVPR
2025. What it has learnt of the images' looks is then where the training with labels begins; only the layers that know
the classes begin anew.
"""

from collections.abc import Generator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_medseg import processes
from napari_medseg.data.patches import PatchPlace, Shape3, cut_patch
from napari_medseg.device import compute_dtype, release_memory
from napari_medseg.inference.network import is_out_of_memory
from napari_medseg.models import ModelSpec
from napari_medseg.models.anatomy import head_axes
from napari_medseg.models.registry import build
from napari_medseg.models.spec import BACKGROUND
from napari_medseg.progress import Control, Event, Note, Progress
from napari_medseg.training.config import TrainConfig
from napari_medseg.training.learner import at_resolutions, layout_of
from napari_medseg.training.schedule import learning_rate
from napari_medseg.volume import LabelClass

STAGE = "Learning the looks of the images"
HIDDEN = 0.6
"""Share of the blocks that are hidden."""
BLOCKS, LEAST_BLOCK = 8, 4
"""Blocks along an edge of a patch, and voxels along an edge of a block, at least."""
REPORT_STEPS = 10
LAST = 20
"""Steps at the end whose error is told."""


def pretrain(
    images: Sequence[NDArray[np.float32]],
    spec: ModelSpec,
    config: TrainConfig,
    device: torch.device,
    control: Control,
) -> Generator[Event, None, dict[str, torch.Tensor]]:
    """Let a network of the kind of `spec` learn from images alone.

    Parameters
    ----------
    images : sequence of (channel, z, y, x) float32 arrays
        As the network sees them.
    spec : ModelSpec
        Of the network.
    config : TrainConfig
        Steps, batch, learning rate, number format and seed.
    device : torch.device
        Where.
    control : Control
        Cancels, between steps.

    Yields
    ------
    Event
        `Progress`, and a `Note` with the error on what was hidden.

    Returns
    -------
    dict of str to tensor
        Weights of all layers but those that know the classes; none where the memory does not suffice.
    """
    outputs = max(2, spec.channels)
    classes = (BACKGROUND, *(LabelClass(value=value, name=f"channel {value}") for value in range(1, outputs)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = build(spec.model_copy(update={"classes": classes, "output": "classes"}))
    layout = layout_of(network, spec)
    network.to(device).train().to(memory_format=layout)
    optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    dtype, errors = compute_dtype(config.precision, device), []
    z, y, x = (1, *spec.patch_size)[-3:]
    for step in range(config.pretrain_steps):
        control.checkpoint()
        if step % REPORT_STEPS == 0:
            yield Progress(STAGE, step, config.pretrain_steps)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, config.pretrain_steps, config)
        whole, hidden = batch_of(images, (z, y, x), config.batch_size, np.random.default_rng([config.seed, step]))
        if spec.dims == 2:
            whole, hidden = whole.squeeze(2), hidden.squeeze(2)
        whole, hidden = whole.to(device).contiguous(memory_format=layout), hidden.to(device)
        try:
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
                found = at_resolutions(network(whole.masked_fill(hidden, 0)), whole[:, 0])[0]
            error = (found[:, : spec.channels].float() - whole)[hidden.expand_as(whole)].square().mean()
            optimizer.zero_grad()
            error.backward()  # type: ignore[no-untyped-call]
        except RuntimeError as failure:
            if not is_out_of_memory(failure):
                raise
            release_memory(device)
            yield Note("The memory does not suffice to learn the looks of the images without labels.", "warning")
            # Others may have had enough, and wait for an answer.
            return processes.from_first({})
        nn.utils.clip_grad_norm_(network.parameters(), config.gradient_clip)
        optimizer.step()
        errors.append(error.detach())
    spread = float(np.sqrt(np.mean([np.var(image) for image in images]))) or 1.0
    missed = float(torch.stack(errors[-LAST:]).mean().sqrt()) / spread
    done = f"{config.pretrain_steps} steps without labels"
    yield Note(
        f"{done}: hidden parts of the images are told with an error of {missed:.2f} of their standard deviation."
    )
    head = head_axes(spec)
    # Of several processes all begin with the same, to the last bit.
    return processes.from_first({n: value.cpu() for n, value in network.state_dict().items() if n not in head})


def batch_of(
    images: Sequence[NDArray[np.float32]], shape: Shape3, size: int, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return patches from anywhere, and which blocks of them are hidden.

    Parameters
    ----------
    images : sequence of (channel, z, y, x) float32 arrays
        To cut from.
    shape : (z, y, x) tuple of int
        Voxels of a patch.
    size : int
        Patches.
    rng : numpy.random.Generator
        All randomness comes from it.

    Returns
    -------
    whole : (patch, channel, z, y, x) float32 tensor
    hidden : (patch, 1, z, y, x) bool tensor
    """
    patches, masks = [], []
    edges = [min(n, max(LEAST_BLOCK, n // BLOCKS)) for n in shape]
    for _ in range(size):
        number = int(rng.integers(len(images)))
        z, y, x = (
            int(rng.integers(min(0, whole - n), max(0, whole - n) + 1))
            for whole, n in zip(images[number].shape[1:], shape, strict=True)
        )
        patches.append(torch.from_numpy(cut_patch(images[number], PatchPlace(number, (z, y, x), shape), (0, 0, 0), 0)))
        chosen = rng.random([-(-n // edge) for n, edge in zip(shape, edges, strict=True)]) < HIDDEN
        chosen.flat[rng.integers(chosen.size)] = True
        for axis, edge in enumerate(edges):
            chosen = chosen.repeat(edge, axis)
        masks.append(torch.from_numpy(chosen[tuple(slice(n) for n in shape)])[None])
    return torch.stack(patches), torch.stack(masks)

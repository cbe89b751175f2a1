"""What to do when a step does not fit into memory."""

import torch

from napari_medseg.data.patches import Shape3
from napari_medseg.errors import DeviceError
from napari_medseg.models import ModelSpec
from napari_medseg.models.registry import edge_divisor
from napari_medseg.progress import Note
from napari_medseg.training.checkpoint import State

SMALLEST_EDGE = 16


def shrink(state: State, spec: ModelSpec, device: torch.device) -> Note:
    """Halve the batch or, if it is a single patch, the longest edge of the patch that the network can do without.

    Parameters
    ----------
    state : State
        Changed in place.
    spec : ModelSpec
        The network.
    device : torch.device
        For messages.

    Returns
    -------
    Note
        What was done.

    Raises
    ------
    DeviceError
        If the patch cannot become smaller.
    """
    if state.batch_size > 1:
        state.batch_size //= 2
    else:
        state.patch = _smaller(state.patch, edge_divisor(spec), device)
    size = " x ".join(str(n) for n in state.patch if n > 1)
    return Note(
        f"Memory ran short on {device}; going on with {state.batch_size} patches of {size} voxels per step.", "warning"
    )


def _smaller(patch: Shape3, divisor: tuple[int, ...], device: torch.device) -> Shape3:
    fitting = [
        axis
        for axis, (size, factor) in enumerate(zip(patch, divisor, strict=True))
        if size // 2 >= SMALLEST_EDGE and (size // 2) % factor == 0
    ]
    if not fitting:
        raise DeviceError(
            f"The memory of {device} is too small to train this network on a patch of {patch} voxels.",
            "Close other programs that use it, choose a smaller network, or the device cpu.",
        )
    longest = max(fitting, key=lambda axis: patch[axis])
    z, y, x = (size // 2 if axis == longest else size for axis, size in enumerate(patch))
    return z, y, x

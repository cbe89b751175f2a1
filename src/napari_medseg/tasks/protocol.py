"""What training asks of a kind of task."""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, cast

from napari_medseg.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

UNLABELLED = -1
"""Class index of a voxel that the user said nothing about; it enters neither losses nor scores."""


class Task(Protocol):
    """One kind of task. Implementations keep no state."""

    def loss(self, logits: "torch.Tensor", target: "torch.Tensor") -> "torch.Tensor":
        """Return the scalar loss.

        Parameters
        ----------
        logits : (batch, class, ...) float tensor
            The network's output.
        target : (batch, ...) int64 tensor
            Class indices; `UNLABELLED` voxels have no influence.
        """

    def overlaps(
        self, predicted: "NDArray[np.integer]", target: "NDArray[np.integer]", classes: int
    ) -> "NDArray[np.int64]":
        """Return (class, 3) counts that add up over images: voxels of intersection, prediction and reference.

        Parameters
        ----------
        predicted, target : integer arrays of one shape
            Class indices; where `target` is `UNLABELLED` nothing is counted.
        classes : int
            Number of classes.
        """

    def scores(self, overlaps: "NDArray[np.int64]") -> "NDArray[np.float64]":
        """Return the score of each class, in [0, 1], from the sum of `overlaps`; nan where there is no reference."""


def task_named(name: str) -> Task:
    """Return the task of a name, such as ``"segmentation"``.

    Raises
    ------
    ConfigError
        If there is no such task.
    """
    module = f"napari_medseg.tasks.kinds.{name}"
    if not name.isidentifier() or find_spec(module) is None:
        raise ConfigError(f"There is no task named {name!r}.", "Install a version that has it.")
    return cast("Task", import_module(module).TASK)

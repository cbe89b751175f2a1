"""The maps of one image: all pieces, with the weights that are given."""

import random
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_medseg.device import release_memory
from napari_medseg.errors import DeviceError
from napari_medseg.explain.meter import Meter
from napari_medseg.explain.options import ExplainOptions
from napari_medseg.explain.question import Question, Read, Score
from napari_medseg.explain.registry import Method
from napari_medseg.explain.scenes.scene import Piece, Scene
from napari_medseg.inference.network import is_out_of_memory
from napari_medseg.progress import Event, Note

Result = TypeVar("Result")

BATCH_VALUES = 1 << 20
"""Input values of a batch."""
MOST_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Work:
    """Everything that maps of one image share."""

    scene: Scene
    network: nn.Module
    baseline: torch.Tensor
    method: Method
    options: ExplainOptions
    meter: Meter
    shared: dict[str, object]

    def question(self, network: nn.Module, piece: Piece, batch: int) -> Question:
        """Return what is asked about a piece."""
        image, baseline = (self.scene.cut(canvas, piece)[None] for canvas in (self.scene.canvas, self.baseline))
        score = Score(network, piece.target.score, self.meter.saw)
        return Question(score, image.to(self.device), baseline.to(self.device), self.options, batch, self.shared)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return device_of(self.network)

    @property
    def by_channel(self) -> bool:
        """Whether maps are those of the image's channels."""
        return self.options.per_channel and "per_channel" in self.method.uses

    @property
    def batch(self) -> int:
        """Images at once; fewer after memory ran out."""
        if isinstance(reduced := self.shared.get("batch"), int):
            return reduced
        values = self.scene.cut(self.scene.canvas, self.scene.pieces[0]).numel()
        return self.options.batch_size or max(1, min(MOST_AT_ONCE, BATCH_VALUES // values))


def maps_of(work: Work, network: nn.Module, stage: str, seed: int) -> Generator[Event, None, NDArray[np.float32]]:
    """Return (map, z, y, x) maps on the canvas."""
    total = len(work.scene.pieces) * work.method.passes(work.question(network, work.scene.pieces[0], work.batch))
    return (yield from with_memory(work, lambda batch: _attribute(work, network, batch, seed), stage, total))


def with_memory(work: Work, act: Callable[[int], Result], stage: str, total: int) -> Generator[Event, None, Result]:
    """Do what takes images in batches; with smaller ones from then on where memory runs out.

    Parameters
    ----------
    work : Work
        Knows the size of batches.
    act : callable
        Takes it.
    stage : str
        What is being done.
    total : int
        About how many images it takes.

    Raises
    ------
    DeviceError
        If there is not enough memory for one image.
    """
    while True:
        batch = work.batch
        try:
            return (yield from work.meter.watch(partial(act, batch), stage, total))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        release_memory(work.device)
        if batch == 1:
            raise DeviceError(
                f"The memory of {work.device} is too small to explain one tile.",
                "Close other programs that use it, or choose the device cpu.",
            )
        work.shared["batch"] = max(1, batch // 2)
        text = f"Memory ran short on {work.device}; going on with {work.batch} images at once."
        yield Note(text, "warning")


def _attribute(work: Work, network: nn.Module, batch: int, seed: int) -> NDArray[np.float32]:
    canvas: NDArray[np.float32] | None = None
    with seeded(seed):
        for piece in work.scene.pieces:
            maps = work.method.attribute(work.question(network, piece, batch))
            if canvas is None:
                canvas = np.zeros((len(maps), *work.scene.canvas.shape[1:]), np.float32)
            work.scene.paste(maps, piece, canvas)
    assert canvas is not None
    return canvas


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Make what is drawn inside depend on a seed alone, and leave the generators as they were."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


def summary(maps: NDArray[np.float32], by_channel: bool) -> NDArray[np.float32]:
    """Return one (z, y, x) map of several: the sum of channels, or the mean magnitude of features."""
    if len(maps) == 1:
        return np.asarray(maps[0])
    return np.asarray(maps.sum(axis=0) if by_channel else np.abs(maps).mean(axis=0))


def device_of(network: nn.Module) -> torch.device:
    """Return where a network is; the CPU for one without weights."""
    return next((parameter.device for parameter in network.parameters()), torch.device("cpu"))


def read_of(work: Work, images: torch.Tensor, read: Read) -> NDArray[np.float64]:
    """Return a number of the network's answer for (image, channel, ...) images of a piece, without random weights."""
    with torch.no_grad():
        found = Score(work.network, read, work.meter.saw)(images.to(work.device))
    return np.asarray(found.double().cpu().numpy())


def total_of(
    scene: Scene, network: nn.Module, canvas: torch.Tensor, what: Literal["score", "probability"], meter: Meter
) -> float:
    """Return the score or the probability of what is explained, of the scene's canvas or another one."""
    total = 0.0
    with torch.no_grad():
        for piece in scene.pieces:
            meter.saw(1)
            answer = network(scene.cut(canvas, piece)[None].to(device_of(network)))
            total += float(getattr(piece.target, what)(answer))
    return total

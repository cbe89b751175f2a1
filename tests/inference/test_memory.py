"""When memory runs out, prediction goes on with less, says so, and gives the same labels."""

import numpy as np
import pytest
import torch
from torch import nn

from napari_medseg.errors import DeviceError
from napari_medseg.inference import PredictOptions, tiled
from napari_medseg.inference.blend import Blender
from napari_medseg.inference.engine import predict_grid
from napari_medseg.inference.preprocess import to_model_grid
from napari_medseg.inference.tiled import Room, _less
from napari_medseg.models import Intensity, ModelSpec
from napari_medseg.progress import Control, Note, Progress
from napari_medseg.volume import Volume

SPEC = ModelSpec(
    name="m",
    architecture="dynunet",
    axcodes=None,
    patch_size=(16, 64, 32),
    intensity=Intensity(kind="window", low=0, high=1),
)


class Limited(nn.Module):
    """Tells values above one half; has memory for so many voxels at once."""

    def __init__(self, voxels: int, error: Exception) -> None:
        super().__init__()
        self.scale, self.voxels, self.error, self.sizes = nn.Parameter(torch.tensor(4.0)), voxels, error, []

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        self.sizes.append(tuple(tiles.shape[2:]))
        if tiles.numel() > self.voxels:
            raise self.error
        return self.scale * torch.cat([0.5 - tiles, tiles - 0.5], dim=1)


def run(network: nn.Module):
    data = (np.random.default_rng(0).random((20, 70, 40)) > 0.5).astype(np.uint8)
    volume, events = Volume(data, None, name="blocks"), []
    work = predict_grid(to_model_grid(volume, SPEC), SPEC, network, PredictOptions(device="cpu"), Control())
    while True:
        try:
            events.append(next(work))
        except StopIteration as end:
            np.testing.assert_array_equal(end.value[0].labels, data)
            return events


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("can't allocate memory")]
)
def test_tiles_become_smaller_and_the_work_begins_again(error):
    network = Limited(16 * 16 * 32, error)
    events = run(network)
    notes = [event.text for event in events if isinstance(event, Note)]
    assert notes == [
        "Memory ran short on cpu; starting again with tiles of 16 x 32 x 32 voxels.",
        "Memory ran short on cpu; starting again with tiles of 16 x 16 x 32 voxels.",
    ]
    assert network.sizes[:3] == [(16, 64, 32), (16, 32, 32), (16, 16, 32)]
    assert [event for event in events if isinstance(event, Progress)][-1].seconds_left == 0.0


def test_too_little_for_the_smallest_tile_is_an_error():
    with pytest.raises(DeviceError, match="too small for one tile of 16 x 16 x 16 voxels"):
        run(Limited(10, MemoryError()))


def test_too_little_for_the_sums_is_noticed_too(monkeypatch):
    made = []

    class Greedy(Blender):
        def __init__(self, plan, *arguments, **named) -> None:
            made.append(plan.tile)
            if len(made) == 1:
                raise MemoryError
            super().__init__(plan, *arguments, **named)

    monkeypatch.setattr(tiled, "Blender", Greedy)
    events = run(Limited(1 << 20, MemoryError()))
    assert made == [(16, 64, 32), (16, 32, 32)]
    assert sum(isinstance(event, Note) for event in events) == 1


def test_on_a_gpu_the_sums_leave_before_tiles_become_smaller():
    gpu = torch.device("cuda:0")
    there = Room((16, 64, 32))
    here = _less(there, SPEC, gpu, sums=True)
    assert here == Room((16, 64, 32), sums_on_cpu=True)
    assert _less(here, SPEC, gpu, sums=True) == Room((16, 32, 32), sums_on_cpu=True)
    assert _less(there, SPEC, gpu, sums=False) == Room((16, 32, 32))
    assert _less(Room((16, 16, 16)), SPEC, gpu, sums=False) is None

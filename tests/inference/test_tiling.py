"""Tiles cover a volume as MONAI's sliding window does, and blend to the same bits, whatever the slabs."""

import pytest
import torch
from monai.inferers import SliceInferer, sliding_window_inference
from torch import nn

from napari_medseg.inference.network import Batches, Runner
from napari_medseg.inference.tiling import SlabBlender, as_background, cut, importance, pad_to_plan, plan_tiles

CPU = torch.device("cpu")


def network(dims: int, classes: int = 3) -> nn.Module:
    """Return a network that sees some voxels around each, and where in the tile it is (by its zero padding)."""
    torch.manual_seed(0)
    convolution = nn.Conv2d if dims == 2 else nn.Conv3d
    return nn.Sequential(convolution(2, 4, 5, padding=2), nn.ReLU(), convolution(4, classes, 3, padding=1)).eval()


def image(shape) -> torch.Tensor:
    return torch.randn((2, *shape), generator=torch.Generator().manual_seed(1))


def blended(net, volume, tile, overlap, batch=1) -> torch.Tensor:
    plan = plan_tiles(volume.shape[1:], tile, overlap)
    padded = pad_to_plan(volume, plan)
    batches = Batches(Runner(net, CPU, planar=tile[0] == 1), batch)
    blender, slabs, done = SlabBlender(plan, 3, CPU), [], 0
    while done < len(plan.starts):
        starts = plan.starts[done : done + batch]
        tiles = [logits for part in batches.forward(cut(padded, starts, plan.tile)) for logits in part]
        for start, logits in zip(starts, tiles, strict=True):
            slabs += blender.add(start, logits)
        done += len(starts)
    slabs += blender.finish()
    starts = [slab.start for slab in slabs]
    assert starts == [0, *torch.tensor([slab.logits.shape[1] for slab in slabs]).cumsum(0).tolist()[:-1]]
    return torch.cat([slab.logits for slab in slabs], dim=1)


@pytest.mark.parametrize(
    ("shape", "tile", "overlap"),
    [
        ((16, 16, 16), (16, 16, 16), 0.25),
        ((23, 31, 19), (16, 16, 16), 0.25),
        ((29, 13, 37), (8, 8, 16), 0.5),
        ((40, 21, 22), (4, 16, 16), 0.8),
        ((7, 41, 11), (16, 8, 16), 0.25),
        ((5, 3, 2), (8, 8, 8), 0.5),
        ((33, 16, 16), (16, 16, 16), 0.0),
    ],
)
@pytest.mark.parametrize("batch", [1, 3])
def test_blended_logits_are_those_of_monai_bit_by_bit(shape, tile, overlap, batch):
    net, volume = network(3), image(shape)
    with torch.inference_mode():
        expected = sliding_window_inference(volume[None], tile, batch, net, overlap=overlap, mode="gaussian")[0]
    assert torch.equal(blended(net, volume, tile, overlap, batch), expected)


@pytest.mark.parametrize(("shape", "tile"), [((5, 31, 19), (16, 16)), ((3, 11, 40), (16, 16)), ((1, 20, 20), (8, 12))])
def test_planes_are_those_of_monai_bit_by_bit(shape, tile):
    net, volume = network(2), image(shape)
    with torch.inference_mode():
        expected = SliceInferer(roi_size=tile, sw_batch_size=4, overlap=0.25, mode="gaussian")(volume[None], net)[0]
    assert torch.equal(blended(net, volume, (1, *tile), 0.25, 4), expected)


def test_every_voxel_is_covered_and_no_tile_leaves_the_volume():
    for size in range(1, 40):
        plan = plan_tiles((size, 1, 1), (7, 1, 1), 0.25)
        covered = {z for start, _, _ in plan.starts for z in range(start, start + 7)}
        assert covered == set(range(plan.padded_shape[0]))


def test_a_tile_counts_most_in_its_middle():
    weights = importance((5, 1, 9), CPU)
    assert weights.shape == (5, 1, 9)
    assert weights.argmax() == weights.numel() // 2
    assert weights.max() == 1.0
    assert weights.min() > 0


def test_memory_grows_with_a_row_of_tiles_and_not_with_the_volume():
    plan = plan_tiles((1000, 20, 20), (8, 8, 8), 0.25)
    blender = SlabBlender(plan, 5, CPU)
    assert blender._sums.shape == (5, 8, 20, 20)


class Hungry(nn.Module):
    """A network that has memory for `most` tiles at a time."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.tried = most, []
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        self.tried.append(len(tiles))
        if len(tiles) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return tiles.repeat(1, 2, 1, 1, 1)


def test_a_batch_shrinks_until_it_fits_and_loses_no_tile():
    net = Hungry(most=3)
    batches = Batches(Runner(net, CPU), 8)
    tiles = torch.arange(8.0).view(8, 1, 1, 1, 1)
    found = torch.cat(list(batches.forward(tiles)))
    assert found[:, 0].flatten().tolist() == list(range(8))
    assert net.tried == [8, 4, 2, 2, 2, 2]
    assert batches.size == 2


def test_training_mode_is_restored():
    net = network(3).train()
    Runner(net, CPU)(image((4, 4, 4))[None])
    assert net.training


def test_voxels_of_no_tile_have_no_logits_until_they_are_made_background():
    plan = plan_tiles((20, 4, 8), (4, 4, 4), 0.0)
    blender = SlabBlender(plan, 3, torch.device("cpu"))
    tile = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 4, 4, 4)
    slabs = [*blender.add((4, 0, 0), tile), *blender.add((16, 0, 4), tile), *blender.finish()]
    logits = torch.cat([slab.logits for slab in slabs], dim=1)
    touched = torch.zeros((20, 4, 8), dtype=torch.bool)
    touched[4:8, :, :4], touched[16:, :, 4:] = True, True
    assert logits.shape == (3, 20, 4, 8)
    assert torch.equal(logits[1].isnan(), ~touched)
    assert torch.allclose(logits[2][touched], torch.tensor(2.0))
    background = torch.cat([as_background(slab).logits for slab in slabs], dim=1)
    assert torch.equal(background.argmax(dim=0), torch.where(touched, 2, 0))
    assert background[:, ~touched].softmax(dim=0)[0].min() > 1 - 1e-6

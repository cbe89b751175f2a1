"""Tiles cover a volume as MONAI's sliding window does, and blend to the same bits, whatever the margins."""

import tempfile
from dataclasses import replace

import pytest
import torch
from monai.inferers import SliceInferer, sliding_window_inference
from torch import nn

from napari_medseg.inference import blend
from napari_medseg.inference.blend import Blender, as_background
from napari_medseg.inference.margins import margins_of
from napari_medseg.inference.network import Batches, Runner
from napari_medseg.inference.tiling import cut, importance, plan_tiles

CPU = torch.device("cpu")


def network(dims: int, classes: int = 3) -> nn.Module:
    """Return a network that sees some voxels around each, and where in the tile it is (by its zero padding)."""
    torch.manual_seed(0)
    convolution = nn.Conv2d if dims == 2 else nn.Conv3d
    return nn.Sequential(convolution(2, 4, 5, padding=2), nn.ReLU(), convolution(4, classes, 3, padding=1)).eval()


def image(shape) -> torch.Tensor:
    return torch.randn((2, *shape), generator=torch.Generator().manual_seed(1))


def blended(net, volume, tile, overlap, batch=1, margin_bytes=1 << 30) -> torch.Tensor:
    plan = plan_tiles(volume.shape[1:], tile, overlap)
    batches = Batches(Runner(net, CPU, planar=tile[0] == 1), batch)
    blender, blocks, done = Blender(plan, 3, CPU, margin_bytes=margin_bytes), [], 0
    while done < len(plan.starts):
        starts = plan.starts[done : done + batch]
        tiles = cut(lambda box: volume[(slice(None), *box)], plan, starts)
        logits = [logits for part in batches.forward(tiles) for logits in part]
        for start, tile_logits in zip(starts, logits, strict=True):
            blocks += blender.add(start, tile_logits)
        done += len(starts)
    return joined([*blocks, *blender.finish()], plan)


def joined(blocks, plan, classes=3) -> torch.Tensor:
    """Return the blocks in one volume, after checking that they cover it once."""
    logits, times = torch.full((classes, *plan.shape), torch.nan), torch.zeros(plan.shape)
    for block in blocks:
        times[block.box] += 1
        if block.logits is not None:
            logits[(slice(None), *block.box)] = block.logits
    assert (times == 1).all()
    return logits


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
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("batch", "margin_bytes"), [(1, 1 << 30), (3, 1 << 30), (1, 20_000), (2, 0)])
def test_blended_logits_are_those_of_monai_bit_by_bit(shape, tile, overlap, batch, margin_bytes, compiled, monkeypatch):
    monkeypatch.setattr(blend, "WORTH_COMPILING", 0 if compiled else 1 << 62)
    monkeypatch.setattr(blend, "STRETCH", 32 if margin_bytes else 5)
    net, volume = network(3), image(shape)
    with torch.inference_mode():
        expected = sliding_window_inference(volume[None], tile, batch, net, overlap=overlap, mode="gaussian")[0]
    assert torch.equal(blended(net, volume, tile, overlap, batch, margin_bytes), expected)


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


@pytest.mark.parametrize("margin_bytes", [1 << 30, 4 * 5 * 8 * (4 * 40 + 8 * 4), 0])
def test_memory_grows_neither_with_the_volume_nor_with_its_cross_section(margin_bytes, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    plan = plan_tiles((80, 40, 40), (8, 8, 8), 0.5)
    blender, tile, held = Blender(plan, 5, CPU, margin_bytes=margin_bytes), torch.ones((5, 8, 8, 8)), 0
    margins = margins_of(plan, 5)
    assert margins == (4 * 5 * 8 * 8 * 4, 4 * 5 * 8 * 4 * 40, 4 * 5 * 4 * 40 * 40)
    for start in plan.starts:
        for block in blender.add(start, tile.clone()):
            assert torch.allclose(block.logits, torch.tensor(1.0))
        held = max(held, sum(sums.nbytes for sums in blender._margins._here.values()))
    assert held <= min(margin_bytes, sum(margins))
    assert any(tmp_path.iterdir()) == (margin_bytes < sum(margins))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    del blender
    assert not any(tmp_path.iterdir())


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
    whole = plan_tiles((20, 4, 8), (4, 4, 4), 0.0)
    chosen = ((4, 0, 0), (16, 0, 4))
    tile = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 4, 4, 4)
    touched = torch.zeros((20, 4, 8), dtype=torch.bool)
    touched[4:8, :, :4], touched[16:, :, 4:] = True, True
    for plan in (whole, replace(whole, starts=chosen)):
        blender = Blender(plan, 3, CPU)
        blocks = [block for start in chosen for block in blender.add(start, tile.clone())]
        blocks += blender.finish()
        logits = joined(blocks, plan)
        assert torch.equal(logits[1].isnan(), ~touched)
        assert torch.allclose(logits[2][touched], torch.tensor(2.0))
    partly = plan_tiles((4, 4, 6), (4, 4, 4), 0.25)
    blender = Blender(partly, 3, CPU)
    left, right = [*blender.add((0, 0, 0), tile.clone()), *blender.finish()]
    assert (left.whole, right.whole) == (True, False)
    background = as_background(right).logits
    assert background.argmax(dim=0)[0, 0].tolist() == [2, 2, 0, 0]
    assert background.softmax(dim=0)[0, ..., 2:].min() > 1 - 1e-6


def test_what_a_network_still_holds_is_not_changed():
    class Stubborn(nn.Module):
        """Answers with its input, a buffer of its own, or one number seen many times."""

        def __init__(self, kind: str) -> None:
            super().__init__()
            self.kind = kind
            self.register_buffer("answer", torch.ones((1, 2, 4, 4, 4)))

        def forward(self, tiles: torch.Tensor) -> torch.Tensor:
            kinds = {"input": tiles, "buffer": self.answer, "number": self.answer[:, :, :1].expand(1, 2, 4, 4, 4)}
            return kinds[self.kind]

    for kind in ("input", "buffer", "number"):
        network, tiles = Stubborn(kind), torch.ones((1, 2, 4, 4, 4))
        with torch.inference_mode():
            Runner(network, CPU)(tiles).mul_(7)
        assert (network.answer == 1).all()
        assert (tiles == 1).all()

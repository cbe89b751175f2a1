"""Logits come back to the image's grid as by MONAI, whatever the blocks, and only classes that can win are computed."""

import numpy as np
import pytest
import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms import SpatialResample

from napari_medseg.inference import unblock
from napari_medseg.inference.blend import Block
from napari_medseg.inference.resample import Resampling
from napari_medseg.inference.tiling import plan_tiles
from napari_medseg.inference.unblock import ToImageGrid, last_positive, strongest
from napari_medseg.models import ModelSpec
from napari_medseg.volume import Geometry, LabelClass

RAI = np.array([[1.3, 0, 0, 4], [0, 0.7, 0, -3], [0, 0, -2.1, 9], [0, 0, 0, 1]])


def spec_of(classes: int, **fields) -> ModelSpec:
    entries = tuple(LabelClass(value=k, name=f"c{k}") for k in range(classes))
    return ModelSpec(name="m", architecture="unet", classes=entries, **fields)


def blocks_of(plan, logits, left_out=()):
    """Yield a volume of logits in the blocks of a plan; those of some places as background."""
    sizes = plan.shape
    for start in plan.starts:
        box = tuple(
            slice(a, next((n for n in line if n > a), size))
            for a, line, size in zip(start, plan.lines, sizes, strict=True)
        )
        here = None if start in left_out else logits[(slice(None), *box)].clone()
        yield Block(box, here, whole=here is not None)


@pytest.fixture(params=[False, True], ids=["interpreted", "compiled"])
def compiled(request, monkeypatch) -> bool:
    """Whether the code for large images is used."""
    monkeypatch.setattr(unblock, "WORTH_COMPILING", 0 if request.param else 1 << 62)
    return request.param


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("shear", [0.0, 1e-7, 0.05, -0.3])
def test_resampled_logits_are_those_of_monai_s_inverse(shear):
    affine = RAI
    source = Geometry((17, 9, 21), affine)
    step = np.diag([1.7, 0.45, 1.0, 1.0])
    step[:2, 1:3] += shear
    target = Geometry((10, 19, 21), affine @ step)
    logits = torch.randn((3, 17, 9, 21), generator=torch.Generator().manual_seed(0))
    theirs = SpatialResample(mode="bilinear", padding_mode="border")(
        MetaTensor(logits, affine=torch.tensor(source.affine)),
        dst_affine=torch.tensor(target.affine),
        spatial_size=target.shape,
    ).as_tensor()
    plan = plan_tiles(source.shape, (5, 4, 6), 0.25)
    to_image, ours, labels = (
        ToImageGrid(plan, spec_of(3), Resampling(source, target)),
        torch.full(theirs.shape, torch.nan),
        [],
    )
    for block in blocks_of(plan, logits):
        for part in to_image.add(block):
            winners = part.winners()
            for piece, values in part.pieces():
                ours[(slice(None), *piece)] = values
            labels.append((winners == ours[(slice(None), *part.box)].argmax(dim=0)).all())
    assert all(labels)
    # Axes that are parallel but for the rounding of a header count as parallel.
    parallel = shear == 1e-7
    assert torch.allclose(ours, theirs, rtol=0, atol=1e-4 if parallel else 1e-6)
    assert parallel or (ours == theirs).float().mean() > 0.99


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("classes", [2, 40])
@pytest.mark.parametrize("channels_last", [False, True])
def test_labels_are_those_of_the_whole_whatever_is_left_out(classes, channels_last):
    """Many classes are compared a few at a time, in float32; blocks of background are not computed."""
    rng = torch.Generator().manual_seed(3)
    source, target = Geometry((40, 21, 18), np.eye(4)), Geometry((61, 33, 37), np.diag([0.65, 0.61, 0.47, 1.0]))
    logits = torch.randn((classes, *source.shape), generator=rng)
    logits = torch.nn.functional.avg_pool3d(logits, 5, 1, 2)
    plan = plan_tiles(source.shape, (12, 8, 8), 0.5)
    left_out = {start for number, start in enumerate(plan.starts) if number % 3 or number < len(plan.starts) // 2}
    for block in blocks_of(plan, logits, left_out):
        if block.logits is None:
            logits[(slice(None), *block.box)] = -30.0
            logits[(slice(0, 1), *block.box)] = 0.0
    everything = (slice(0, 61), slice(0, 33), slice(0, 37))
    expected = Resampling(source, target).values(logits, (0, 0, 0), everything)
    to_image, labels = ToImageGrid(plan, spec_of(classes), Resampling(source, target)), torch.zeros(target.shape)
    empty = 0
    for block in blocks_of(plan, logits, left_out):
        if channels_last and block.logits is not None:
            there = block.logits.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2)
            block = Block(block.box, there, block.whole)
        for part in to_image.add(block):
            winners = part.winners()
            empty += winners is None
            labels[part.box] = 0 if winners is None else winners.float()
    assert empty
    two = expected.topk(2, dim=0).values
    clear = two[0] - two[1] > 1e-5
    assert clear.float().mean() > 0.99
    assert torch.equal(labels[clear], expected.argmax(dim=0).float()[clear])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_of_equal_interpolated_logits_the_first_class_wins(axis, compiled):
    """Halfway between two voxels both classes are equal in float64, however float32 rounds."""
    shape = [5, 6, 40]
    shape[axis] += 1
    source = Geometry(tuple(shape), np.eye(4))
    affine = np.eye(4)
    affine[axis, 3] = 0.5
    target = Geometry((5, 6, 40), affine)
    one = torch.rand(shape, generator=torch.Generator().manual_seed(2))
    # The second class is the first one with every pair of neighbours exchanged, so that their sums are the same.
    pairs = torch.arange(shape[axis] // 2 * 2).view(-1, 2).flip(1).flatten()
    two = one.clone().index_copy(axis, torch.arange(len(pairs)), one.index_select(axis, pairs))
    everywhere = (slice(0, 5), slice(0, 6), slice(0, 40))
    resampling = Resampling(source, target)
    part = unblock.OtherGrid(everywhere, torch.stack([one, two]), (0, 0, 0), resampling, spec_of(2))
    assert not part.winners().movedim(axis, 0)[::2].any()


def test_the_nearest_voxel_counts_along_axes_that_say_so():
    source, target = Geometry((3, 4, 4), np.eye(4)), Geometry((9, 4, 4), np.diag([0.3, 1, 1, 1.0]))
    values = torch.arange(3.0).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    box = (slice(0, 9), slice(0, 4), slice(0, 4))
    found = Resampling(source, target, (True, False, False)).values(values, (0, 0, 0), box)
    assert found[0, :, 0, 0].tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 2]
    tilted = np.diag([0.3, 1, 1, 1.0])
    tilted[0, 1] = 0.01
    found = Resampling(source, Geometry((9, 4, 4), tilted), (True, False, False)).values(values, (0, 0, 0), box)
    assert found[0, :, 0, 0].tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 2]


def test_of_equals_the_first_class_wins():
    logits = torch.tensor([[1.0, 0.0, 2.0], [1.0, 3.0, 2.0], [0.0, 3.0, 5.0]])
    assert strongest(logits).tolist() == [0, 1, 2]
    assert strongest(logits.T.contiguous().T).tolist() == [0, 1, 2]


def test_of_regions_the_last_positive_one_counts():
    logits = torch.tensor([[1.0, -1.0, 2.0], [-1.0, -1.0, 2.0]])
    assert last_positive(logits).tolist() == [1, 0, 2]
    source, target = Geometry((4, 4, 4), np.eye(4)), Geometry((8, 8, 8), np.diag([0.5, 0.5, 0.5, 1.0]))
    spec = spec_of(3, output="regions")
    plan = plan_tiles(source.shape, (4, 4, 4), 0.0)
    values = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1).expand(2, 4, 4, 4)
    (part,) = ToImageGrid(plan, spec, Resampling(source, target)).add(next(blocks_of(plan, values)))
    assert (part.winners() == 1).all()

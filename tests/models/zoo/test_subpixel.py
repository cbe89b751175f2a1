"""The network starts as a spline that agrees with the slices, and puts each answer in its place."""

import numpy as np
import pytest
import torch

from napari_medseg.errors import BundleError
from napari_medseg.models import Bundle, ModelSpec, build
from napari_medseg.models.nets.subpixel import shuffled
from napari_medseg.volume.sampling import AxisSampling, coarser


def spec_of(factor, task="superresolution", **more):
    options = {"features": 4, "blocks": 1, "factor": list(factor)}
    return ModelSpec(
        name="fine", architecture="subpixel", options=options, task=task, dims=len(factor), classes=(),
        axcodes=None, patch_size=(16,) * len(factor), **more,
    )  # fmt: skip


@pytest.mark.parametrize("factor", [(3, 1), (2, 2), (1, 3, 2)])
def test_places_are_those_of_numpy(factor):
    fine = np.arange(np.prod(factor) * 4 ** len(factor)).reshape([4 * f for f in factor])
    # (fine) -> (coarse, place, coarse, place, ...) -> (place..., coarse...)
    split = fine.reshape([n for f in factor for n in (4, f)])
    dims = len(factor)
    places = split.transpose([*range(1, 2 * dims, 2), *range(0, 2 * dims, 2)]).reshape(-1, *(4,) * dims)
    found = shuffled(torch.from_numpy(places)[None], factor)
    np.testing.assert_array_equal(found[0, 0].numpy(), fine)


@pytest.mark.parametrize("factor", [(3, 1), (2, 2), (2, 1, 1)])
def test_it_starts_better_than_interpolation(factor):
    network = build(spec_of(factor)).eval()
    grid = np.indices([24 * f for f in factor]) / np.array(factor).reshape(-1, *(1,) * len(factor))
    truth = np.sin(sum(axis * (0.8 + 0.1 * number) for number, axis in enumerate(grid))).astype(np.float32)
    axes = [AxisSampling(f) for f in factor]
    thick = coarser(truth, axes, [24] * len(factor))
    with torch.inference_mode():
        found = network(torch.from_numpy(thick)[None, None])[0, 0].numpy()
    inner = tuple(slice(6 * f, -6 * f) for f in factor)
    from napari_medseg.volume.sampling import finer

    def error(image):
        return np.abs(image - truth)[inner].mean()

    assert found.shape == truth.shape
    assert error(found) < 0.7 * error(finer(thick, axes))


def test_a_cleaning_network_starts_as_nothing_and_a_bundle_gives_it_back(tmp_path):
    spec = spec_of((1, 1), "enhancement", channels=3)
    network = build(spec).eval()
    image = torch.randn(2, 3, 9, 9)
    with torch.inference_mode():
        torch.testing.assert_close(network(image), image[:, 1:2])
    network.gain.fill_(0.25)
    loaded = Bundle.load(Bundle.create(spec, network.state_dict()).save(tmp_path / "clean").path)
    assert loaded.spec == spec
    assert float(loaded.network().gain) == 0.25
    assert "computed, not measured" in (tmp_path / "clean" / "docs" / "README.md").read_text()


def test_it_is_not_for_segmentation():
    with pytest.raises(BundleError, match="not for segmentation"):
        build(ModelSpec(name="x", architecture="subpixel", dims=2, patch_size=(8, 8)))

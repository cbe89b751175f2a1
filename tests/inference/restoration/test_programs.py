"""Networks of others that give images, as TorchScript: finer and cleaner images, whatever sizes they take."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from napari_medseg.errors import BundleError
from napari_medseg.inference.restoration.cleaner import clean
from napari_medseg.inference.restoration.finer import refine
from napari_medseg.models import Bundle, Intensity, ModelSpec, import_program
from napari_medseg.models.trust import digest_of, trust
from napari_medseg.progress import Finished
from napari_medseg.volume import Geometry, Volume


class Halves(nn.Module):
    """Takes edges that are multiples of 8 only, as a U-Net does, and gives what it got."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if image.shape[-1] % 8 != 0 or image.shape[-2] % 8 != 0:
            raise RuntimeError("odd")
        return image.clone()


def program(network, tmp_path, task, patch, **fields):
    path = tmp_path / "net.ts"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(network.eval()), str(path))
    trust(digest_of(path), "net")
    spec = ModelSpec(
        name="net", architecture="torchscript", task=task, dims=len(patch), patch_size=patch,
        intensity=Intensity(kind="minmax"), **fields,
    )  # fmt: skip
    return Bundle.load(import_program(path, spec).save(tmp_path / "bundle").path)


def done(events):
    (result,) = [event.result for event in events if isinstance(event, Finished)]
    return result


@pytest.fixture
def scan():
    z, y, x = np.indices((9, 21, 26))
    data = (1000 + 300 * np.sin(z) * np.cos(y / 4) + 200 * np.sin(x / 3)).astype(np.float32)
    return Volume(data, Geometry(data.shape, np.array([[0, 0, 1.0, 5], [0, 1.0, 0, 6], [3.0, 0, 0, 7], [0, 0, 0, 1]])))


def test_a_denoiser_is_run_on_tiles_of_its_size(scan, tmp_path):
    bundle = program(Halves(), tmp_path, "enhancement", (16, 16), axcodes=None)
    assert bundle.spec.classes == ()
    result = done(clean(scan, bundle))
    np.testing.assert_allclose(result.image.data, scan.data, atol=1e-2)
    plane = Volume(np.asarray(scan.data[4]), None)
    np.testing.assert_allclose(done(clean(plane, bundle)).image.data, plane.data, atol=1e-2)


@pytest.mark.parametrize("turned", [False, True])
def test_a_network_of_volumes_refines_where_slices_are_thick(scan, tmp_path, turned):
    net = nn.Upsample(scale_factor=(3.0, 1.0, 1.0), mode="nearest")
    bundle = program(net, tmp_path, "superresolution", (8, 16, 16))
    assert bundle.spec.options["factor"] == [3, 1, 1]
    if turned:
        # Slices across left-right, where the network was made for head-feet.
        affine = np.array([[3.0, 0, 0, 5], [0, 1.0, 0, 6], [0, 0, 1.0, 7], [0, 0, 0, 1]])
        scan = Volume(scan.data, Geometry(scan.data.shape, affine))
    result = done(refine(scan, bundle))
    assert result.image.data.shape == (27, 21, 26)
    assert result.image.geometry.spacing == pytest.approx((1, 1, 1))
    plain = done(refine(scan, bundle, None)).report
    assert plain["residual"] < plain["residual_before"]


def test_what_does_not_serve_is_said(tmp_path):
    with pytest.raises(BundleError, match="whole number of times"):
        program(nn.Conv2d(1, 2, 3, padding=1), tmp_path, "enhancement", (16, 16), axcodes=None)
    with pytest.raises(BundleError, match="whole number of times"):
        program(nn.Upsample(scale_factor=2.0), tmp_path, "enhancement", (16, 16), axcodes=None)

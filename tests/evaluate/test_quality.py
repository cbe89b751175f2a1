"""The report of an image's quality: known noise, and each harm is found where it is and not where it is not."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_medseg.errors import DataError
from napari_medseg.evaluate.quality import assess, noise_map
from napari_medseg.volume import Geometry, Volume

LEVEL = 4.0


def head(noise=LEVEL):
    """Return a ball of 100 to 140 in air, and random noise."""
    z, y, x = np.indices((16, 64, 64))
    inside = ((z - 8) / 9.0) ** 2 + ((y - 32) / 22.0) ** 2 + ((x - 32) / 22.0) ** 2 < 1
    image = inside * (120 + 20 * np.sin((y - 32) / 7))
    return (gaussian_filter(image, 0.4) + np.random.default_rng(1).normal(0, noise, image.shape)).astype(np.float32)


def volume_of(values, thick=1.0):
    return Volume(values, Geometry(values.shape, np.diag([thick, 1, 1, 1])), name="MR 1")


def test_a_good_image_has_no_findings():
    report = assess(volume_of(head()))
    assert report.noise == pytest.approx(LEVEL, rel=0.15)
    assert report.signal == pytest.approx(120, abs=8)
    assert report.snr == pytest.approx(120 / LEVEL, rel=0.2)
    assert report.anisotropy == 1
    assert report.findings == ()
    assert report.to_dict()["findings"] == []


def test_regions_of_the_user():
    values = head()
    first, second = np.zeros((2, *values.shape), bool)
    first[8, 30:34, 30:34], second[8, 2:6, 2:6] = True, True
    report = assess(volume_of(values), first, second)
    assert report.cnr == pytest.approx(abs(np.median(values[first]) - np.median(values[second])) / report.noise)
    with pytest.raises(DataError, match="not on the image's grid"):
        assess(volume_of(values), first[:3], second)
    with pytest.raises(DataError, match="no voxel"):
        assess(volume_of(values), first & False, second)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda v: head(30), "times the noise"),
        (lambda v: gaussian_filter(v, (0, 3, 3)), "Edges are soft"),
        (lambda v: np.minimum(v, 125), "largest value"),
        (lambda v: v + 0.2 * np.roll(v, 32, axis=1) * (v < 30), "ghosts"),
        (lambda v: v * np.where(np.arange(16) % 2, 1.0, 0.6)[:, None, None], "jumps from slice to slice"),
    ],
)
def test_each_harm_is_found_alone(spoil, said):
    findings = assess(volume_of(spoil(head()).astype(np.float32))).findings
    assert any(said in finding for finding in findings), findings


def test_thick_slices_and_empty_images():
    assert "5.0 times as thick" in assess(volume_of(head(), 5.0)).findings[0]
    with pytest.raises(DataError, match="everywhere"):
        assess(volume_of(np.ones((4, 8, 8), np.float32)))


def test_the_noise_map_follows_the_noise():
    random = np.random.default_rng(0)
    values = random.normal(0, np.where(np.arange(60) < 30, 2.0, 10.0), (4, 60, 60)).astype(np.float32)
    found = noise_map(values)
    assert found[:, 10:50, 5:20].mean() == pytest.approx(2, rel=0.1)
    assert found[:, 10:50, 40:55].mean() == pytest.approx(10, rel=0.1)

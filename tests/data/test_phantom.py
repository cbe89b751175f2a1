import numpy as np
import pytest

from napari_medseg.data.phantom import CLASSES, HEART, KIDNEY, LESION, LIVER, LUNG, SPINE, SPLEEN, VESSEL, ct_phantom


def test_the_same_seed_gives_the_same_phantom_and_another_seed_another() -> None:
    (image, labels), (again, _), (other, _) = ct_phantom(3), ct_phantom(3), ct_phantom(4)
    np.testing.assert_array_equal(image.data, again.data)
    assert (np.asarray(image.data) != np.asarray(other.data)).mean() > 0.5
    assert labels.kind == "labels"


def test_every_class_is_there_and_organs_have_the_hounsfield_units_of_their_kind() -> None:
    image, labels = ct_phantom()
    assert set(np.unique(labels.data)) == {0, *(c.value for c in CLASSES)}
    expected = {LUNG: -850, HEART: 120, LIVER: 105, SPLEEN: 115, KIDNEY: 170, SPINE: 350}
    for value, hu in expected.items():
        assert np.median(np.asarray(image.data)[np.asarray(labels.data) == value]) == pytest.approx(hu, abs=12)
    assert np.asarray(image.data)[0, 0, 0] == pytest.approx(-1000, abs=60)


def test_the_liver_is_right_the_spleen_left_the_spine_behind_and_the_lungs_above() -> None:
    _image, labels = ct_phantom(1)
    assert labels.geometry is not None
    grid = labels.geometry

    def middle(value: int) -> np.ndarray:
        return grid @ np.argwhere(np.asarray(labels.data) == value).mean(axis=0)

    assert middle(LIVER)[0] > 30
    assert middle(SPLEEN)[0] < -30
    assert middle(SPINE)[1] < -50
    assert middle(LUNG)[2] > 30 > middle(KIDNEY)[2]


def test_geometry_is_anisotropic_and_centred() -> None:
    image, labels = ct_phantom(shape=(20, 50, 60), spacing_mm=(8.0, 6.0, 5.0))
    assert image.geometry is not None
    assert image.geometry.spacing == pytest.approx((8.0, 6.0, 5.0))
    assert image.geometry.axcodes == "SPL"
    assert image.geometry == labels.geometry
    np.testing.assert_allclose(image.geometry @ ((20 - 1) / 2, (50 - 1) / 2, (60 - 1) / 2), 0, atol=1e-9)


def test_the_great_vessels_have_the_volume_of_two_cylinders() -> None:
    _image, labels = ct_phantom(spacing_mm=(4.0, 1.2, 1.2), shape=(10, 320, 320))
    assert labels.geometry is not None
    volume = (np.asarray(labels.data) == VESSEL).sum() * labels.geometry.voxel_volume_ml
    assert volume == pytest.approx(2 * np.pi * 11**2 * 40 / 1000, rel=0.02)


def test_lesions_lie_inside_liver_and_lung() -> None:
    from scipy.ndimage import binary_dilation, label

    for seed in range(3):
        _image, labels = ct_phantom(seed)
        data = np.asarray(labels.data)
        components, count = label(data == LESION)
        assert count >= 4
        for number in range(1, count + 1):
            blob = components == number
            around = data[binary_dilation(blob) & ~blob]
            assert {LIVER, LUNG} & set(around.tolist())

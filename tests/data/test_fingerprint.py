"""How the values of CT images enter a network, from what is labelled in them."""

import numpy as np
import pytest

from napari_medseg.data.fingerprint import is_hounsfield, window_of
from napari_medseg.models.design import HOUNSFIELD, Design, design_spec
from napari_medseg.volume import LabelClass, Volume

ORGANS = [LabelClass(value=1, name="liver"), LabelClass(value=2, name="spleen")]


def scan(**told) -> tuple[Volume, np.ndarray]:
    """Return air around a body of fat, with a liver of 60 HU and a spleen of 50 HU, both with noise, and the labels."""
    rng = np.random.default_rng(0)
    data, labels = np.full((24, 40, 40), -1000, np.int16), np.zeros((24, 40, 40), np.uint8)
    data[:, 6:34, 6:34] = -100
    labels[:, 10:20, 10:20], labels[:, 22:30, 22:30] = 1, 2
    data[labels == 1], data[labels == 2] = 60, 50
    body = data > -900
    data[body] += rng.normal(0, 10, int(body.sum())).round().astype(np.int16)
    return Volume(data, None, **told), labels


def test_the_window_lies_around_what_is_labelled():
    image, labels = scan(units="HU")
    found = window_of([(image, labels)])
    assert found is not None
    low, high = np.percentile(np.asarray(image.data)[labels > 0], [0.5, 99.5])
    assert high - low < 100
    # 200 HU, of which the labelled ones are in the middle, on either side of it
    assert (found.kind, found.high - found.low) == ("window", 400)
    assert (found.low + found.high) / 2 == pytest.approx((low + high) / 2, abs=1)


def test_strokes_of_background_do_not_widen_it_and_no_stroke_says_nothing():
    image, labels = scan(units="HU")
    painted = np.where(np.asarray(image.data) < -900, 255, labels)
    assert window_of([(image, painted)]) == window_of([(image, labels)])
    assert window_of([(image, np.zeros_like(labels))]) is None
    assert window_of([]) is None


def test_the_widest_window_is_what_a_scanner_stores():
    image, labels = scan(units="HU")
    labels[0], np.asarray(image.data)[0, 0, 0] = 1, 3000
    found = window_of([(image, labels)])
    assert found is not None
    assert found.low == -1024
    assert found.high <= 3071


@pytest.mark.parametrize(
    ("told", "change", "expected"),
    [
        ({"units": "HU"}, lambda data: data, True),
        ({}, lambda data: data, True),
        ({}, lambda data: data.astype(np.float32), True),
        ({"modality": "CT"}, lambda data: data, True),
        ({"modality": "MR"}, lambda data: data, False),
        ({"units": "SUVbw"}, lambda data: data, False),
        ({}, lambda data: data + 1000, False),
        ({}, lambda data: data / 7, False),
        ({}, lambda data: data * 4, False),
        ({}, lambda data: np.where(data < -900, -800, data), False),
    ],
    ids=["HU", "NIfTI", "float", "CT", "MR", "PET", "no air", "scaled", "phase", "no air in view"],
)
def test_hounsfield_units_are_told_or_seen(told, change, expected):
    image, labels = scan()
    image = Volume(change(np.asarray(image.data)), None, **told)
    assert is_hounsfield(image) == expected
    assert (window_of([(image, labels)]) is not None) == expected


def test_one_image_in_other_units_is_enough_to_standardise_all():
    image, labels = scan(units="HU")
    assert window_of([(image, labels), (Volume(np.asarray(image.data), None, modality="MR"), labels)]) is None


def test_a_network_takes_the_window_and_a_sketch_sees_all():
    image, labels = scan(units="HU")
    window = window_of([(image, labels)])
    assert design_spec("a", image, ORGANS, Design(), intensity=window).intensity == window
    assert design_spec("a", image, ORGANS, Design(size="sketch"), intensity=window).intensity == HOUNSFIELD

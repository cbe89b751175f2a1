"""The sample images are real, or known, and lie where they should."""

import numpy as np
import pytest
from napari.layers import Labels, Layer

from napari_medseg.ui import samples
from napari_medseg.ui.layers import geometry_of


def test_the_brain_comes_with_its_tissue_maps() -> None:
    pytest.importorskip("nilearn", reason="the MNI152 brain comes with nilearn")
    brain, grey, white = (Layer.create(*layer) for layer in samples.mni152())
    assert brain.visible
    assert not grey.visible
    assert geometry_of(brain).matches(geometry_of(white))
    # the template's origin lies at the anterior commissure, inside the brain
    inside = geometry_of(brain).to_index((0, 0, 0))
    assert brain.data[tuple(np.rint(inside).astype(int))] > 0


def test_the_phantom_comes_with_its_labels() -> None:
    image, labels = (Layer.create(*layer) for layer in samples.ct_phantom())
    assert isinstance(labels, Labels)
    assert image.data.shape == labels.data.shape
    assert geometry_of(image).matches(geometry_of(labels))
    names = dict(zip(labels.features["name"], labels.features["index"], strict=True))
    assert {"liver", "spleen"} & {name.lower() for name in names}


def test_the_ct_slice_shows_tissue() -> None:
    (layer,) = (Layer.create(*found) for found in samples.ct_slice())
    assert layer.data.shape[-2:] == (128, 128)

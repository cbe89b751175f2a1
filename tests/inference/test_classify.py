"""What a classifier sees of an image."""

import pytest
import torch

from napari_medseg.inference.classify import normalised
from napari_medseg.models import Intensity, ModelSpec
from napari_medseg.volume import LabelClass

CLASSES = (LabelClass(value=0, name="no"), LabelClass(value=1, name="yes"))


def spec(intensity: Intensity, images: int = 1) -> ModelSpec:
    return ModelSpec(
        name="m",
        architecture="cnn_small",
        task="classification",
        dims=2,
        channels=images,
        images=images,
        axcodes=None,
        classes=CLASSES,
        intensity=intensity,
        patch_size=(8, 8),
    )


def test_a_fixed_rule_is_the_same_for_all_images():
    stack = torch.arange(3 * 64, dtype=torch.float32).reshape(3, 1, 8, 8)
    found = normalised(stack, spec(Intensity(kind="fixed", low=10.0, high=30.0)))
    torch.testing.assert_close(found, (stack - 10) / 20)


@pytest.mark.parametrize("images", [1, 2])
def test_other_rules_go_by_each_image_of_a_place(images):
    rng = torch.Generator().manual_seed(0)
    stack = torch.rand((3, images, 8, 8), generator=rng) * torch.tensor([1.0, 10.0, 100.0]).view(3, 1, 1, 1)
    found = normalised(stack, spec(Intensity(kind="zscore"), images))
    assert found.shape == stack.shape
    torch.testing.assert_close(found.mean(dim=(2, 3)), torch.zeros(3, images), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.std(dim=(2, 3), correction=0), torch.ones(3, images))

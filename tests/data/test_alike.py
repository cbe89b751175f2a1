"""Images that were saved anew, resized or made brighter are known again, and no others are taken for them."""

import io

import imageio.v3 as iio
import numpy as np
import pytest
from scipy import ndimage

from napari_medseg.data.labelled import Pictures
from napari_medseg.data.labelled.alike import _bounding, joined, nearly_equal, thumbnail
from napari_medseg.errors import DataError
from napari_medseg.progress import Finished, Note
from napari_medseg.training.classification import ClassificationConfig, create_classification


def textures(count: int, edge: int = 48, seed: int = 0) -> np.ndarray:
    """Return images with one common shape and a texture of their own."""
    rng = np.random.default_rng(seed)
    own = ndimage.gaussian_filter(rng.standard_normal((count, edge, edge)), (0, 2, 2))
    rows, columns = np.indices((edge, edge)) - edge / 2
    common = np.exp(-(rows**2 + columns**2) / (edge / 3) ** 2)
    return np.clip(60 + 100 * common + 250 * own, 0, 255).astype(np.uint8)


def as_jpeg(image: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    iio.imwrite(file, image, extension=".jpg", quality=70)
    return np.asarray(iio.imread(file.getvalue()))


CHANGES = {
    "saved with loss": as_jpeg,
    "larger": lambda image: np.clip(ndimage.zoom(image.astype(float), 1.1, order=1), 0, 255).astype(np.uint8),
    "brighter": lambda image: np.clip(0.8 * image.astype(float) + 25, 0, 255).astype(np.uint8),
    "noisier": lambda image: np.clip(
        image + np.random.default_rng(1).normal(0, 3, image.shape), 0, 255
    ).astype(np.uint8),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_and_nothing_else(change):
    images = textures(40)
    copy = CHANGES[change](images[3])
    arrays = (images, copy[None])
    pictures = Pictures(tuple(map(str, range(41))), arrays=arrays)
    small = np.stack([thumbnail(pictures.get(k)).ravel() for k in range(41)])
    assert nearly_equal(pictures, small, ["train"] * 40 + ["test"]) == ((3, 40),)
    assert nearly_equal(pictures, small, [""] * 41) == ((3, 40),)
    # Both are on one side of the split, where they do no harm.
    assert nearly_equal(pictures, small, ["train"] * 20 + ["val"] + ["train"] * 20) == ()


def test_few_values_rule_pairs_out_but_no_pair_that_is_the_same():
    rng = np.random.default_rng(0)
    # All that there is lies in twenty directions, so that few values say nearly all.
    many = rng.standard_normal((500, 20)) @ rng.standard_normal((20, 256)) + 0.2 * rng.standard_normal((500, 256))
    many[7] = many[3] + 0.05 * rng.standard_normal(256)
    scaled = many.astype(np.float32) / np.linalg.norm(many, axis=1, keepdims=True).astype(np.float32)
    short = _bounding(scaled)
    assert short.shape == (500, 32)
    assert (short @ short.T >= scaled @ scaled.T - 1e-5).all()
    assert short[3] @ short[7] > 0.99
    # Where the directions are too many, all values are kept.
    noise = rng.standard_normal((500, 256)).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    alike = noise[:1] + 0.05 * noise
    alike /= np.linalg.norm(alike, axis=1, keepdims=True)
    assert _bounding(alike) is alike


def test_images_without_contrast_are_like_none():
    flat = np.full((3, 20, 20), 90, np.uint8)
    images = np.concatenate([textures(8, 20), flat + np.arange(3, dtype=np.uint8)[:, None, None]])
    pictures = Pictures(tuple(map(str, range(11))), arrays=(images,))
    small = np.stack([thumbnail(pictures.get(k)).ravel() for k in range(11)])
    assert nearly_equal(pictures, small, [""] * 11) == ()


def test_a_thumbnail_has_the_means_of_blocks():
    image = np.arange(32 * 32, dtype=np.uint16).reshape(1, 32, 32)
    np.testing.assert_allclose(thumbnail(image), image[0].reshape(16, 2, 16, 2).mean(axis=(1, 3)))
    assert thumbnail(np.ones((1, 5, 9, 20))).shape == (8, 8, 8)


def test_kin_of_kin_share_a_sum():
    assert joined(["a", "b", "c", "d"], [(1, 3), (2, 3)]) == ["a", "b", "b", "b"]


def test_a_split_with_a_copy_on_both_sides_is_refused_unless_the_user_knows_better(tmp_path):
    images = textures(12)
    rows = ["image,label,split"]
    for number, image in enumerate([*images, as_jpeg(images[0])]):
        iio.imwrite(tmp_path / f"i{number:02}.png", image)
        part = "test" if number > 10 else "val" if number > 8 else "train"
        rows.append(f"i{number:02},{'ab'[number % 2]},{part}")
    (tmp_path / "t.csv").write_text("\n".join(rows))

    def create(name: str, **settings: object) -> list[object]:
        config = ClassificationConfig(minutes=None, device="cpu", **settings)
        return list(create_classification(tmp_path / name, (tmp_path, tmp_path / "t.csv"), config))

    with pytest.raises(DataError, match=r"or nearly so, such as i00\.png\. .*nearly_equal=false"):
        create("refused")
    *_, finished = create("known", nearly_equal=False)
    assert isinstance(finished, Finished)
    notes = [event.text for event in create("dropped", leaks="drop") if isinstance(event, Note)]
    assert any("left out of training" in text for text in notes)

import numpy as np
import pytest
from scipy import ndimage

from napari_medseg.data import UNLABELLED, Sample, make_sample
from napari_medseg.data.split import GAP, hold_out, near, patients_of
from napari_medseg.volume import LabelClass

CLASSES = tuple(LabelClass(value=k, name=f"class {k}") for k in range(3))


def sample_of(labels: np.ndarray, name: str = "a", group: str = "", scheme: str = "sparse") -> Sample:
    image = np.zeros((1, *labels.shape), np.float32)
    return make_sample(image, labels, CLASSES, scheme=scheme, id=name, group=group)  # type: ignore[arg-type]


def strokes(seed: int = 0, per_class: int = 20) -> np.ndarray:
    """Short strokes of background and two classes on three slices."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((60, 80, 90), np.uint8)
    for value in (255, 1, 2):
        for _ in range(per_class):
            z, y, x = rng.choice([15, 30, 45]), rng.integers(5, 75), rng.integers(5, 75)
            labels[z, y, x : x + 10] = value
    return labels


def test_every_class_is_trained_on_and_validated() -> None:
    sample = sample_of(strokes())
    held_out = hold_out([sample], 0.15, seed=0)
    training, validation = held_out.training_target(sample), held_out.validation_target(sample)
    assert validation is not None
    for k in range(3):
        total = (sample.target == k).sum()
        assert 0.05 * total < (validation == k).sum() <= 0.3 * total
        assert (training == k).sum() > 0.6 * total


@pytest.mark.parametrize("seed", range(5))
def test_training_keeps_its_distance_from_validation(seed: int) -> None:
    sample = sample_of(strokes(seed, per_class=60))
    held_out = hold_out([sample], 0.15, seed)
    distance = ndimage.distance_transform_cdt(~held_out.masks["a"], metric="chessboard")
    assert distance[held_out.training_target(sample) != UNLABELLED].min() > GAP
    validation = held_out.validation_target(sample)
    assert validation is not None
    assert not ((validation != UNLABELLED) & (held_out.training_target(sample) != UNLABELLED)).any()


def test_a_structure_that_was_painted_on_neighbouring_slices_stays_in_one_part() -> None:
    labels = np.zeros((60, 80, 90), np.uint8)
    rng = np.random.default_rng(1)
    corners = [(z, y, x) for z in (4, 20, 36, 52) for y in (10, 30, 50, 70) for x in (10, 30, 50, 70)]
    for number, (z, y, x) in enumerate(corners):
        labels[z : z + 3, y : y + 3, x : x + 3] = (255, 1, 2)[number % 3]
    sample = sample_of(labels)
    held_out = hold_out([sample], 0.15, seed=int(rng.integers(100)))
    held = held_out.masks["a"]
    training = held_out.training_target(sample) != UNLABELLED
    for column in [labels[:, y : y + 3, x : x + 3] for _, y, x in corners]:
        assert column.any()
    for z, y, x in corners:
        block = (slice(z, z + 3), slice(y, y + 3), slice(x, x + 3))
        held_slices, trained_slices = held[block].any(axis=(1, 2)), training[block].any(axis=(1, 2))
        assert not (held_slices.any() and trained_slices.any())


def test_the_choice_follows_from_the_seed() -> None:
    sample = sample_of(strokes())
    masks = [hold_out([sample], 0.15, seed).masks["a"] for seed in (3, 3, 4)]
    np.testing.assert_array_equal(masks[0], masks[1])
    assert (masks[0] != masks[2]).any()


def test_too_little_annotation_is_not_validated() -> None:
    labels = np.zeros((10, 20, 20), np.uint8)
    labels[5, 5, 5:10], labels[5, 9, 5:10] = 1, 255
    held_out = hold_out([sample := sample_of(labels)], 0.15, seed=0)
    assert held_out.masks == {}
    assert "not validated" in held_out.note
    assert held_out.training_target(sample) is sample.target
    assert held_out.validation_target(sample) is None


def test_a_share_of_zero_trains_on_everything() -> None:
    held_out = hold_out([sample_of(strokes())], 0.0, seed=0)
    assert held_out.masks == {}
    assert "not validated" in held_out.note


def test_one_finished_volume_is_split_into_large_blocks() -> None:
    labels = np.zeros((30, 30, 30), np.uint8)
    labels[:, :15], labels[:, 15:, 20:] = 1, 2
    sample = sample_of(labels, scheme="dense")
    held_out = hold_out([sample], 0.15, seed=0)
    mask = held_out.masks["a"]
    assert 0.05 < mask.mean() < 0.31
    blocks, count = ndimage.label(mask)
    assert min(np.bincount(blocks.ravel())[1:]) >= 1000
    assert count >= 1
    assert set(np.unique(held_out.training_target(sample))) == {UNLABELLED, 0, 1, 2}


def finished_patients() -> list[Sample]:
    rng = np.random.default_rng(0)
    samples = [
        sample_of(rng.integers(0, 3, (4, 4, 4)), f"{group}{visit}", group, "dense")
        for group in "abcdefgh"
        for visit in (1, 2)
    ]
    for number, sample in enumerate(samples):
        sample.image[...] = number
    return samples


def test_with_several_finished_patients_whole_patients_are_held_out() -> None:
    samples = finished_patients()
    held_out = hold_out(samples, 0.25, seed=0)
    groups = {sample.group for sample in samples if sample.id in held_out.masks}
    assert len(groups) == 2
    for sample in samples:
        trained = (held_out.training_target(sample) != UNLABELLED).any()
        assert trained == (sample.group not in groups)


def test_the_only_patient_with_a_class_is_trained_on() -> None:
    samples = finished_patients()
    for sample in samples:
        if sample.group != "c":
            sample.target[sample.target == 2] = 0
    for seed in range(10):
        assert not {"c1", "c2"} & hold_out(samples, 0.25, seed).masks.keys()


def test_nearness_is_counted_in_voxels_along_each_axis() -> None:
    mask = np.zeros((7, 7, 7), bool)
    mask[3, 3, 3] = True
    steps = np.abs(np.indices(mask.shape) - 3).max(axis=0)
    np.testing.assert_array_equal(near(mask), steps <= GAP)


def test_what_is_held_out_lies_in_its_blocks_and_nothing_else_does() -> None:
    sample = sample_of(strokes())
    held_out = hold_out([sample], 0.15, seed=0)
    assert held_out.unit == "block"
    found = np.zeros(sample.target.shape, int)
    for name, box in held_out.units(sample):
        assert name.startswith("a ")
        assert held_out.masks["a"][box].any()
        found[box] += 1
    assert found.max() == 1
    np.testing.assert_array_equal(held_out.masks["a"], (found > 0) & (sample.target != UNLABELLED))


def test_several_patients_with_strokes_are_held_out_as_patients() -> None:
    samples = [sample_of(strokes(seed), f"v{seed}", f"p{seed // 2}") for seed in range(10)]
    for number, sample in enumerate(samples):
        sample.image[...] = number
    for seed in range(5):
        held_out = hold_out(samples, 0.15, seed)
        assert held_out.unit == "patient"
        groups = {sample.group for sample in samples if sample.id in held_out.masks}
        assert len(groups) == 1
        assert {name for sample in samples for name, _ in held_out.units(sample)} == groups
        # the image that is painted on comes first, and is learnt from
        assert groups != {"p0"}


def test_strokes_on_few_patients_are_held_out_in_blocks_of_each() -> None:
    samples = [sample_of(strokes(seed), f"v{seed}") for seed in range(4)]
    for number, sample in enumerate(samples):
        sample.image[...] = number
    held_out = hold_out(samples, 0.15, seed=0)
    assert held_out.unit == "block"
    assert all((held_out.training_target(sample) != UNLABELLED).any() for sample in samples)


def test_the_same_image_under_two_names_is_never_on_both_sides() -> None:
    rng = np.random.default_rng(0)
    samples = [sample_of(rng.integers(0, 3, (6, 6, 6)), name, name, "dense") for name in "abcdef"]
    for number, sample in enumerate(samples):
        sample.image[...] = number % 3
    assert patients_of(samples) == {"a": "a", "b": "b", "c": "c", "d": "a", "e": "b", "f": "c"}
    for seed in range(6):
        held = set(hold_out(samples, 0.15, seed).masks)
        assert held in ({"a", "d"}, {"b", "e"}, {"c", "f"})


def test_of_many_patients_enough_are_held_out_for_an_interval() -> None:
    rng = np.random.default_rng(0)
    samples = [sample_of(rng.integers(0, 3, (6, 6, 6)), name, name, "dense") for name in "abcdefghi"]
    for number, sample in enumerate(samples):
        sample.image[...] = number
    assert len(hold_out(samples, 0.05, seed=0).masks) == 3

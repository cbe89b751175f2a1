"""Labelled images are found by folder, table and npz; what is held out shares no patient and no image."""

import csv
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from napari_medseg.data.labelled import Parts, find_labelled, picture_of, split_parts
from napari_medseg.data.labelled.images import with_channels
from napari_medseg.data.labelled.parts import digest
from napari_medseg.data.labelled.tree import tree_of
from napari_medseg.errors import DataError

RNG = np.random.default_rng(0)


def save(path: Path, value: int | None = None) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = RNG.integers(0, 255, (6, 5), np.uint8) if value is None else np.full((6, 5), value, np.uint8)
    iio.imwrite(path, image)
    return image


def table(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def parts_of(folder: Path, labels: Path | None = None, share: float = 0.25, leaks: str = "auto") -> Parts:
    found = find_labelled(folder, labels)
    sums = [digest(found.pictures.get(k)) for k in range(len(found.pictures))]
    return split_parts(found, sums, share, 0, leaks)


def test_folders_name_classes(tmp_path):
    image = save(tmp_path / "sick" / "b.png")
    save(tmp_path / "healthy" / "a.png")
    save(tmp_path / "healthy" / "c.png")
    found = find_labelled(tmp_path)
    assert found.classes == ("healthy", "sick")
    assert found.pictures.names == ("healthy/a.png", "healthy/c.png", "sick/b.png")
    assert found.labels.tolist() == [0, 0, 1]
    np.testing.assert_array_equal(found.pictures.get(2), image[None])


def test_folders_name_parts_above_classes(tmp_path):
    for name in ("train/a/1.png", "train/b/2.png", "val/a/3.png", "test/b/4.png"):
        save(tmp_path / name)
    found = find_labelled(tmp_path)
    assert dict(zip(found.pictures.names, found.parts, strict=True)) == {
        "test/b/4.png": "test", "train/a/1.png": "train", "train/b/2.png": "train", "val/a/3.png": "val"
    }  # fmt: skip


def test_tables_name_images_with_or_without_suffix_and_numbers_sort_as_numbers(tmp_path):
    for name in ("x", "y", "z"):
        save(tmp_path / "images" / f"{name}.png")
    rows = [{"image": "x.png", "label": 10, "split": "train"}, {"image": "y", "label": 9, "split": "valid"},
            {"image": "images/z", "label": 10, "split": ""}]  # fmt: skip
    found = find_labelled(tmp_path / "images", table(tmp_path / "labels.csv", rows))
    assert found.classes == ("9", "10")
    assert found.labels.tolist() == [1, 0, 1]
    assert found.parts == ("train", "val", "")


def test_npz_has_its_parts(tmp_path):
    grey, colour = RNG.integers(0, 255, (4, 8, 8), np.uint8), RNG.integers(0, 255, (2, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "d.npz", train_images=grey, train_labels=np.array([[0], [2], [0], [2]]),
             test_images=colour, test_labels=np.array([[2], [0]]))  # fmt: skip
    found = find_labelled(tmp_path / "d.npz")
    assert found.classes == ("0", "2")
    assert found.pictures.names[3:5] == ("train/3", "test/0")
    np.testing.assert_array_equal(found.pictures.get(5)[1], colour[1, ..., 1])
    assert found.pictures.get(0).shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"image": "x", "grade": 1}], "no column label, and no columns of classes"),
        ([{"image": "x", "label": ""}], "line 2: x has no label"),
        ([{"image": "x", "label": 1, "split": "dev"}], "split 'dev' is unknown"),
        ([{"image": "x", "label": 1}, {"image": "x", "label": 2}], "names x twice"),
        ([{"image": "x", "label": 1}, {"image": "q", "label": 2}], "no image q"),
        ([{"image": "x", "label": 1}], "have the class '1'"),
    ],
)
def test_tables_that_do_not_serve(tmp_path, rows, message):
    save(tmp_path / "images" / "x.png")
    with pytest.raises(DataError, match=message):
        find_labelled(tmp_path / "images", table(tmp_path / "labels.csv", rows))


def test_an_npz_file_may_give_an_image_several_classes(tmp_path):
    labels = np.eye(3, dtype=np.uint8)[[0, 1, 2, 0]] | np.array([0, 0, 1], np.uint8)
    np.savez(tmp_path / "d.npz", train_images=np.zeros((4, 8, 8), np.uint8), train_labels=labels)
    found = find_labelled(tmp_path / "d.npz")
    assert (found.classes, found.several) == (("0", "1", "2"), True)
    np.testing.assert_array_equal(found.targets, labels)


def test_patients_and_equal_images_stay_together_and_classes_are_stratified(tmp_path):
    rows = []
    for patient in range(20):
        for view in range(2):
            name = f"{patient}_{view}.png"
            # Patients 0 and 1 share an image, so they belong together.
            save(tmp_path / "images" / name, 7 if (patient, view) in ((0, 0), (1, 1)) else None)
            rows.append({"image": name, "label": patient % 2, "patient": f"p{patient}"})
    found = find_labelled(tmp_path / "images", labels := table(tmp_path / "labels.csv", rows))
    parts = parts_of(tmp_path / "images", labels)
    assert sorted([*parts.train, *parts.val]) == list(range(40))
    sides = [{found.groups[k] for k in side} for side in (parts.train, parts.val)]
    assert not sides[0] & sides[1]
    assert not any({"p0", "p1"} & side for side in sides) or any({"p0", "p1"} <= side for side in sides)
    assert 0.3 <= found.labels[parts.val].mean() <= 0.7


def test_a_leaking_split_is_refused_or_its_training_images_are_dropped(tmp_path):
    rows = []
    for number in range(6):
        save(tmp_path / "images" / f"{number}.png", 9 if number in (0, 5) else None)
        rows.append({"image": f"{number}", "label": number % 2, "split": "train" if number < 4 else "val"})
    labels = table(tmp_path / "labels.csv", rows)
    with pytest.raises(DataError, match=r"1 training images are also .* such as 0\.png"):
        parts_of(tmp_path / "images", labels)
    kept = parts_of(tmp_path / "images", labels, leaks="drop")
    assert kept.train.tolist() == [1, 2, 3]
    assert kept.val.tolist() == [4, 5]


def test_a_patient_on_both_sides_is_refused(tmp_path):
    rows = [
        {"image": f"{k}", "label": k % 2, "split": "train" if k < 4 else "test", "patient": f"p{min(k, 3)}"}
        for k in range(6)
    ]
    for k in range(6):
        save(tmp_path / "images" / f"{k}.png")
    with pytest.raises(DataError, match="of patients who are also"):
        parts_of(tmp_path / "images", table(tmp_path / "labels.csv", rows))


def test_equal_images_of_a_published_split_are_left_out_of_training(tmp_path):
    images = RNG.integers(0, 255, (5, 8, 8), np.uint8)
    np.savez(tmp_path / "d.npz", train_images=images, train_labels=np.array([0, 1, 0, 1, 0]),
             val_images=images[:1], val_labels=np.array([0]))  # fmt: skip
    parts = parts_of(tmp_path / "d.npz")
    assert parts.train.tolist() == [1, 2, 3, 4]
    assert parts.val.tolist() == [5]
    assert "1 training images" in parts.notes[0]


def test_channels_are_repeated_or_become_brightness():
    grey = np.arange(4, dtype=np.float32).reshape(1, 2, 2)
    np.testing.assert_array_equal(with_channels(grey, 3, "g")[2], grey[0])
    colour = np.stack([np.full((2, 2), v, np.float32) for v in (100, 10, 1)])
    assert with_channels(colour, 1, "c")[0, 0, 0] == pytest.approx(29.9 + 5.87 + 0.114)
    with pytest.raises(DataError, match="2 channels"):
        with_channels(colour[:2], 3, "c")


def test_volumes_stand_and_single_slices_are_planes(tmp_path):
    import nibabel as nib

    # Array axes (x, y, z) towards right, anterior and superior: 1 at the right front top.
    data = np.zeros((2, 3, 4), np.float32)
    data[1, 2, 3] = 1
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "v.nii.gz")
    values = picture_of(tmp_path / "v.nii.gz", "v")
    assert values.shape == (1, 4, 3, 2)
    # Axes grow to superior, posterior and left.
    assert values[0, 3, 0, 0] == 1
    nib.save(nib.Nifti1Image(data[..., :1], np.eye(4)), tmp_path / "p.nii.gz")
    assert picture_of(tmp_path / "p.nii.gz", "p").ndim == 3


def test_folders_of_dicom_files_are_images_of_a_volume_or_of_planes(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data = pydicom.dataset.FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.Modality = "CT"
    save(tmp_path / "a" / "p.png")
    for name in ("a/s/1", "a/s/2"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        data.save_as(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    assert [p.relative_to(tmp_path).as_posix() for p in tree_of(tmp_path)] == ["a/p.png", "a/s"]
    files = [p.relative_to(tmp_path).as_posix() for p in tree_of(tmp_path, series=False)]
    assert files == ["a/p.png", "a/s/1", "a/s/2"]


def test_images_of_one_name_in_several_folders_are_told_apart(tmp_path):
    rows = ["image,label"]
    for label in "ab":
        (tmp_path / "all" / label).mkdir(parents=True)
        for number in range(2):
            iio.imwrite(tmp_path / "all" / label / f"{number}.png", np.full((4, 4), number, np.uint8))
            rows.append(f"{tmp_path / 'all' / label / f'{number}.png'},{label}")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "t.csv").write_text("\n".join(rows))
    found = find_labelled(tmp_path / "run", tmp_path / "run" / "t.csv")
    assert found.pictures.names == ("a/0.png", "a/1.png", "b/0.png", "b/1.png")


@pytest.mark.parametrize(
    ("labels", "said"),
    [([0, 1, np.nan, 1], "train/2 is nan"), ([0.5, 1, 0, 1], "train/0 is 0.5"), (list("abab"), "is a")],
)
def test_labels_of_an_npz_file_are_whole_numbers(tmp_path, labels, said):
    np.savez(tmp_path / "a.npz", train_images=np.zeros((4, 6, 6), np.uint8), train_labels=np.array(labels))
    with pytest.raises(DataError, match=f"{said}, which is no whole number"):
        find_labelled(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", train_images=np.zeros((4, 6, 6), np.uint8), train_labels=np.array([3.0, 1, 3, 1]))
    assert find_labelled(tmp_path / "a.npz").labels.tolist() == [1, 0, 1, 0]


def test_the_only_image_of_a_class_is_learnt_from(tmp_path):
    for number in range(9):
        save(tmp_path / ("rare" if number == 4 else "usual") / f"{number}.png")
    parts = parts_of(tmp_path)
    found = find_labelled(tmp_path)
    assert found.labels[parts.train].tolist().count(0) == 1
    assert len(parts.val) >= 1


def test_an_image_without_any_number_is_refused():
    image = np.full((1, 4, 4), np.nan, np.float32)
    with pytest.raises(DataError, match=r"x holds no number"):
        with_channels(image, 1, "x")
    image[0, 0] = 5
    image[0, 1] = np.inf
    assert with_channels(image, 1, "x")[0, :2].tolist() == [[5.0] * 4, [0.0] * 4]

"""Label maps find their images where all names of one folder end in something more."""

from pathlib import Path

import pytest

from napari_medseg.errors import DataError
from napari_medseg.io.case_names import same_names, without_ends


def files(*names: str) -> dict[str, Path]:
    return {name: Path(f"{name}.nii.gz") for name in names}


@pytest.mark.parametrize(
    ("images", "labels", "cases", "ends"),
    [
        (("a", "b"), ("b", "c"), {"b"}, ("", "")),
        (("hip_001_0000", "hip_002_0000"), ("hip_001", "hip_002"), {"hip_001", "hip_002"}, ("_0000", "")),
        (("ISIC_1", "ISIC_2"), ("ISIC_1_segmentation",), {"ISIC_1"}, ("", "_segmentation")),
        (("21_training", "22_training"), ("21_manual1", "22_manual1"), {"21", "22"}, ("_training", "_manual1")),
        (("s-1_T1w", "s-2_T1w"), ("s-1_T1w_seg", "s-2_T1w_seg"), {"s-1_T1w", "s-2_T1w"}, ("", "_seg")),
        (("scan",), ("scan label",), {"scan"}, ("", " label")),
    ],
)
def test_names_are_compared_without_their_common_ends(images, labels, cases, ends) -> None:
    ours, theirs, found = same_names(files(*images), files(*labels))
    assert found == ends
    assert ours.keys() & theirs.keys() == cases
    for name in cases:
        assert ours[name].name == f"{name}{ends[0]}.nii.gz"
        assert theirs[name].name == f"{name}{ends[1]}.nii.gz"


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (("s_1",), ("s_3",)),
        (("s_1", "s_2"), ("s_3", "s_4")),
        (("head", "knee"), ("hand_mask", "foot_mask")),
        ((), ("a",)),
    ],
)
def test_names_of_other_cases_are_left_as_they_are(images, labels) -> None:
    assert same_names(files(*images), files(*labels)) == (files(*images), files(*labels), ("", ""))


def test_a_file_per_channel_is_refused() -> None:
    images = files(*(f"case_{number}_{channel:04d}" for number in (1, 2) for channel in range(4)))
    with pytest.raises(DataError, match=r"end in _0000, _0001, _0002, _0003\. .* four axes"):
        same_names(images, files("case_1", "case_2"))


def test_lists_may_name_files_or_cases() -> None:
    known = {"21", "22"}
    assert without_ends(["21_training", "22", "21_manual1"], known, ("_training", "_manual1")) == ("21", "22")
    assert without_ends(["23_training"], known, ("_training", "")) == ("23_training",)

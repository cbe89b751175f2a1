from pathlib import Path

import pytest

from napari_medseg.cli.patients import patients
from napari_medseg.errors import DataError


def test_a_table_says_who_is_on_an_image(tmp_path: Path) -> None:
    table = tmp_path / "who.csv"
    table.write_text("image,patient,age\na.nii.gz,P1,40\nfolder/b.1.nii.gz,P1,41\nc,P2,50\n")
    assert patients(["a", "b.1", "c"], table) == {"a": "P1", "b.1": "P1", "c": "P2"}


@pytest.mark.parametrize(
    ("text", "words"),
    [("image,patient\na,P1\n", "does not say whose image b is"), ("picture,patient\na,P1\n", "no columns image")],
)
def test_a_table_that_does_not_say_it_is_refused(tmp_path: Path, text: str, words: str) -> None:
    table = tmp_path / "who.csv"
    table.write_text(text)
    with pytest.raises(DataError, match=words):
        patients(["a", "b"], table)


def test_a_missing_table_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"who\.csv cannot be read"):
        patients(["a"], tmp_path / "who.csv")


def test_subjects_of_bids_are_patients() -> None:
    assert patients(["sub-A1_run-1", "ses-1_sub-A1_T1w", "subject"], None) == {
        "sub-A1_run-1": "sub-A1",
        "ses-1_sub-A1_T1w": "sub-A1",
        "subject": "",
    }

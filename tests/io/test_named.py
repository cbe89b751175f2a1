"""Images of a folder by name."""

from pathlib import Path

import numpy as np

from napari_medseg.io import write
from napari_medseg.io.named import by_stem
from napari_medseg.volume import Volume


def test_folders_named_by_identifiers_or_with_points_keep_their_names(tmp_path: Path) -> None:
    image = Volume(np.zeros((2, 3, 4), np.int16), None, name="image")
    for number in (1, 2):
        folder = tmp_path / f"1.2.840.{number}"
        folder.mkdir()
        write(image, folder / "slice.nii.gz")
    (tmp_path / "case.v2").mkdir()
    write(image, tmp_path / "case.v2" / "slice.nii.gz")
    write(image, tmp_path / "case.v3.medvol")
    write(image, tmp_path / "scan.nii.gz").rename(tmp_path / "SCAN.NII.GZ")
    assert by_stem(tmp_path).keys() == {"1.2.840.1", "1.2.840.2", "case.v2", "case.v3", "SCAN"}

"""A mask of a NIfTI image has the image's own affine and axis order, so that arrays compare voxel by voxel."""

import itertools
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_medseg.io import read, write

AXCODES = [
    "".join(codes) for order in itertools.permutations(["RL", "AP", "SI"]) for codes in itertools.product(*order)
]


@pytest.mark.parametrize("axcodes", AXCODES)
def test_labels_are_stored_in_the_order_of_their_image(axcodes: str, tmp_path: Path) -> None:
    orientation = nib.orientations.axcodes2ornt(axcodes)
    affine = nib.orientations.inv_ornt_aff(orientation, (4, 5, 6)) @ np.diag([1.0, 2.0, 3.0, 1.0])
    stored = np.random.default_rng(0).integers(0, 9, (4, 5, 6)).astype(np.uint8)
    nib.save(nib.Nifti1Image(stored, affine), tmp_path / "image.nii.gz")

    write(replace(read(tmp_path / "image.nii.gz")[0], kind="labels"), tmp_path / "labels.nii.gz")

    written = nib.load(tmp_path / "labels.nii.gz")
    np.testing.assert_array_equal(written.affine, nib.load(tmp_path / "image.nii.gz").affine)
    np.testing.assert_array_equal(np.asarray(written.dataobj), stored)


def test_a_time_series_keeps_its_order(tmp_path: Path) -> None:
    affine = np.array([[0, 0, 3, 1], [1, 0, 0, 2], [0, 2, 0, 3], [0, 0, 0, 1.0]])
    stored = np.random.default_rng(0).normal(size=(4, 5, 6, 7)).astype(np.float32)
    nib.save(nib.Nifti1Image(stored, affine), tmp_path / "image.nii.gz")

    write(read(tmp_path / "image.nii.gz")[0], tmp_path / "copy.nii.gz")

    written = nib.load(tmp_path / "copy.nii.gz")
    np.testing.assert_array_equal(written.affine, affine)
    np.testing.assert_array_equal(np.asarray(written.dataobj), stored)

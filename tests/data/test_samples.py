import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_medseg.data import samples
from napari_medseg.errors import ReadError

needs_nilearn = pytest.mark.skipif(
    samples._package_folder("nilearn") is None, reason="the extra 'sample' is not installed"
)


@needs_nilearn
def test_mni152_is_three_images_on_one_grid() -> None:
    volumes = samples.mni152()
    assert [v.name for v in volumes] == ["MNI152 T1", "MNI152 grey matter", "MNI152 white matter"]
    assert {v.geometry for v in volumes} == {volumes[0].geometry}
    assert volumes[0].geometry is not None
    assert volumes[0].data.shape == (189, 233, 197)
    # The anterior commissure, origin of MNI space, lies in the brain.
    origin = tuple(np.rint(volumes[0].geometry.to_index((0, 0, 0))).astype(int))
    assert np.asarray(volumes[0].data)[origin] > 50


@needs_nilearn
def test_tissues_follow_the_stated_rule_and_have_the_volume_of_a_brain() -> None:
    tissues = samples.mni152_tissues()
    _t1, grey, white = (np.asarray(v.data) for v in samples.mni152())
    labels = np.asarray(tissues.data)
    assert ((grey >= 128) & (grey >= white) == (labels == 1)).all()
    assert ((white >= 128) & (white > grey) == (labels == 2)).all()
    assert tissues.geometry is not None
    ml = [(labels == value).sum() * tissues.geometry.voxel_volume_ml for value in (1, 2)]
    assert ml == pytest.approx([1080, 632], abs=1)


def test_a_missing_package_is_an_error_with_a_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(samples, "_package_folder", lambda _name: None)
    with pytest.raises(ReadError, match=r"napari-medseg\[sample\]"):
        samples.mni152()
    monkeypatch.setattr(samples, "_package_folder", lambda _name: tmp_path)
    with pytest.raises(ReadError, match="test files"):
        samples.ct_slice()


def test_ct_slice() -> None:
    (volume,) = samples.ct_slice()
    assert volume.modality == "CT"
    assert volume.units == "HU"
    assert sorted(volume.data.shape)[-2:] == [128, 128]


@needs_nilearn
def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; from napari_medseg.data import samples; samples.mni152_t1(); "
        "sys.exit(bool({'nilearn', 'sklearn', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""Zip files are read without being unpacked, and hostile ones are refused."""

import shutil
import zipfile
from pathlib import Path

import pytest
import torch

from napari_medseg.errors import BundleError
from napari_medseg.models import Bundle, ModelSpec, build
from napari_medseg.models import files as files_module


@pytest.fixture
def folder(tmp_path) -> Path:
    spec = ModelSpec(name="net", architecture="unet", options={"features": 2, "stages": 2}, patch_size=(8, 8, 8))
    torch.manual_seed(0)
    return Bundle.create(spec, build(spec).state_dict()).save(tmp_path / "net").path


@pytest.mark.parametrize("inside", [False, True])
def test_a_zip_file_is_a_model_too(inside, folder, tmp_path):
    zipped = shutil.make_archive(
        str(tmp_path / "zipped"), "zip", folder.parent if inside else folder, "net" if inside else None
    )
    found, own = Bundle.load(zipped), Bundle.load(folder)
    assert (found.spec, found.hash, found.path) == (own.spec, own.hash, Path(zipped))
    for name, tensor in own.network().state_dict().items():
        assert torch.equal(found.network().state_dict()[name], tensor)
    assert Bundle.load(found.save(tmp_path / "unpacked").path).hash == own.hash


def pack(path: Path, folder: Path, **extra: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder))
        for name, content in extra.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("name", ["../evil.py", "/etc/evil", "a/../../evil", "..\\evil", "C:\\evil", "\\evil"])
def test_names_outside_of_the_folder_are_refused(name, folder, tmp_path):
    with pytest.raises(BundleError, match="outside of its folder"):
        Bundle.load(pack(tmp_path / "evil.zip", folder, **{name: b"evil"}))
    assert not list(tmp_path.rglob("*evil.py"))


def test_bombs_are_refused(folder, tmp_path, monkeypatch):
    (folder / "models" / "model.pt").write_bytes(bytes(50_000_000))
    with pytest.raises(BundleError, match=r"model\.pt would become 50000000 bytes"):
        Bundle.load(pack(tmp_path / "bomb.zip", folder))
    monkeypatch.setattr(files_module, "MAX_ENTRIES", 3)
    with pytest.raises(BundleError, match=r"holds \d+ files"):
        Bundle.load(pack(tmp_path / "many.zip", folder, more=b""))


def test_what_is_no_single_model_is_told(folder, tmp_path):
    (tmp_path / "broken.zip").write_bytes(pack(tmp_path / "a.zip", folder).read_bytes()[:-30])
    with pytest.raises(BundleError, match="no model folder"):
        Bundle.load(tmp_path / "broken.zip")
    with pytest.raises(BundleError, match="holds 2 models"):
        Bundle.load(pack(tmp_path / "two.zip", folder, **{"b/configs/metadata.json": b"{}"}))
    (folder / "models" / "model.pt").unlink()
    with pytest.raises(BundleError, match="has no weights"):
        Bundle.load(pack(tmp_path / "empty.zip", folder))


def test_a_damaged_member_is_told(folder, tmp_path):
    content = bytearray(pack(tmp_path / "a.zip", folder).read_bytes())
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        entry = archive.getinfo("models/model.pt")
    middle = entry.header_offset + entry.compress_size // 2
    content[middle : middle + 8] = b"\xff" * 8
    (tmp_path / "bad.zip").write_bytes(content)
    with pytest.raises(BundleError, match="cannot be unpacked"):
        Bundle.load(tmp_path / "bad.zip")

"""MONAI's model zoo: an index, terms that are shown first, and a file that is what the index promises."""

import hashlib
import io
import json
import zipfile

import pytest
import torch

from napari_medseg.errors import ConfigError, LicenceError
from napari_medseg.models import AddOptions, Bundle, ModelSpec, add, build, library
from napari_medseg.models.download import zoo_models, zoo_offer
from napari_medseg.models.download.fetch import DownloadError
from napari_medseg.models.download.zoo import zoo_address

METADATA = {
    "name": "Spleen",
    "version": "0.2.10",
    "description": "Finds the spleen.",
    "references": ["Somebody et al."],
}


def archive(folder) -> bytes:
    """Return a model of ours, zipped with a folder around it, as the zoo does."""
    torch.manual_seed(0)
    spec = ModelSpec(name="Spleen", architecture="unet", options={"features": 2, "stages": 2}, patch_size=(8, 8, 8))
    Bundle.create(spec, build(spec).state_dict()).save(folder / "spleen_ct")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for file in sorted((folder / "spleen_ct").rglob("*")):
            packed.write(file, file.relative_to(folder))
    return buffer.getvalue()


@pytest.fixture
def zoo(server, tmp_path, monkeypatch):
    content = archive(tmp_path / "made")
    checksum = hashlib.sha1(content).hexdigest()

    def entry(version: str) -> dict[str, str]:
        return {"checksum": checksum, "source": f"{server.address}/files/spleen_ct_v{version}.zip"}

    index = {f"spleen_ct_v{version}": entry(version) for version in ("0.2.9", "0.2.10", "0.1.0")}
    index |= {"brain-mri_v1.0.0": entry("1.0.0"), "nonsense": {}, "broken_v0.1.0": {"checksum": 3}}
    server.content |= {
        "/zoo/model_info.json": json.dumps(index).encode(),
        "/zoo/spleen_ct/configs/metadata.json": json.dumps(METADATA).encode(),
        "/zoo/spleen_ct/LICENSE": b"                              Apache License\n  Version 2.0, January 2004\n",
        "/zoo/spleen_ct/docs/data_license.txt": b"CC-BY-SA 4.0, Medical Segmentation Decathlon",
        "/files/spleen_ct_v0.2.10.zip": content,
    }
    monkeypatch.setenv("NAPARI_MEDSEG_ZOO", f"{server.address}/zoo/")
    return server


def test_the_newest_version_of_each_model_is_listed(zoo):
    assert [(entry.name, entry.version) for entry in zoo_models()] == [("brain-mri", "1.0.0"), ("spleen_ct", "0.2.10")]


def test_an_offer_says_under_which_terms(zoo):
    offer = zoo_offer("spleen_ct")
    assert (offer.version, offer.licence, offer.citation) == ("0.2.10", "Apache-2.0", "Somebody et al.")
    assert offer.data_licence == "CC-BY-SA 4.0, Medical Segmentation Decathlon"
    assert "Licence: Apache-2.0" in offer.text()
    assert zoo_offer("spleen_ct@0.1.0").source.endswith("spleen_ct_v0.1.0.zip")
    assert "none is stated" in zoo_offer("brain-mri").text()


def test_nothing_is_fetched_before_the_user_agrees(zoo):
    with pytest.raises(LicenceError, match=r"Apache-2\.0") as caught:
        add("spleen_ct")
    assert "Finds the spleen." in caught.value.terms
    assert not any(path.startswith("/files") for path, _ in zoo.asked)
    with pytest.raises(LicenceError):
        add("spleen_ct", AddOptions(agreed="of another model"))

    bundle = add("spleen_ct", AddOptions(agreed=caught.value.token))

    assert [found.hash for found in library()] == [bundle.hash]
    assert bundle.spec.name == "Spleen"
    zoo.content.pop("/files/spleen_ct_v0.2.10.zip")
    assert add("zoo:spleen_ct", AddOptions(agreed=caught.value.token)).hash == bundle.hash


def test_a_file_that_the_index_does_not_promise_is_not_opened(zoo):
    zoo.content["/files/spleen_ct_v0.2.10.zip"] += b"x"
    with pytest.raises(DownloadError, match="not the file that was promised"):
        add("spleen_ct", AddOptions(agreed=zoo_offer("spleen_ct").checksum))
    assert library() == []


def test_unknown_models_and_zoos_are_named(zoo, monkeypatch):
    with pytest.raises(ConfigError, match="has no 'spleen_mr'") as caught:
        add("spleen_mr")
    assert "spleen_ct" in caught.value.remedy
    zoo.content["/zoo/model_info.json"] = b"<html>"
    with pytest.raises(DownloadError, match="is no index"):
        zoo_models()
    zoo.content.pop("/zoo/model_info.json")
    with pytest.raises(DownloadError, match="no index of models at"):
        zoo_models()
    monkeypatch.setenv("NAPARI_MEDSEG_ZOO", "http://127.0.0.1:9")
    with pytest.raises(DownloadError, match="cannot be reached"):
        zoo_models()
    monkeypatch.delenv("NAPARI_MEDSEG_ZOO")
    assert zoo_address().startswith("https://")

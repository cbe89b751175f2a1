"""Models survive the disk, nothing in their folder is executed, and damage is told in words."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from napari_medseg.errors import BundleError, WriteError
from napari_medseg.models import BACKGROUND, Bundle, ModelSpec, build
from napari_medseg.models import bundle as bundle_module
from napari_medseg.volume import LabelClass


def spec(**fields) -> ModelSpec:
    values = {
        "name": "Liver",
        "architecture": "unet",
        "options": {"features": 2, "stages": 2},
        "patch_size": (8, 8, 8),
        "classes": (BACKGROUND, LabelClass(value=5, name="liver", color="#123456")),
    }
    return ModelSpec(**values | fields)


def bundle(seed: int = 0, **fields) -> Bundle:
    torch.manual_seed(seed)
    model = spec(**fields)
    return Bundle.create(model, build(model).state_dict())


def test_weights_and_specification_survive_the_disk(tmp_path):
    made = bundle(licence="CC-BY-4.0", metrics={"dice/liver": 0.93}, training_data=("ab12",))
    saved = made.save(tmp_path / "liver")
    loaded = Bundle.load(tmp_path / "liver")
    assert loaded.spec == made.spec
    assert loaded.hash == saved.hash == made.hash
    assert loaded.path == tmp_path / "liver"
    for name, tensor in made.network().state_dict().items():
        assert torch.equal(loaded.network().state_dict()[name], tensor)
    assert not loaded.network().training


def test_the_folder_is_a_monai_bundle_with_a_card(tmp_path):
    bundle(licence="CC-BY-4.0", metrics={"dice/liver": 0.93}).save(tmp_path / "liver")
    files = {str(path.relative_to(tmp_path / "liver")) for path in (tmp_path / "liver").rglob("*") if path.is_file()}
    assert files == {"LICENSE", "configs/inference.json", "configs/metadata.json", "docs/README.md", "models/model.pt"}
    metadata = json.loads((tmp_path / "liver" / "configs" / "metadata.json").read_text())
    required = (
        "version changelog monai_version pytorch_version numpy_version required_packages_version task description "
        "authors copyright network_data_format"
    )
    assert set(required.split()) <= metadata.keys()
    assert metadata["network_data_format"]["outputs"]["pred"]["channel_def"] == {"0": "background", "1": "liver"}
    bundle(air_below=-500).save(tmp_path / "in air")
    assert "below -500 count as background" in (tmp_path / "in air" / "docs" / "README.md").read_text()
    card = (tmp_path / "liver" / "docs" / "README.md").read_text()
    for text in ("# Liver", "| 5 | liver | `#123456` |", "| dice/liver | 0.93 |", "CC-BY-4.0", "monai.bundle run"):
        assert text in card


def test_hash_depends_on_weights_and_specification():
    hashes = {bundle().hash, bundle(seed=1).hash, bundle(description="other").hash}
    assert len(hashes) == 3
    assert bundle().hash == bundle().hash


def test_weights_are_a_copy():
    network = build(spec())
    made = Bundle.create(spec(), network.state_dict())
    with torch.no_grad():
        next(network.parameters()).zero_()
    assert next(made.network().parameters()).any()


def test_loading_does_not_load_torch(tmp_path):
    bundle().save(tmp_path / "liver")
    code = (
        "import sys; from napari_medseg.models import Bundle; "
        f"b = Bundle.load({str(tmp_path / 'liver')!r}); b.hash; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("kind", ["torch", "pickle", "legacy", "script"])
def test_code_in_the_weights_is_never_executed(kind, tmp_path):
    saved = bundle().save(tmp_path / "liver")
    trap, weights = Trap(tmp_path / "executed"), saved.path / "models" / "model.pt"
    if kind == "torch":
        torch.save({"weight": torch.zeros(1), "trap": trap}, weights)
    elif kind == "pickle":
        weights.write_bytes(pickle.dumps(trap))
    elif kind == "legacy":
        torch.save(trap, weights, _use_new_zipfile_serialization=False)
    else:
        weights.write_bytes(b"PK\x03\x04" + b"\0" * 50)
    with pytest.raises(BundleError, match=r"without executing code|damaged") as caught:
        Bundle.load(saved.path).network()
    assert "source you trust" in caught.value.remedy
    assert not (tmp_path / "executed").exists()


def test_code_in_the_configuration_is_never_executed(tmp_path):
    saved = bundle().save(tmp_path / "liver")
    config = saved.path / "configs" / "inference.json"
    content = json.loads(config.read_text())
    content["network_def"] = {
        "_target_": "pathlib.Path.touch",
        "_mode_": "callable",
        "self": str(tmp_path / "executed"),
    }
    content["imports"] = [f"$__import__('pathlib').Path({str(tmp_path / 'executed')!r}).touch()"]
    config.write_text(json.dumps(content))
    Bundle.load(saved.path).network()
    assert not (tmp_path / "executed").exists()


def edit(folder: Path, change) -> None:
    path = folder / "configs" / "metadata.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "configs" / "metadata.json").unlink(), "metadata.json is missing"),
        (lambda f: (f / "configs" / "metadata.json").write_text("{"), "cannot be read"),
        (lambda f: (f / "configs" / "metadata.json").write_bytes(b"\xff\xfe"), "cannot be read"),
        (lambda f: (f / "configs" / "metadata.json").write_text("[" * 100_000), "cannot be read"),
        (lambda f: (f / "configs" / "metadata.json").write_text("[]"), "not a JSON object"),
        (lambda f: (f / "models" / "model.pt").unlink(), "no weights"),
        (lambda f: edit(f, lambda m: m.pop("napari_medseg")), "would execute code"),
        (lambda f: edit(f, lambda m: m["napari_medseg"].update(format=9)), "format 9"),
        (lambda f: edit(f, lambda m: m["napari_medseg"]["spec"].update(architecture="os.system")), "no architecture"),
        (lambda f: edit(f, lambda m: m["napari_medseg"]["spec"].update(channels=0)), "impossible channels"),
        (lambda f: edit(f, lambda m: m["napari_medseg"].update(spec=None)), "impossible spec"),
        (lambda f: edit(f, lambda m: m["napari_medseg"]["spec"]["options"].update(evil=1)), "does not take"),
    ],
)
def test_damaged_folders_are_refused_with_a_remedy(damage, message, tmp_path):
    folder = bundle().save(tmp_path / "liver").path
    damage(folder)
    with pytest.raises(BundleError, match=message) as caught:
        Bundle.load(folder)
    assert caught.value.remedy


def test_no_folder(tmp_path):
    with pytest.raises(BundleError, match="no model folder"):
        Bundle.load(tmp_path / "nothing")
    with pytest.raises(BundleError, match=r"is not a model"):
        Bundle.load(tmp_path)


def test_weights_of_another_network(tmp_path):
    folder = bundle().save(tmp_path / "liver").path
    edit(folder, lambda m: m["napari_medseg"]["spec"]["options"].update(features=4))
    with pytest.raises(BundleError, match=r"13 of another shape \(model\S+ is \(2,\) instead of \(4,\)"):
        Bundle.load(folder).network()
    torch.save({"weight": torch.zeros(3)}, folder / "models" / "model.pt")
    with pytest.raises(BundleError, match="tensors missing, 1 surplus"):
        Bundle.load(folder).network()
    torch.save([1, 2], folder / "models" / "model.pt")
    with pytest.raises(BundleError, match="not a plain state dictionary"):
        Bundle.load(folder).network()


def test_truncated_weights(tmp_path):
    folder = bundle().save(tmp_path / "liver").path
    weights = folder / "models" / "model.pt"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BundleError, match="damaged"):
        Bundle.load(folder).network()


def test_saving_replaces_an_older_model_whole(tmp_path):
    first = bundle(licence="MIT").save(tmp_path / "liver")
    second = bundle(seed=1).save(tmp_path / "liver")
    assert first.path == second.path
    assert not (second.path / "LICENSE").exists()
    assert Bundle.load(second.path).hash == bundle(seed=1).hash
    assert [path.name for path in tmp_path.iterdir() if path.name != "medseg-home"] == ["liver"]


def test_a_model_can_be_saved_onto_itself(tmp_path):
    saved = bundle().save(tmp_path / "liver")
    before = saved.hash
    assert Bundle.load(Bundle.load(saved.path).save(saved.path).path).hash == before


def test_a_failed_save_leaves_the_older_model(tmp_path, monkeypatch):
    saved = bundle().save(tmp_path / "liver")

    def full(*_arguments) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle_module.shutil, "copyfileobj", full)
    with pytest.raises(WriteError, match="No space left"):
        bundle(seed=1).save(tmp_path / "liver")
    assert Bundle.load(tmp_path / "liver").hash == saved.hash
    assert sorted(path.name for path in tmp_path.iterdir()) == ["liver"]


def test_nothing_else_is_overwritten(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    with pytest.raises(WriteError, match="is not a model"):
        bundle().save(tmp_path / "thesis")
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="is not a model"):
        bundle().save(tmp_path / "file")
    with pytest.raises(WriteError, match="cannot be written"):
        bundle().save(tmp_path / "file" / "liver")
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "years of work"


def test_a_bundle_of_an_unknown_architecture_is_not_created():
    with pytest.raises(BundleError, match="no architecture"):
        Bundle.create(spec(architecture="nonesuch"), {})

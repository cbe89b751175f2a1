"""Every command as a user runs it, with good and with bad input."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from napari_medseg.io import read, write
from napari_medseg.models import Bundle
from napari_medseg.volume import Geometry, LabelClass, Volume

Command = Callable[..., Any]

TINY = ("--set", "size=small", "--set", "patch_size=16,16,16", "--set", "validate_every=4")


@pytest.fixture(scope="module")
def trained(cases: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a short training run."""
    from napari_medseg.cli.app import run

    folder = tmp_path_factory.mktemp("runs") / "organs"
    images, labels = str(cases / "images"), str(cases / "labels")
    arguments = ["train", "segmentation", "--images", images, "--labels", labels, "--out", str(folder)]
    assert run([*arguments, *TINY, "--set", "steps=6", "--class", "3=liver"]) == 0
    return folder


def ball(spacing: tuple[float, float, float], seed: int) -> tuple[Volume, Volume]:
    """Return a bright ball with a radius of 9 mm in a cube of 36 mm, in noise, and its label map."""
    shape = tuple(round(36 / edge) for edge in spacing)
    places = np.indices(shape) * np.reshape(spacing, (3, 1, 1, 1))
    inside = np.linalg.norm(places - 17.5, axis=0) < 9
    values = inside + np.random.default_rng(seed).normal(0, 0.2, shape)
    z, y, x = spacing
    geometry = Geometry(shape, np.array([[0, 0, -x, 0], [0, -y, 0, 0], [z, 0, 0, 0], [0, 0, 0, 1]]))
    classes = (LabelClass(value=1, name="ball"),)
    return (
        Volume(values.astype(np.float32), geometry, modality="MR"),
        Volume(inside.astype(np.uint8), geometry, kind="labels", classes=classes),
    )


def is_clear(outcome: Any, *words: str) -> bool:
    """Return whether bad input was met with one line that holds the words."""
    lines = outcome.err.strip().splitlines()
    return outcome.code == 2 and len(lines) == 1 and all(word in lines[0] for word in ("Error: ", *words))


class TestInfo:
    def test_lists_every_image_of_a_folder(self, command: Command, cases: Path) -> None:
        outcome = command("info", cases / "images")
        assert outcome.code == 0
        assert [line.split()[1] for line in outcome.out.splitlines()[1:]] == ["case0", "case1", "case2"]
        assert "16 × 40 × 40" in outcome.out
        assert "16 × 10 × 10" in outcome.out

    def test_json_is_all_there_is_on_standard_output(self, command: Command, cases: Path) -> None:
        (series,) = command("info", cases / "images" / "case1.nii.gz", "--json").json
        assert series["shape"] == [16, 40, 40]
        assert series["spacing"] == pytest.approx([16, 10, 10])
        assert (series["kind"], series["format"]) == ("image", "nifti")

    def test_a_dicom_file(self, command: Command) -> None:
        from napari_medseg.data.samples import _package_folder

        folder = _package_folder("pydicom")
        assert folder is not None
        (series,) = command("info", folder / "data/test_files/CT_small.dcm", "--json").json
        assert (series["modality"], series["shape"]) == ("CT", [1, 128, 128])

    @pytest.mark.parametrize("content", [b"", b"text", b"\x5c\x01\x00\x00" + bytes(100)])
    def test_a_damaged_file_is_one_clear_line(self, command: Command, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "scan.nii"
        path.write_bytes(content)
        assert is_clear(command("info", path), "scan.nii")

    def test_a_path_that_is_not_there(self, command: Command, tmp_path: Path) -> None:
        assert is_clear(command("info", tmp_path / "nothing"), "nothing")
        assert is_clear(command("info", tmp_path), "holds no")


class TestConvert:
    def test_keeps_voxels_and_place(self, command: Command, cases: Path, tmp_path: Path) -> None:
        source, target = cases / "images" / "case0.nii.gz", tmp_path / "new" / "case.medvol"
        assert command("convert", source, target).code == 0
        assert command("convert", target, tmp_path / "back.nii").code == 0
        first, last = nib.load(source), nib.load(tmp_path / "back.nii")
        np.testing.assert_array_equal(np.asarray(first.dataobj), np.asarray(last.dataobj))
        np.testing.assert_allclose(first.affine, last.affine, atol=1e-5)

    def test_an_unknown_suffix_or_series(self, command: Command, cases: Path, tmp_path: Path) -> None:
        source = cases / "images" / "case0.nii.gz"
        assert is_clear(command("convert", source, tmp_path / "out.xyz"), "out.xyz", ".nii.gz")
        assert is_clear(command("convert", source, tmp_path / "out.nii", "--series", "1.2.3"), "1.2.3")


class TestModels:
    def test_an_empty_collection(self, command: Command) -> None:
        assert "dynunet" in command("models").out
        listed = command("models", "--json").json
        assert listed["models"] == []
        assert "dynunet" in listed["architectures"]

    def test_an_installed_model(self, command: Command, trained: Path) -> None:
        from napari_medseg.models import install

        install(Bundle.load(trained / "bundle"))
        (model,) = command("models", "--json").json["models"]
        assert model["spec"]["name"] == "organs"
        assert "liver" in command("models").out


class TestTrain:
    def test_leaves_a_model_with_the_classes_of_the_labels(self, trained: Path) -> None:
        spec = Bundle.load(trained / "bundle").spec
        assert (spec.name, spec.classes[3].name, spec.classes[3].value) == ("organs", "liver", 3)
        assert [entry.value for entry in spec.classes] == list(range(len(spec.classes)))

    def test_goes_on_from_a_model(self, command: Command, cases: Path, trained: Path, tmp_path: Path) -> None:
        folders = ("--images", cases / "images", "--labels", cases / "labels", "--out", tmp_path / "run")
        outcome = command("train", "segmentation", *folders, "--init", trained / "bundle", "--set", "steps=2")
        assert outcome.code == 0, outcome.err
        assert str(tmp_path / "run" / "bundle") in outcome.out

    def test_new_classes_are_added_to_those_of_the_model(self, command: Command, cases: Path, trained: Path) -> None:
        source = next((cases / "labels").iterdir())
        labels = read(source)[0]
        changed = trained.parent / "changed"
        for name in ("images", "labels"):
            (changed / name).mkdir(parents=True)
        shutil.copy(next((cases / "images").glob(f"{source.name.split('.')[0]}.*")), changed / "images")
        write(replace(labels, data=np.where(labels.data == 3, 40, labels.data)), changed / "labels" / source.name)
        folders = ("--images", changed / "images", "--labels", changed / "labels", "--out", changed / "run")
        start = ("--init", trained / "bundle", "--class", "40=lesion", "--set", "steps=1", "--set", "freeze=head")
        outcome = command("train", "segmentation", *folders, *start)
        assert outcome.code == 0, outcome.err
        spec = Bundle.load(changed / "run" / "bundle").spec
        assert (40, "lesion") in [(entry.value, entry.name) for entry in spec.classes]
        assert 3 not in [entry.value for entry in spec.classes]

    def test_images_of_other_voxels_are_learnt_and_predicted_on_one_grid(
        self, command: Command, tmp_path: Path
    ) -> None:
        edges = [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0), (1.0, 1.0, 2.0)]
        for number, spacing in enumerate([*edges, (1.5, 1.5, 0.75)]):
            part = "train" if number < len(edges) else "test"
            image, labels = ball(spacing, number)
            write(image, tmp_path / f"{part}-images" / f"ball{number}.nii.gz")
            write(labels, tmp_path / f"{part}-labels" / f"ball{number}.nii.gz")
        folders = ("--images", tmp_path / "train-images", "--labels", tmp_path / "train-labels")
        steps = ("--set", "steps=60", "--set", "hold_out=0", "--set", "teacher=false", "--out", tmp_path / "run")
        outcome = command("train", "segmentation", *folders, *TINY, *steps)
        assert outcome.code == 0, outcome.err
        assert Bundle.load(tmp_path / "run" / "bundle").spec.spacing == (1.0, 1.0, 1.0)
        found = tmp_path / "found" / "ball3.nii.gz"
        outcome = command("predict", tmp_path / "run" / "bundle", tmp_path / "test-images", "--out", found.parent)
        assert outcome.code == 0, outcome.err
        (predicted,), (truth,) = read(found), read(tmp_path / "test-labels" / "ball3.nii.gz")
        assert predicted.geometry == truth.geometry
        both = np.count_nonzero((predicted.data > 0) & (truth.data > 0))
        assert 2 * both / (np.count_nonzero(predicted.data) + np.count_nonzero(truth.data)) > 0.9

    def test_keeps_the_model_under_a_name_and_goes_back(self, command: Command, cases: Path, tmp_path: Path) -> None:
        folders = ("--images", cases / "images", "--labels", cases / "labels", *TINY)
        for number in (1, 2):
            steps = ("--set", "steps=2", "--set", f"seed={number}", "--set", "teacher=false")
            outcome = command(
                "train", "segmentation", *folders, *steps, "--keep", "my organs", "--out", tmp_path / f"run{number}"
            )
            assert outcome.code == 0, outcome.err
        verdict = json.loads((tmp_path / "run2" / "verdict.json").read_text())
        assert verdict["text"] in outcome.out
        assert ("Kept as my organs" in outcome.out) == verdict["accepted"]
        listed = command("models", "versions", "my organs").out
        assert "now" in listed
        assert ("000001" in listed) is False
        back = command("models", "rollback", "my organs")
        assert back.code == (0 if verdict["accepted"] else 2)

    def test_finds_a_learning_rate(self, command: Command, cases: Path, tmp_path: Path) -> None:
        folders = ("--images", cases / "images", "--labels", cases / "labels", *TINY, "--set", "teacher=false")
        outcome = command("train", "find-rate", *folders, "--json", "--plot", tmp_path / "rate.png")
        assert outcome.code == 0, outcome.err
        found = outcome.json
        assert 1e-6 < found["proposed"] < 1
        assert len(found["rates"]) == len(found["losses"])
        assert (tmp_path / "rate.png").stat().st_size > 5000

    def test_ctrl_c_keeps_the_model_and_says_how_to_go_on(self, cases: Path, tmp_path: Path) -> None:
        run = tmp_path / "run"
        head = [sys.executable, "-m", "napari_medseg", "train", "segmentation", "--out", str(run)]
        folders = ["--images", str(cases / "images"), "--labels", str(cases / "labels")]
        long = [*head, *folders, *TINY, "--set", "steps=100000", "--set", "checkpoint_seconds=0"]
        with subprocess.Popen(long, stderr=subprocess.PIPE, text=True) as training:
            deadline = time.monotonic() + 200
            while not (run / "checkpoints" / "last.pt").exists() and time.monotonic() < deadline:
                time.sleep(0.1)
            training.send_signal(signal.SIGINT)
            _out, err = training.communicate(timeout=60)
        assert training.returncode == 130
        assert f"--out {run} --resume" in err
        assert "Traceback" not in err
        assert Bundle.load(run / "bundle").spec.name == "run"
        saved = run / "checkpoints" / "last.pt"
        before = saved.stat().st_mtime_ns
        with subprocess.Popen([*head, "--resume"], stderr=subprocess.PIPE, text=True) as again:
            deadline = time.monotonic() + 200
            while saved.stat().st_mtime_ns == before and time.monotonic() < deadline:
                time.sleep(0.1)
            again.send_signal(signal.SIGTERM)
            _out, err = again.communicate(timeout=60)
        assert (again.returncode, "Traceback" in err) == (130, False)

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("--set", "stepz=5"), ("stepz", "learning_rate", "size")),
            (("--set", "learning_rate=fast"), ("learning_rate", "'fast'")),
            (("--set", "learning_rate"), ("key=value",)),
            (("--set", "size=huge"), ("size", "huge")),
            (("--minutes", "-1"), ("minutes",)),
            (("--minutes", "soon"), ("--minutes",)),
            (("--init", "nowhere"), ("nowhere",)),
            (("--class", "99=tumour"), ("99",)),
            (("--class", "liver"), ("key=value",)),
            (("--scheme", "dotted"), ("--scheme",)),
            (("--set", "device=cuda:77", "--set", "steps=1"), ("cuda:77",)),
        ],
    )
    def test_bad_settings(
        self, command: Command, cases: Path, tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]
    ) -> None:
        folders = ("--images", cases / "images", "--labels", cases / "labels", "--out", tmp_path / "run")
        assert is_clear(command("train", "segmentation", *folders, *arguments), *words)

    def test_bad_folders(self, command: Command, cases: Path, tmp_path: Path) -> None:
        train, out = ("train", "segmentation", "--out", tmp_path / "run"), tmp_path
        images, labels = cases / "images", cases / "labels"
        empty = tmp_path / "empty"
        empty.mkdir()
        assert is_clear(command(*train, "--images", images), "--labels")
        assert is_clear(command(*train, "--images", empty, "--labels", labels), "empty")
        assert is_clear(command(*train, "--images", images, "--labels", out / "no"), "no")
        assert is_clear(command(*train, "--images", images, "--labels", images), "not a label map")
        assert is_clear(command(*train, "--resume"), "--images")
        assert is_clear(command("train", "detection", "--out", out), "--images")
        (empty / "other.nii.gz").write_bytes((labels / "case0.nii.gz").read_bytes())
        assert is_clear(command(*train, "--images", images, "--labels", empty), "other.nii.gz", "1 of 1")

    def test_a_run_is_not_overwritten(self, command: Command, cases: Path, trained: Path) -> None:
        folders = ("--images", cases / "images", "--labels", cases / "labels", "--out", trained)
        assert is_clear(command("train", "segmentation", *folders), "already holds")
        assert is_clear(command("train", "segmentation", "--out", trained, "--resume", "--minutes", "3"), "goes on")


class TestPredictAndEvaluate:
    def test_labels_lie_on_the_exact_grid_of_their_images(
        self, command: Command, cases: Path, trained: Path, tmp_path: Path
    ) -> None:
        outcome = command("predict", trained / "bundle", cases / "images", "--out", tmp_path, "--json")
        assert [Path(case["labels"]).name for case in outcome.json] == [f"case{n}.nii.gz" for n in range(3)]
        for case in outcome.json:
            image, labels = nib.load(case["image"]), nib.load(case["labels"])
            assert image.shape == labels.shape
            np.testing.assert_array_equal(image.affine, labels.affine)
            (volume,) = read(case["labels"])
            assert volume.geometry is not None
            liver = (np.asarray(volume.data) == 3).sum() * volume.geometry.voxel_volume_ml
            assert case["volumes_ml"]["liver"] == pytest.approx(liver)

    def test_a_bad_image_does_not_stop_the_others(
        self, command: Command, cases: Path, trained: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "bad.nii.gz").write_bytes(b"not an image")
        good = cases / "images" / "case0.nii.gz"
        outcome = command("predict", trained / "bundle", tmp_path / "bad.nii.gz", good, "--out", tmp_path / "out")
        assert outcome.code == 2
        assert "bad.nii.gz" in outcome.err
        assert "1 of 2" in outcome.err
        assert (tmp_path / "out" / "case0.nii.gz").exists()

    def test_two_images_of_one_name_are_kept_apart_and_one_given_twice_is_one(
        self, command: Command, cases: Path, trained: Path, tmp_path: Path
    ) -> None:
        image = cases / "images" / "case0.nii.gz"
        other = tmp_path / "other" / "case0.nii.gz"
        other.parent.mkdir()
        other.write_bytes(image.read_bytes())
        assert command("predict", trained / "bundle", image, image, other, "--out", tmp_path / "out").code == 0
        names = {path.name for path in (tmp_path / "out").glob("*.nii.gz")}
        assert names == {"images-case0.nii.gz", "other-case0.nii.gz"}

    def test_what_is_done_is_not_done_again(self, command: Command, cases: Path, trained: Path, tmp_path: Path) -> None:
        predict = ("predict", trained / "bundle", cases / "images", "--out", tmp_path, "--format", "nrrd")
        first = command(*predict, "--json")
        assert first.code == 0
        before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.nrrd")}
        assert len(before) == 3
        again = command(*predict, "--json")
        assert "3 of 3 cases are done already" in again.err
        assert again.json == first.json
        assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.nrrd")} == before
        assert command(*predict, "--redo").code == 0
        assert all(path.stat().st_mtime_ns > time for path, time in before.items())

    def test_an_unknown_format(self, command: Command, cases: Path, trained: Path, tmp_path: Path) -> None:
        predict = ("predict", trained / "bundle", cases / "images", "--out", tmp_path)
        assert is_clear(command(*predict, "--format", "jpg2077"), "jpg2077", "nii.gz")

    def test_bad_model_and_settings(self, command: Command, cases: Path, trained: Path, tmp_path: Path) -> None:
        image = cases / "images" / "case0.nii.gz"
        assert is_clear(command("predict", tmp_path / "nothing", image, "--out", tmp_path), "nothing")
        assert is_clear(
            command("predict", trained / "bundle", image, "--out", tmp_path, "--set", "overlap=2"), "overlap"
        )
        assert is_clear(command("predict", trained / "bundle", "--out", tmp_path), "IN")

    def test_perfect_labels_score_one(self, command: Command, cases: Path, tmp_path: Path) -> None:
        folders = ("--predictions", cases / "labels", "--references", cases / "labels")
        outcome = command("evaluate", "segmentation", *folders, "--json", tmp_path / "deep" / "scores.json")
        assert outcome.code == 0
        report = json.loads((tmp_path / "deep" / "scores.json").read_text())
        assert all(scores["dice"] == 1 and scores["hd95"] == 0 for scores in report["mean"].values())
        assert "1.000" in outcome.out

    def test_chosen_cases_two_models_and_a_page(
        self, command: Command, cases: Path, trained: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "split.json").write_text('{"val": ["case0", "case2"]}')
        chosen = ("--cases", f"{tmp_path / 'split.json'}:val")
        done = command("predict", trained / "bundle", cases / "images", "--out", tmp_path / "out", *chosen)
        assert done.code == 0
        assert {path.name for path in (tmp_path / "out").glob("*.nii.gz")} == {"case0.nii.gz", "case2.nii.gz"}
        folders = ("--predictions", cases / "labels", "--references", cases / "labels", "--compare", tmp_path / "out")
        files = ("--html", tmp_path / "page.html", "--json", tmp_path / "scores.json")
        done = command("evaluate", "segmentation", *folders, *chosen, *files, "--class", "3=Leber")
        assert done.code == 0
        assert "p (Holm)" in done.out
        assert "Leber" in (tmp_path / "page.html").read_text()
        report = json.loads((tmp_path / "scores.json").read_text())
        assert list(report["cases"]) == ["case0", "case2"]
        assert report["comparison"]["failures"] == {}
        done = command("evaluate", "segmentation", "--predictions", tmp_path / "out", "--references", cases / "labels")
        assert done.code == 0
        assert "1 of 3 cases have no usable prediction" in done.err

    def test_a_cluster_that_is_not_there(
        self, command: Command, cases: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("napari_medseg.jobs.connection.CONNECT_SECONDS", 1)
        predict = ("predict", trained / "bundle", cases / "images", "--out", tmp_path, "--cluster")
        assert is_clear(command(*predict, "tcp://127.0.0.1:9"), "tcp://127.0.0.1:9")
        assert is_clear(command(*predict, "tls://127.0.0.1:9", "--tls", tmp_path / "no.yaml"), "no.yaml")

    def test_evaluate_names_what_does_not_fit(self, command: Command, cases: Path, tmp_path: Path) -> None:
        evaluate = ("evaluate", "segmentation", "--predictions")
        assert is_clear(command(*evaluate, tmp_path, "--references", cases / "labels"), str(tmp_path))
        assert is_clear(command(*evaluate, cases / "labels", "--references", tmp_path / "no"), "no")


class TestProcess:
    def test_light_commands_stay_light(self, cases: Path) -> None:
        code = (
            "import sys\nfrom napari_medseg.cli.app import run\n"
            f"run(['info', {str(cases / 'images')!r}])\nrun(['--help'])\nrun(['models'])\n"
            "sys.exit(bool({'torch', 'monai', 'distributed', 'napari'} & set(sys.modules)))"
        )
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0

    def test_python_m_is_the_command(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "napari_medseg", "info", "nothing"], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("Error: ")

    def test_no_command_shows_help(self, command: Command) -> None:
        outcome = command()
        assert "predict" in outcome.out
        assert outcome.err == ""

    def test_an_unexpected_error_is_one_line_too(self, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        import napari_medseg.io as io

        def broken(*_arguments: object, **_options: object) -> None:
            raise RuntimeError("first line\nsecond line")

        monkeypatch.setattr(io, "survey", broken)
        assert is_clear(command("info", "x"), "RuntimeError: first line second line")
        monkeypatch.setenv("NAPARI_MEDSEG_TRACEBACK", "1")
        with pytest.raises(RuntimeError):
            command("info", "x")

    def test_a_closed_pipe_is_no_error(self, cases: Path) -> None:
        line = f"{sys.executable} -m napari_medseg info {cases / 'images'} | head -c 1"
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, env=os.environ)
        assert "Traceback" not in done.stderr


class TestDeidentify:
    def test_what_was_done_is_told_without_names(self, command: Command, tmp_path: Path) -> None:
        from pydicom.data import get_testdata_file

        source = tmp_path / "Secret^Name"
        source.mkdir()
        for name in ("CT_small.dcm", "examples_rgb_color.dcm"):
            shutil.copy(get_testdata_file(name, download=False), source / name)
        (source / "notes.txt").write_text("text")
        outcome = command("deidentify", source, tmp_path / "out")
        assert outcome.code == 0
        assert "2 files written, 1 are not DICOM" in outcome.out
        assert "1 files" in outcome.err
        assert "text" in outcome.err
        assert "Secret" not in outcome.out + outcome.err
        assert len(list((tmp_path / "out").rglob("*.dcm"))) == 2

    def test_damaged_files_are_counted_and_end_in_exit_code_2(self, command: Command, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "a.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\x08\0\x16\0UI\xff\xff")
        assert is_clear(command("deidentify", tmp_path / "in", tmp_path / "out"), "1 file", "cleaned")

"""A project gives back what was put into it, or says what is wrong."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_medseg.data.annotation import Annotation
from napari_medseg.errors import ConfigError, DataError, ReadError, WriteError
from napari_medseg.io import read, write
from napari_medseg.project import Project, is_project
from napari_medseg.volume import Volume


@pytest.fixture
def file(ct: Volume, tmp_path: Path) -> Path:
    """Return the image as a file whose path names the patient."""
    folder = tmp_path / "Doe^Jane"
    folder.mkdir()
    return write(ct, folder / "scan.nii.gz")


def everything(folder: Path, leave_out: str = "") -> str:
    """Return all that a folder's files and their names say, as text."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != leave_out]
    return "".join(f"{path.relative_to(folder)} {path.read_bytes().decode('latin-1')}" for path in files)


def test_labels_come_back_exactly(project: Project, ct: Volume, strokes: Volume) -> None:
    case = project.add_case((project.refer(ct),))
    known = Annotation(strokes.data.shape)
    known.finish_slice(0, 5)
    assert project.load_labels(case.id) is None
    assert project.save_labels(case.id, strokes, known)
    assert not project.save_labels(case.id, strokes)
    project.close()

    again = Project.open(project.folder)
    labels, annotation = again.load_labels("case-001") or pytest.fail("nothing was saved")
    np.testing.assert_array_equal(labels.data, strokes.data)
    assert labels.data.dtype == strokes.data.dtype
    assert labels.geometry == strokes.geometry
    assert labels.classes == strokes.classes
    assert labels.name == "case 1 labels"
    assert annotation is not None
    assert annotation.finished == {(0, 5)}
    assert abs((again.saved_at("case-001") or 0) - (again.folder / "project.json").stat().st_mtime) < 60
    again.close()


def test_a_copied_image_is_the_same_and_nameless(project: Project, ct: Volume) -> None:
    case = project.add_case((project.refer(ct),))
    assert not Path(case.images[0].path).is_absolute()
    assert project.image_state(case.id) == "copied"
    (found,) = project.read_images(case.id)
    np.testing.assert_array_equal(found.data, ct.data)
    assert found.geometry == ct.geometry
    assert "Doe" not in everything(project.folder)


def test_a_referenced_image_is_found_and_named_nowhere_else(project: Project, file: Path) -> None:
    (image,) = read(file, suv=True)
    case = project.add_case((project.refer(image),), name="first visit")
    assert project.image_state(case.id) == "referenced"
    assert not (project.folder / "images").exists()
    (found,) = project.read_images(case.id)
    np.testing.assert_array_equal(found.data, image.data)
    assert "Doe" not in everything(project.folder, leave_out="project.json")
    said = json.loads((project.folder / "project.json").read_text())
    assert said["cases"][0]["images"][0].pop("path") == str(file)
    assert "Doe" not in json.dumps(said)


def test_a_moved_image_is_an_error_until_it_is_located(project: Project, file: Path, tmp_path: Path) -> None:
    (image,) = read(file, suv=True)
    case = project.add_case((project.refer(image),))
    moved = file.rename(tmp_path / "elsewhere.nii.gz")
    assert project.image_state(case.id) == "missing"
    with pytest.raises(DataError, match="case 1 is not where it was") as caught:
        project.read_images(case.id)
    assert "Doe" not in str(caught.value)
    project.relocate(case.id, moved)
    np.testing.assert_array_equal(project.read_images(case.id)[0].data, image.data)


def test_another_image_in_its_place_is_never_taken(project: Project, file: Path, ct: Volume, tmp_path: Path) -> None:
    (image,) = read(file, suv=True)
    case = project.add_case((project.refer(image),))
    other = np.array(ct.data)
    other[3, 3, 3] += 1
    write(replace(ct, data=other), file)
    with pytest.raises(DataError, match="has changed since it was added"):
        project.read_images(case.id)
    # the same voxels elsewhere in the patient
    assert ct.geometry is not None
    write(replace(ct, geometry=ct.geometry.flipped(0)), tmp_path / "flipped.nii.gz")
    with pytest.raises(DataError, match="has changed"):
        project.relocate(case.id, tmp_path / "flipped.nii.gz")
    assert project.case(case.id) == case


def test_a_project_that_is_moved_stays_whole(project: Project, ct: Volume, strokes: Volume, tmp_path: Path) -> None:
    case = project.add_case((project.refer(ct),))
    project.save_labels(case.id, strokes)
    project.close()
    with Project.open(project.folder.rename(tmp_path / "moved")) as moved:
        assert moved.read_images(case.id)
        assert moved.load_labels(case.id)


def test_cases_are_numbered_changed_and_put_aside(project: Project, ct: Volume, strokes: Volume) -> None:
    images = (project.refer(ct),)
    first, second = project.add_case(images), project.add_case(images, name="control", group="p7")
    assert [first.name, second.name] == ["case 1", "control"]
    project.save_labels(second.id, strokes)
    changed = project.change_case(first.id, notes="motion", split="test")
    assert (changed.notes, changed.split, changed.images) == ("motion", "test", images)
    project.remove_case(second.id)
    assert [case.id for case in Project.look(project.folder).content.cases] == ["case-001"]
    assert list(project.folder.glob("removed/case-002-*/labels/index.json"))
    assert project.add_case(images).id == "case-002"
    assert project.load_labels("case-002") is None
    with pytest.raises(DataError, match="no case case-009"):
        project.case("case-009")
    with pytest.raises(ConfigError, match="cannot hold this"):
        project.change_case(first.id, name="")
    assert project.content.cases[0].name == "case 1"


def test_what_is_no_project_is_said(tmp_path: Path, ct: Volume) -> None:
    with pytest.raises(ReadError, match="holds no project"):
        Project.open(tmp_path)
    assert not is_project(tmp_path)
    (tmp_path / "project.json").write_text('{"version": 2}')
    with pytest.raises(ReadError, match="not understood"):
        Project.open(tmp_path)
    with pytest.raises(ConfigError, match="not an empty folder"):
        Project.create(tmp_path)


def test_a_disk_that_takes_nothing_leaves_what_was_saved(
    project: Project, ct: Volume, strokes: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = project.add_case((project.refer(ct),))
    project.save_labels(case.id, strokes)
    more = np.array(strokes.data)
    more[1] = 1

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(WriteError, match="No space left") as caught:
            project.save_labels(case.id, replace(strokes, data=more))
        with pytest.raises(WriteError, match="No space left"):
            project.change(notes="x")
    assert "free space" in caught.value.remedy
    assert project.content.notes == ""
    saved = Project.look(project.folder).load_labels(case.id)
    assert saved is not None
    np.testing.assert_array_equal(saved[0].data, strokes.data)
    # and once there is room, it is saved after all
    assert project.save_labels(case.id, replace(strokes, data=more))

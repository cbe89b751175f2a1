"""A run's folder holds what the user painted, on the image's grid, and no name of a patient."""

from functools import partial

import numpy as np
import pytest

from napari_medseg.data import BACKGROUND_VALUE
from napari_medseg.errors import DataError, MedsegError
from napari_medseg.io import read
from napari_medseg.models import BACKGROUND, Bundle, ModelSpec
from napari_medseg.models.design import Design
from napari_medseg.training import TrainConfig
from napari_medseg.ui.run_layout import CASE, Source, TrainPlan, check_names, check_painted, lay_out_run, spec_of
from napari_medseg.volume import Geometry, LabelClass, Volume

LIVER, TUMOUR = LabelClass(value=1, name="liver"), LabelClass(value=2, name="tumour")
AFFINE = np.array([[0.0, 0, -1, 5], [0, -1, 0, 6], [2, 0, 0, 7], [0, 0, 0, 1]])
SHAPE = (8, 12, 10)


@pytest.fixture
def image():
    data = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    return Volume(data, Geometry(SHAPE, AFFINE), name="CT Doe Jane", modality="CT", units="HU")


def strokes(**painted):
    labels = np.zeros(SHAPE, np.uint16)
    for row, value in enumerate(painted.values()):
        labels[3, row, 2:5] = value
    return Volume(labels, Geometry(SHAPE, AFFINE), kind="labels")


def lay_out(plan, image, labels):
    return lay_out_run(plan, [Source(lambda: image, lambda _image: labels())])


def plan(**changes):
    values = {
        "name": "organs", "classes": (LIVER, TUMOUR), "design": Design(), "start": None, "config": TrainConfig(),
    }  # fmt: skip
    return TrainPlan(**{**values, **changes})


def test_image_and_labels_are_copied_exactly(image):
    labels = strokes(liver=1, background=BACKGROUND_VALUE)
    laid_out = lay_out(plan(), image, lambda: labels)
    config = laid_out.run.load()
    (case,) = config.cases
    (copied,), (drawn,) = read(case.image), read(case.labels)
    np.testing.assert_array_equal(copied.data, image.data)
    np.testing.assert_array_equal(drawn.data, labels.data)
    assert copied.geometry == drawn.geometry == image.geometry
    assert drawn.data.dtype == np.uint8
    assert case.scheme == "sparse"
    assert config.spec.classes == (BACKGROUND, LIVER, TUMOUR)
    assert "Doe" not in str(laid_out.run.path)
    assert not [path for path in laid_out.run.path.rglob("*.json*") if "Doe" in path.read_text()]


def test_edits_reach_the_copy(image):
    labels = strokes(liver=1, background=BACKGROUND_VALUE)
    laid_out = lay_out(plan(), image, lambda: labels)
    labels.data[7, 11, 9] = 2
    assert laid_out.mirrors[CASE].update(labels.data).start == (7, 11, 9)
    assert read(laid_out.run.load().cases[0].labels)[0].data[7, 11, 9] == 2


def test_voxels_of_no_class_are_left_out_and_named(image):
    laid_out = lay_out(plan(), image, lambda: strokes(liver=1, tumour=2, other=9))
    assert laid_out.ignored == (9,)
    assert set(np.unique(read(laid_out.run.load().cases[0].labels)[0].data)) == {0, 1, 2}


def test_a_class_above_255_has_room(image):
    high = LabelClass(value=300, name="vertebra")
    laid_out = lay_out(plan(classes=(LIVER, high)), image, lambda: strokes(liver=1, vertebra=300))
    assert (read(laid_out.run.load().cases[0].labels)[0].data == 300).sum() == 3


def test_complete_labels_make_zero_background(image):
    laid_out = lay_out(plan(complete=True), image, lambda: strokes(liver=1, painted=BACKGROUND_VALUE))
    (case,) = laid_out.run.load().cases
    assert case.scheme == "dense"
    assert set(np.unique(read(case.labels)[0].data)) == {0, 1}


@pytest.mark.parametrize(
    ("painted", "words"),
    [({}, "No class is painted"), ({"background": 255}, "No class"), ({"liver": 1}, "Only liver is painted")],
)
def test_nothing_to_tell_apart_is_said_before_any_file_is_written(image, painted, words, medseg_home):
    with pytest.raises(DataError, match=words) as caught:
        lay_out(plan(), image, lambda: strokes(**painted))
    assert "aint" in caught.value.remedy
    assert not list((medseg_home / "runs").glob("*"))


def test_one_class_is_enough_when_the_rest_is_background():
    check_painted({0, 1}, (LIVER,), complete=True)
    check_painted({0, 1, 2}, (LIVER, TUMOUR))


def test_several_cases_are_laid_out_and_what_they_lack_others_have(image, tmp_path):
    one, two = strokes(liver=1), strokes(background=BACKGROUND_VALUE, other=9)
    sources = [
        Source(lambda: image, lambda _image: one),
        Source(lambda: image, lambda _image: two, "case-007", "yesterday", "patient 7"),
    ]
    laid_out = lay_out_run(plan(), sources, tmp_path / "study" / "runs")
    first, second = laid_out.run.load().cases
    assert (first.id, second.id, second.group) == (CASE, "case-007", "patient 7")
    assert laid_out.run.path.parent == tmp_path / "study" / "runs"
    assert set(np.unique(read(second.labels)[0].data)) == {0, BACKGROUND_VALUE}
    assert laid_out.ignored == (9,)
    two.data[7, 11, 9] = 1
    assert laid_out.mirrors["case-007"].update(two.data).start == (7, 11, 9)
    assert read(second.labels)[0].data[7, 11, 9] == 1
    assert read(first.labels)[0].data[7, 11, 9] == 0
    said = (laid_out.run.path / "replay.txt").read_text()
    assert said == f"{laid_out.run.replay_command}\n"
    assert f"--replay {laid_out.run.path} " in said


def test_a_class_of_another_name_is_not_learnt_from():
    check_names([LIVER], [LIVER, TUMOUR], "yesterday")
    with pytest.raises(DataError, match="'tumour' in the table, but 'spleen' in yesterday"):
        check_names([LabelClass(value=2, name="spleen")], [LIVER, TUMOUR], "yesterday")


def test_starting_from_a_model_keeps_its_network_and_takes_the_users_classes(image):
    spec = ModelSpec(
        name="old", architecture="unet", options={"features": 4}, classes=(BACKGROUND, LIVER), metrics={"dice": 0.5}
    )
    made = spec_of(plan(start=Bundle(spec, b"")), image)
    assert (made.architecture, made.options, made.patch_size) == ("unet", {"features": 4}, spec.patch_size)
    assert made.classes == (BACKGROUND, LIVER, TUMOUR)
    assert (made.name, made.metrics) == ("organs", {})


def test_an_error_of_the_labels_comes_through(image):
    def broken():
        raise MedsegError("The labels lie elsewhere.")

    with pytest.raises(MedsegError, match="elsewhere"):
        lay_out(plan(), image, partial(broken))

"""Names of cases from text, JSON and CSV files, and which scheme label files are in."""

import json
from pathlib import Path

import numpy as np
import pytest

from napari_medseg.cli.case_names import case_names, chosen
from napari_medseg.cli.schemes import class_names, count_objects, scheme_of
from napari_medseg.errors import ConfigError
from napari_medseg.io import write
from napari_medseg.volume import Volume


def test_text(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("a\nb.nii.gz\n\na\n")
    assert case_names(str(tmp_path / "names.txt")) == ("a", "b")


def test_json(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"train": ["a", "images/b.nii.gz"], "val": []}))
    assert case_names(f"{path}:train") == ("a", "b")
    for choice, words in ((f"{path}:test", "train, val"), (str(path), "train, val"), (f"{path}:val", "names no case")):
        with pytest.raises(ConfigError, match=words):
            case_names(choice)
    path.write_text('["a"]')
    assert case_names(str(path)) == ("a",)
    path.write_text('[{"image": "a"}]')
    with pytest.raises(ConfigError, match="list of names"):
        case_names(str(path))
    path.write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        case_names(str(path))


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "index.csv"
    path.write_text("split,id\ntrain,a\nval,b\ntrain,c\n")
    assert case_names(f"{path}:split=train") == ("a", "c")
    assert case_names(str(path)) == ("a", "b", "c")
    with pytest.raises(ConfigError, match="no column 'part'"):
        case_names(f"{path}:part=train")


def test_a_name_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("a\nz\n")
    with pytest.raises(ConfigError, match=r"1 of 2 cases .* are not in labels, such as z"):
        chosen({"a": 1}, str(path), "labels")
    assert chosen({"a": 1}, None, "labels") == {"a": 1}
    with pytest.raises(ConfigError, match="no file"):
        case_names(str(tmp_path / "nothing.txt"))


def test_names_of_classes() -> None:
    assert class_names(["1=left ventricle", "20=x"]) == {1: "left ventricle", 20: "x"}
    with pytest.raises(ConfigError, match="'liver'"):
        class_names(["liver=1"])


def test_objects_are_told_from_classes(tmp_path: Path) -> None:
    # An atlas: every map holds the same many classes, or a few of them with gaps.
    assert not count_objects([set(range(105))] * 5)
    assert not count_objects([{0, 1, 2, 3}, {0, 1}, {0, 2}])
    assert not count_objects([set(range(100))])
    assert count_objects([{*range(40)} - {7}, set(range(5))])
    for name, count in (("a", 30), ("b", 3)):
        write(Volume(np.arange(40, dtype=np.uint16).clip(0, count).reshape(5, 8), None), tmp_path / f"{name}.tif")
    assert scheme_of("auto", tmp_path) == "foreground"
    assert scheme_of("dense", tmp_path) == "dense"
    assert scheme_of("auto", tmp_path / "a.tif") == "dense"

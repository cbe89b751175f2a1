"""Boxes in the files of others mean the same voxels, whatever they count from."""

import json

import imageio.v3 as iio
import numpy as np
import pytest

from napari_medseg.data.boxes import Sphere, find_boxed, read_boxes
from napari_medseg.data.boxes.coco import coco_content, coco_results
from napari_medseg.data.boxes.table import prediction_rows
from napari_medseg.errors import DataError

# Pixels 3 to 7 along x and 5 to 6 along y, both included, counted from 0.
EDGES = [[5, 3], [7, 8]]


def write_voc(folder, name, corners, label="cell"):
    x0, y0, x1, y1 = corners
    box = f"<bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox>"
    (folder / f"{name}.xml").write_text(
        f"<annotation><filename>{name}.png</filename><size><width>20</width><height>10</height></size>"
        f"<object><name>{label}</name>{box}</object></annotation>"
    )


def write_coco(path, bbox=(3, 5, 5, 2), images=("a.png",), **more):
    content = {
        "images": [{"id": 7 + k, "file_name": name, "width": 20, "height": 10} for k, name in enumerate(images)],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 2, "bbox": list(bbox), "iscrowd": 0, **more}],
        "categories": [{"id": 2, "name": "cell"}, {"id": 5, "name": "bud"}],
    }
    path.write_text(json.dumps(content))
    return path


def test_coco(tmp_path):
    source = read_boxes(write_coco(tmp_path / "a.json", images=("a.png", "b.png")))
    assert source.boxes["a.png"].edges.tolist() == [EDGES]
    assert (len(source.boxes["b.png"]), source.ids["b.png"], source.sizes["a.png"]) == (0, 8, (10, 20))
    assert [(c.value, c.name) for c in source.classes] == [(2, "cell"), (5, "bud")]
    assert coco_results(source.boxes, source.ids) == [
        {"image_id": 7, "category_id": 2, "bbox": [3, 5, 5, 2], "score": 1.0}
    ]
    crowd = read_boxes(write_coco(tmp_path / "c.json", iscrowd=1))
    assert (len(crowd.boxes["a.png"]), len(crowd.ignored["a.png"])) == (0, 1)
    empty = read_boxes(write_coco(tmp_path / "d.json", bbox=(3, 5, 5, 0)))
    assert len(empty.boxes["a.png"]) == 0
    assert "without extent" in empty.notes[0]


def test_volumes_in_coco_come_back(tmp_path):
    source = read_boxes(write_coco(tmp_path / "a.json", bbox=(3, 5, 1, 5, 2, 4)))
    assert source.boxes["a.png"].edges.tolist() == [[[1, 5, 3], [5, 7, 8]]]
    content = coco_content(source.boxes, {"a.png": (9, 10, 20)}, source.classes)
    (tmp_path / "b.json").write_text(json.dumps(content))
    assert read_boxes(tmp_path / "b.json").boxes["a.png"].edges.tolist() == source.boxes["a.png"].edges.tolist()


def test_pascal_voc_counts_from_one_and_includes_the_last_pixel(tmp_path):
    write_voc(tmp_path, "a", (4, 6, 8, 7))
    source = read_boxes(tmp_path)
    assert source.boxes["a.png"].edges.tolist() == [EDGES]
    assert source.sizes["a.png"] == (10, 20)
    assert read_boxes(tmp_path / "a.xml").boxes["a.png"].edges.tolist() == [EDGES]


def test_xml_that_counts_from_zero_has_edges(tmp_path):
    write_voc(tmp_path, "a", (3, 5, 8, 7))
    write_voc(tmp_path, "b", (0, 1, 4, 4), "bud")
    source = read_boxes(tmp_path)
    assert source.boxes["a.png"].edges.tolist() == [EDGES]
    assert "count pixels from 0" in source.notes[0]
    assert [c.name for c in source.classes] == ["bud", "cell"]


def test_tables(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text("image,label,xmin,ymin,xmax,ymax,split,patient\na,cell,3,5,8,7,train,p1\nb,,,,,,val,p2\n")
    source = read_boxes(path)
    assert source.boxes["a"].edges.tolist() == [EDGES]
    assert (len(source.boxes["b"]), source.parts, source.groups["b"]) == (0, {"a": "train", "b": "val"}, "p2")
    path.write_text("image,label,score,xmin,ymin,zmin,xmax,ymax,zmax\na,2,0.5,3,5,1,8,7,2\na,10,0.25,3,5,1,8,7,9.5\n")
    source = read_boxes(path)
    assert source.boxes["a"].edges.tolist() == [[[1, 5, 3], [2, 7, 8]], [[1, 5, 3], [9.5, 7, 8]]]
    assert [c.name for c in source.classes] == ["2", "10"]
    rows = list(prediction_rows(source.boxes, 3))
    assert rows[0] == ["image", "label", "score", "xmin", "ymin", "zmin", "xmax", "ymax", "zmax"]
    path.write_text("\n".join(",".join(row) for row in rows))
    again = read_boxes(path).boxes["a"]
    np.testing.assert_array_equal(again.edges, source.boxes["a"].edges)
    np.testing.assert_array_equal(again.scores, [0.5, 0.25])


def test_luna(tmp_path):
    path = tmp_path / "annotations.csv"
    path.write_text("seriesuid,coordX,coordY,coordZ,diameter_mm\n1.2.3.4,-100.5,67.25,-231.0,6.5\n")
    source = read_boxes(path)
    assert source.spheres == {"1.2.3.4": (Sphere((-100.5, 67.25, -231.0), 6.5),)}
    assert [c.name for c in source.classes] == ["nodule"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,label,xmin,ymin\na,b,1,2\n", "first line must be"),
        ("image,label,xmin,ymin,xmax,ymax\na,b,1,2,x,4\n", "line 2: 'x' is no number"),
        ("image,label,xmin,ymin,xmax,ymax\na,b,5,2,3,4\n", "ends before it starts"),
        ("image,label,xmin,ymin,xmax,ymax,split\na,b,1,2,3,4,prob\n", "split 'prob' is unknown"),
        ("seriesuid,coordX,coordY,coordZ,diameter_mm\na,1,2,3,-4\n", "a diameter of -4 mm"),
        ("", "columns none"),
    ],
)
def test_tables_that_make_no_sense(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_boxes(tmp_path / "t.csv")


@pytest.mark.parametrize("text", ["no xml", "<annotation><object><name>a</name></object></annotation>",
                                  '<!DOCTYPE a [<!ENTITY b "c">]><annotation/>'])  # fmt: skip
def test_xml_that_makes_no_sense(tmp_path, text):
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(DataError, match="Pascal VOC"):
        read_boxes(tmp_path)


def test_json_that_makes_no_sense(tmp_path):
    path = tmp_path / "a.json"
    for text in ("[]", "{", '{"images": [{"id": "x"}]}'):
        path.write_text(text)
        with pytest.raises(DataError, match="no COCO file"):
            read_boxes(path)
    write_coco(path)
    content = json.loads(path.read_text())
    content["annotations"][0]["category_id"] = 9
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="category 9"):
        read_boxes(path)


def test_images_are_found_by_name(tmp_path):
    images = tmp_path / "images"
    (images / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.png", "c.png"):
        iio.imwrite(images / name, np.zeros((10, 20), np.uint8))
    found = find_boxed(images, write_coco(tmp_path / "t.json", images=("a.png", "b.png")))
    assert (found.names, [p.name for p in found.paths]) == (("a.png", "b.png"), ["a.png", "b.png"])
    with pytest.raises(DataError, match=r"no image d\.png, which has boxes"):
        find_boxed(images, write_coco(tmp_path / "t.json", images=("d.png",)))


def test_a_folder_of_parts(tmp_path):
    labels = tmp_path / "labels"
    labels.mkdir()
    write_coco(labels / "instances_train.json", images=("a.png",))
    write_coco(labels / "instances_val.json", images=("b.png",))
    source = read_boxes(labels)
    assert source.parts == {"a.png": "train", "b.png": "val"}


def test_bccd(shared_data):
    folder = shared_data("det-bccd")
    coco, voc = read_boxes(folder / "instances_train.json"), read_boxes(folder / "voc")
    assert sum(map(len, coco.boxes.values())) == 2804
    assert {c.name for c in coco.classes} == {c.name for c in voc.classes} == {"RBC", "WBC", "Platelets"}
    assert set(coco.boxes) <= set(voc.boxes)

"""Surfaces are closed, face outwards, lie where the patient is, and enclose what they should."""

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from napari_medseg.errors import DataError, WriteError
from napari_medseg.progress import Note
from napari_medseg.results import Mesh, surfaces, write_meshes
from napari_medseg.volume import Geometry, LabelClass, Volume

AXIAL = np.array([[0.0, 0, -1], [0, -1, 0], [1, 0, 0]])
RADIUS = 12.0


def run(steps):
    events = []
    while True:
        try:
            events.append(next(steps))
        except StopIteration as done:
            return done.value, [event for event in events if isinstance(event, Note)]


def grid(signs=(1, 1, 1), degrees=(0, 0, 0), shape=(24, 40, 40)):
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    affine[:3, :3] = turn @ (AXIAL * signs * (1.5, 0.8, 0.8))
    affine[:3, 3] = (-31.5, 112.25, 71.0)
    return Geometry(shape, affine)


def ball(geometry, radius=RADIUS):
    """Return the labels of a ball around the middle of the grid, and its centre in RAS."""
    centre = geometry @ ((np.array(geometry.shape) - 1) / 2)
    places = geometry @ np.moveaxis(np.indices(geometry.shape), 0, -1)
    inside = np.linalg.norm(places - centre, axis=-1) < radius
    entry = LabelClass(value=3, name="ball")
    return Volume(inside * np.uint8(3), geometry, name="seg", kind="labels", classes=(entry,)), centre


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
@pytest.mark.parametrize("degrees", [(0, 0, 0), (25, 14, -19)])
@pytest.mark.parametrize("smoothing", [0.0, 1.0])
def test_a_ball_is_closed_faces_outwards_and_has_its_volume_and_place(signs, degrees, smoothing):
    labels, centre = ball(grid(signs, degrees))
    ((mesh,), notes) = run(surfaces(labels, smoothing_mm=smoothing))
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert solid.is_watertight
    assert solid.is_winding_consistent
    true = 4 / 3 * np.pi * RADIUS**3
    assert solid.volume == pytest.approx(true, rel=0.03)
    assert mesh.volume_ml == pytest.approx(solid.volume / 1000, rel=1e-5)
    assert mesh.area_mm2 == pytest.approx(solid.area, rel=1e-5)
    np.testing.assert_allclose(solid.center_mass, centre, atol=0.1)
    distances = np.linalg.norm(mesh.vertices - centre, axis=1)
    assert np.abs(distances - RADIUS).max() < 1.2
    assert not notes


def test_smoothing_takes_the_stairs_away():
    labels, centre = ball(grid())
    spread = []
    for smoothing in (0.0, 1.0, 2.0):
        ((mesh,), _) = run(surfaces(labels, smoothing_mm=smoothing))
        spread.append(np.linalg.norm(mesh.vertices - centre, axis=1).std())
    assert spread[0] > 1.5 * spread[1] > 1.5 * spread[2]


def test_a_class_that_fills_the_image_is_closed_and_ends_at_its_outer_voxels():
    geometry = Geometry((3, 4, 5), np.diag([2.0, 1.0, 1.0, 1.0]))
    ((mesh,), _) = run(surfaces(Volume(np.ones((3, 4, 5), np.uint8), geometry, kind="labels"), smoothing_mm=0))
    assert trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).is_watertight
    np.testing.assert_allclose(mesh.vertices.min(axis=0), (-1, -0.5, -0.5))
    np.testing.assert_allclose(mesh.vertices.max(axis=0), (5, 3.5, 4.5))


def test_parts_that_touch_at_a_corner_and_hollow_parts_are_closed():
    data = np.zeros((12, 12, 12), np.uint8)
    data[1:4, 1:4, 1:4] = data[4:7, 4:7, 4:7] = 1
    data[7:12, 0:5, 0:5] = 1
    data[9, 2, 2] = 0
    ((mesh,), _) = run(surfaces(Volume(data, None, kind="labels"), smoothing_mm=0))
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert solid.is_watertight
    assert len(solid.split(only_watertight=False)) >= 3


def test_what_smoothing_would_erase_is_shown_as_it_is():
    data = np.zeros((9, 9, 9), np.uint8)
    data[4, 4, 4] = 1
    ((mesh,), (note,)) = run(surfaces(Volume(data, None, kind="labels", name="seg"), smoothing_mm=3))
    assert "too thin" in note.text
    assert mesh.volume_ml * 1000 == pytest.approx(1 / 6)  # an octahedron of half diagonals 1/2


def test_only_the_chosen_classes_and_those_that_occur_come():
    labels, _ = ball(grid())
    labels = Volume(
        labels.data, labels.geometry, kind="labels", name="seg", classes=(LabelClass(value=9, name="none"),)
    )
    (meshes, (note,)) = run(surfaces(labels, values=(3, 9)))
    assert [mesh.entry.name for mesh in meshes] == ["class 3"]
    assert note.text == "none does not occur in seg."
    with pytest.raises(DataError, match="no class 4"):
        run(surfaces(labels, values=(4,)))


@pytest.mark.parametrize("suffix", [".stl", ".obj"])
def test_files_hold_the_surface_in_lps(suffix, tmp_path):
    labels, centre = ball(grid(degrees=(25, 14, -19)))
    ((mesh,), _) = run(surfaces(labels))
    (path,) = write_meshes([mesh], tmp_path / f"ball{suffix}")
    read = trimesh.load(path, force="mesh")
    assert read.is_watertight
    assert read.volume == pytest.approx(mesh.volume_ml * 1000, rel=1e-4)
    np.testing.assert_allclose(read.center_mass, centre * (-1, -1, 1), atol=0.1)
    header = path.read_bytes()[:80]
    assert b"SPACE=LPS" in header
    assert not header.startswith(b"solid")
    if suffix == ".stl":
        assert path.stat().st_size == 84 + 50 * len(mesh.faces)


def octahedron(value, name):
    vertices = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], np.float32)
    faces = np.array([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]], np.int32)
    return Mesh(LabelClass(value=value, name=name), vertices, faces)


def test_several_surfaces_go_to_a_file_each_named_after_its_class(tmp_path):
    meshes = [octahedron(1, "left / kidney"), octahedron(2, "cyst"), octahedron(5, "cyst"), octahedron(6, "../..")]
    paths = write_meshes(meshes, tmp_path / "case.stl")
    names = ["case-left_kidney.stl", "case-cyst2.stl", "case-cyst5.stl", "case-6.stl"]
    assert [path.name for path in paths] == names
    assert all(path.parent == tmp_path for path in paths)
    assert trimesh.load(paths[0]).volume == pytest.approx(4 / 3)


def test_what_cannot_be_written_is_said(tmp_path):
    with pytest.raises(WriteError, match=r"as \.ply"):
        write_meshes([octahedron(1, "a")], tmp_path / "a.ply")
    with pytest.raises(WriteError, match="no surface"):
        write_meshes([], tmp_path / "a.stl")
    (tmp_path / "taken").write_text("")
    with pytest.raises(WriteError, match="could not be written"):
        write_meshes([octahedron(1, "a")], tmp_path / "taken" / "a.stl")

"""Saves write what changed, and survive being killed at any moment."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from napari_medseg.errors import ReadError
from napari_medseg.project.slabs import SLAB_BYTES, SlabStore


@pytest.fixture
def labels() -> np.ndarray:
    """Return labels of four slabs, of which the second is empty."""
    rows = SLAB_BYTES // (512 * 1024)
    made = np.zeros((4 * rows, 512, 1024), np.uint8)
    made[0, :9, 3], made[2 * rows + 1, 5], made[-1, -1, -1] = 3, 7, 255
    return made


def slabs(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.slab")}


def test_only_changed_slabs_are_written(tmp_path: Path, labels: np.ndarray) -> None:
    store = SlabStore(tmp_path / "labels")
    assert store.save(labels, {"classes": []})
    before = slabs(store.folder)
    assert len(before) == 3
    assert sum((store.folder / name).stat().st_size for name in before) < 100_000
    labels[0, 100, 100] = 3
    labels[-1, 0, 0] = 9
    # told where to look, it looks nowhere else
    assert store.save(labels, {"classes": []}, rows=slice(0, 1))
    assert len(slabs(store.folder) & before) == 2
    assert len(slabs(store.folder)) == 3
    assert store.load()[0][-1, 0, 0] == 0
    assert store.save(labels, {"classes": []})
    loaded, header = SlabStore(store.folder).load()
    np.testing.assert_array_equal(loaded, labels)
    assert header == {"classes": []}
    assert not SlabStore(store.folder).save(labels, {"classes": []})
    assert store.save(labels, {"classes": [1]})


def test_other_shapes_and_types_take_the_place(tmp_path: Path) -> None:
    store = SlabStore(tmp_path)
    store.save(np.ones((3, 4, 5), np.uint8), {})
    wide = np.full((7, 4, 5), 300, np.uint16)
    store.save(wide, {}, rows=slice(0, 1))
    np.testing.assert_array_equal(store.load()[0], wide)


def test_damage_is_found(tmp_path: Path, labels: np.ndarray) -> None:
    store = SlabStore(tmp_path)
    store.save(labels, {})
    victim = next(tmp_path.glob("*.slab"))
    content = victim.read_bytes()
    victim.write_bytes(content[:-4])
    with pytest.raises(ReadError, match="cannot be read"):
        store.load()
    other = next(path for path in tmp_path.glob("*.slab") if path != victim)
    victim.write_bytes(other.read_bytes())
    with pytest.raises(ReadError, match="not what was saved"):
        store.load()
    store.index.write_text("{")
    with pytest.raises(ReadError, match="cannot be read"):
        SlabStore(tmp_path).load()


PAINTER = """
import sys
from pathlib import Path
import numpy as np
from napari_medseg.project.slabs import SlabStore
rng, store = np.random.default_rng(0), SlabStore(Path(sys.argv[1]))
labels = np.zeros((32, 512, 1024), np.uint8)
for number in range(1, 10_000):
    labels[rng.integers(32), rng.integers(512)] = number % 255 + 1
    labels[0, 0, :4] = np.frombuffer(np.uint32(number).tobytes(), np.uint8)
    store.save(labels, {"number": number})
    print(number, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a POSIX signal")
def test_killed_in_the_middle_of_a_save_it_holds_the_save_before(tmp_path: Path) -> None:
    for attempt in range(2):
        folder = tmp_path / str(attempt)
        with subprocess.Popen(
            [sys.executable, "-c", PAINTER, str(folder)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            told = 0
            for line in process.stdout:
                told = int(line)
                if told == 5 + attempt:
                    # somewhere in the next save
                    time.sleep(0.001 * attempt)
                    os.kill(process.pid, signal.SIGKILL)
            process.wait()
        labels, header = SlabStore(folder).load()
        assert header["number"] in (told, told + 1)
        assert int(np.frombuffer(labels[0, 0, :4].tobytes(), np.uint32)[0]) == header["number"]

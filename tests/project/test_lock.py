"""One window at a time; a dead one is no obstacle."""

import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from napari_medseg.errors import ConfigError
from napari_medseg.project import FolderLock, Holder, Project
from napari_medseg.project.lock import FILE, holder_of


def test_a_second_window_is_told_where_the_first_is(project: Project) -> None:
    with pytest.raises(ConfigError, match="open in another window") as caught:
        Project.open(project.folder)
    assert FILE in caught.value.remedy
    assert Project.look(project.folder).content == project.content
    project.close()
    again = Project.open(project.folder)
    assert not again.taken_over
    again.close()
    assert holder_of(project.folder) is None


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    program = "import sys; from pathlib import Path; from napari_medseg.project import FolderLock; import os\n"
    program += "FolderLock(Path(sys.argv[1])); os._exit(9)"
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    holder = holder_of(tmp_path)
    assert holder is not None
    assert not holder.is_alive
    lock = FolderLock(tmp_path)
    assert lock.taken_over
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_a_process_number_used_again_is_another_process(tmp_path: Path) -> None:
    assert not replace(Holder.me(), started=1.0).is_alive
    assert Holder.me().is_alive


def test_nobody_knows_about_other_computers(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps(asdict(replace(Holder.me(), host="elsewhere", pid=1))))
    with pytest.raises(ConfigError, match="on elsewhere"):
        FolderLock(tmp_path)


def test_a_lock_that_others_took_is_left_to_them(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    (tmp_path / FILE).write_text(json.dumps(asdict(Holder.me())))
    lock.release()
    assert (tmp_path / FILE).exists()


def test_without_hard_links_it_locks_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    lock = FolderLock(tmp_path)
    with pytest.raises(ConfigError, match="another window"):
        FolderLock(tmp_path)
    lock.release()
    FolderLock(tmp_path).release()

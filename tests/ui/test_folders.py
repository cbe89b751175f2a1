"""Runs and copies of images are kept as long as they are of use, under names that say nothing."""

import os
import re
import time

from napari_medseg.ui.folders import new_run_folder, new_scratch_file, runs_folder, scratch_folder, tidy

DAY = 86400.0


def age(path, days):
    then = time.time() - days * DAY
    for each in (*path.rglob("*"), path):
        os.utime(each, (then, then))


def test_names_are_times_and_random_letters(medseg_home):
    one, two = new_run_folder(), new_run_folder()
    assert one != two
    assert one.is_dir()
    assert one.parent == runs_folder() == medseg_home / "runs"
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{6}", one.name)


def test_scratch_files_share_a_folder_of_this_process(medseg_home):
    assert new_scratch_file() != new_scratch_file()
    assert new_scratch_file(".nii.gz").name.endswith(".nii.gz")
    assert new_scratch_file().parent == scratch_folder()
    assert scratch_folder().parent == medseg_home / "scratch"


def test_old_runs_lose_images_and_checkpoints_but_keep_their_model():
    run = new_run_folder()
    for part in ("image.medvol", "labels.medvol", "checkpoints", "examples", "cache", "bundle"):
        (run / part).mkdir()
        (run / part / "file").write_text("x")
    (run / "config.json").write_text("{}")
    tidy()
    assert (run / "image.medvol").exists()
    age(run, 8)
    tidy()
    assert sorted(path.name for path in run.iterdir()) == ["bundle", "config.json"]


def test_a_run_that_is_still_written_to_is_left_alone():
    run = new_run_folder()
    (run / "image.medvol").mkdir()
    age(run, 8)
    (run / "events.jsonl").write_text("{}")
    tidy()
    assert (run / "image.medvol").exists()


def test_what_a_crash_left_in_the_scratch_folder_goes_after_a_day(medseg_home):
    left = medseg_home / "scratch" / "20200101-000000-abcdef"
    left.mkdir(parents=True)
    tidy()
    assert left.exists()
    age(left, 1.1)
    tidy()
    assert not left.exists()
    assert scratch_folder().exists()


def test_tidying_an_empty_home_does_nothing(medseg_home):
    tidy()
    assert not medseg_home.exists()

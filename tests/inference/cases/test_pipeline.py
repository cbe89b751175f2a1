"""Many cases: read ahead, written behind, recorded, resumed, and none lost to another's fault."""

import csv
import gc
import json
import threading
import weakref
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_medseg.errors import Cancelled, DeviceError
from napari_medseg.inference import PredictOptions, predict
from napari_medseg.inference.cases import CasesResult, PredictRequest, find_cases, pipeline, predict_cases, stages
from napari_medseg.io import read
from napari_medseg.models import Bundle
from napari_medseg.progress import Control, Event, Finished, Note, Progress

CPU = PredictOptions(device="cpu")
SaveImage = Callable[..., Path]


@pytest.fixture
def images(save_image: SaveImage, tmp_path: Path) -> Path:
    for number in range(4):
        save_image(tmp_path / "images" / f"c{number}.nii.gz", number)
    return tmp_path / "images"


def run(paths: list[Path], request: PredictRequest) -> tuple[CasesResult, list[Any]]:
    *events, last = predict_cases(find_cases(paths)[0], request)
    assert isinstance(last, Finished)
    assert isinstance(last.result, CasesResult)
    return last.result, events


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.nii.gz")}


def test_the_labels_are_those_of_single_predictions(bundle: Bundle, images: Path, tmp_path: Path) -> None:
    result, _events = run([images], PredictRequest.of(bundle, tmp_path / "out", options=CPU))
    assert [record.status for record in result.records] == ["done"] * 4
    for path in sorted(images.iterdir()):
        (volume,) = read(path)
        *_, finished = predict(volume, bundle, CPU)
        (found,) = read(tmp_path / "out" / path.name)
        np.testing.assert_array_equal(found.data, finished.result.label_map.labels)


def test_the_manifest_names_everything(bundle: Bundle, images: Path, tmp_path: Path) -> None:
    (images / "bad.nii.gz").write_bytes(b"nothing")
    result, events = run([images], PredictRequest.of(bundle, tmp_path / "out", options=CPU))
    assert [record.case for record in result.failed] == ["bad"]
    assert any(isinstance(event, Note) and "bad" in event.text and event.level == "warning" for event in events)
    cases = json.loads((tmp_path / "out" / "manifest.json").read_text())["cases"]
    assert [(case["case"], case["status"]) for case in cases] == [("bad", "failed")] + [
        (f"c{n}", "done") for n in range(4)
    ]
    good = cases[1]
    assert good["image"] == str(images / "c0.nii.gz")
    assert (good["bundle"], good["bundle_hash"]) == ("tiny", bundle.hash)
    assert good["options"]["device"] == "cpu"
    assert good["outputs"]["labels"]["path"] == "c0.nii.gz"
    assert len(good["fingerprint"]) == 64
    assert good["seconds"] > 0
    assert "bad.nii.gz" in cases[0]["error"]
    with (tmp_path / "out" / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["case"], row["labels"]) for row in rows] == [("bad", "")] + [
        (f"c{n}", f"c{n}.nii.gz") for n in range(4)
    ]


def test_only_what_is_not_done_is_done(bundle: Bundle, images: Path, save_image: SaveImage, tmp_path: Path) -> None:
    out = tmp_path / "out"
    request = PredictRequest.of(bundle, out, options=CPU)
    run([images], request)
    before = times(out)

    # Touched only: the content decides. Changed: done again. Result gone or damaged: done again.
    (images / "c0.nii.gz").touch()
    save_image(images / "c1.nii.gz", 77)
    (out / "c2.nii.gz").write_bytes(b"damaged")
    result, _events = run([images], request)
    assert result.already_done == 2
    after = times(out)
    assert {name for name in after if after[name] != before[name]} == {"c1.nii.gz", "c2.nii.gz"}
    (damaged,) = read(out / "c2.nii.gz")
    assert damaged.kind == "labels"

    other = request.model_copy(update={"options": PredictOptions(device="cpu", overlap=0.5)})
    assert run([images], other)[0].already_done == 0
    assert run([images], other)[0].already_done == 4
    assert run([images], other.model_copy(update={"redo": True}))[0].already_done == 0


def test_another_model_does_not_find_its_cases_done(bundle: Bundle, images: Path, tmp_path: Path) -> None:
    run([images], PredictRequest.of(bundle, tmp_path / "out", options=CPU))
    state = {name: tensor * 1.5 for name, tensor in bundle.state_dict().items()}
    other = Bundle.create(bundle.spec, state).save(tmp_path / "other")
    assert run([images], PredictRequest.of(other, tmp_path / "out", options=CPU))[0].already_done == 0


def test_a_case_that_fails_now_leaves_no_labels_of_before(bundle: Bundle, images: Path, tmp_path: Path) -> None:
    request = PredictRequest.of(bundle, tmp_path / "out", options=CPU)
    run([images], request)
    (images / "c3.nii.gz").write_bytes(b"damaged")
    result, _events = run([images], request)
    assert [record.case for record in result.failed] == ["c3"]
    assert not (tmp_path / "out" / "c3.nii.gz").exists()


def test_cancel_keeps_what_is_done_and_resumes(bundle: Bundle, images: Path, tmp_path: Path) -> None:
    control, request = Control(), PredictRequest.of(bundle, tmp_path / "out", options=CPU)

    def cancel_in_the_third(event: Event) -> None:
        if isinstance(event, Progress) and event.stage.startswith("c2: predicting"):
            control.cancel()

    with pytest.raises(Cancelled):
        deque(map(cancel_in_the_third, predict_cases(find_cases([images])[0], request, control)))
    done = times(tmp_path / "out")
    assert set(done) == {"c0.nii.gz", "c1.nii.gz"}
    assert [case["case"] for case in json.loads((tmp_path / "out/manifest.json").read_text())["cases"]] == ["c0", "c1"]
    result, _events = run([images], request)
    assert result.already_done == 2
    assert {name: time for name, time in times(tmp_path / "out").items() if name in done} == done
    assert not [path for path in (tmp_path / "out").rglob(".*") if path.name != ".cases"]


def test_what_a_killed_process_left_is_swept(bundle: Bundle, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / ".cases").mkdir(parents=True)
    for rest in (".0123abcd-c1.nii.gz", ".cases/.0123abcd-c1.json", ".0123abcd-other.nii.gz"):
        (out / rest).touch()
    run([images], PredictRequest.of(bundle, out, options=CPU))
    assert [path.name for path in out.rglob(".*")] == [".cases", ".0123abcd-other.nii.gz"]


def test_progress_goes_over_all_cases(bundle: Bundle, images: Path, tmp_path: Path) -> None:
    _result, events = run([images], PredictRequest.of(bundle, tmp_path / "out", options=CPU))
    progress = [event for event in events if isinstance(event, Progress) and "predicting" in event.stage]
    assert [event.done for event in progress] == sorted(event.done for event in progress)
    assert {event.total for event in progress} == {4}
    assert progress[-1].stage == "c3: predicting 100%"
    assert progress[-1].seconds_left == pytest.approx(0, abs=0.01)


def test_reading_is_one_case_ahead_and_no_more(
    bundle: Bundle, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next case is read while one is computed, and never more than two images are alive."""
    alive: list[weakref.ref[Any]] = []
    most, threads, ahead = [], set(), []

    def counted_load(case: Any, *arguments: Any) -> Any:
        loaded = stages.load(case, *arguments)
        threads.add(threading.current_thread().name)
        alive.append(weakref.ref(loaded.grid))
        gc.collect()
        most.append(sum(ref() is not None for ref in alive))
        return loaded

    def slow_compute(*arguments: Any) -> Any:
        deadline = threading.Event()
        for _ in range(200):
            if len(alive) > len(ahead) + 1:
                break
            deadline.wait(0.01)
        ahead.append(len(alive))
        yield from stages.compute(*arguments)

    monkeypatch.setattr(pipeline, "load", counted_load)
    monkeypatch.setattr(pipeline, "compute", slow_compute)
    run([images], PredictRequest.of(bundle, tmp_path / "out", options=CPU))
    assert ahead == [2, 3, 4, 4]
    assert max(most) == 2
    assert threads == {"medseg-read_0"}


def test_what_is_wrong_for_all_cases_stops_at_once(bundle: Bundle, images: Path, tmp_path: Path) -> None:
    request = PredictRequest.of(bundle, tmp_path / "out", options=PredictOptions(device="cuda:77"))
    with pytest.raises(DeviceError, match="cuda:77"):
        list(predict_cases(find_cases([images])[0], request))


def test_an_error_of_a_library_ends_one_case_only(
    bundle: Bundle, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(case: Any, *arguments: Any) -> Any:
        with stages.one_kind_of_error(case):
            if case.name == "c1":
                raise RuntimeError("of a library")
            return stages.load(case, *arguments)

    monkeypatch.setattr(pipeline, "load", broken)
    result, _events = run([images], PredictRequest.of(bundle, tmp_path / "out", options=CPU))
    assert [(record.case, record.error) for record in result.failed] == [
        ("c1", "c1 failed (RuntimeError: of a library). The other images are not affected.")
    ]


@pytest.mark.parametrize(("name", "suffix"), [("dicom-seg", "dcm"), ("rtstruct", "rtstruct.dcm")])
def test_dicom_results_refer_to_the_series(bundle: Bundle, tmp_path: Path, name: str, suffix: str) -> None:
    from pydicom import dcmread
    from pydicom.data import get_testdata_file

    (tmp_path / "study" / "ct").mkdir(parents=True)
    source = Path(str(get_testdata_file("CT_small.dcm", download=False)))
    (tmp_path / "study" / "ct" / "1").write_bytes(source.read_bytes())
    options = PredictOptions(device="cpu", probabilities=True)
    request = PredictRequest.of(bundle, tmp_path / "out", options=options, format=name)
    result, _events = run([tmp_path / "study"], request)
    assert [record.error for record in result.records] == [None]
    written = dcmread(tmp_path / "out" / f"ct.{suffix}")
    assert written.StudyInstanceUID == dcmread(source).StudyInstanceUID
    assert result.done[0].outputs["probabilities"].path == Path("ct-probabilities.nii.gz")
    assert run([tmp_path / "study"], request)[0].already_done == 1

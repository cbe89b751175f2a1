from collections.abc import Callable, Generator

import numpy as np
import pytest
import torch
from torch import nn

from napari_medseg.data.split import HeldOut, hold_out
from napari_medseg.inference.engine import predict_grid
from napari_medseg.inference.options import PredictOptions
from napari_medseg.models import ModelSpec, build
from napari_medseg.progress import Control
from napari_medseg.tasks import task_named
from napari_medseg.training import RunFolder, TrainConfig
from napari_medseg.training.prepare import LoadedCase, load_case
from napari_medseg.training.validation import Score, Validator, places

TASK = task_named("segmentation")


@pytest.fixture
def prepared(make_run: Callable[..., RunFolder]) -> tuple[LoadedCase, ModelSpec, TrainConfig, nn.Module]:
    config = make_run(validate_every=1000).load()
    torch.manual_seed(0)
    return load_case(config.cases[0], config.spec), config.spec, config.train, build(config.spec)


def last_of(generator: Generator[object, None, tuple]) -> tuple:
    while True:
        try:
            next(generator)
        except StopIteration as end:
            return end.value


def test_scores_are_those_of_the_whole_prediction(
    prepared: tuple[LoadedCase, ModelSpec, TrainConfig, nn.Module],
) -> None:
    case, spec, config, network = prepared
    held_out = hold_out([case.sample], 0.3, seed=0)
    score = Validator([case], held_out, spec, TASK, config).score(network)
    assert score is not None

    whole = predict_grid(case.grid, spec, network, PredictOptions(device="cpu"), Control())
    labels = case.grid.placement.to_grid(last_of(whole)[0].labels)
    target = held_out.validation_target(case.sample)
    assert target is not None
    for index, c in enumerate(spec.classes):
        if c.value:
            predicted, reference = (labels == c.value) & (target >= 0), target == index
            dice = 2 * (predicted & reference).sum() / (predicted.sum() + reference.sum())
            assert score.dice[c.name] == pytest.approx(dice)
    assert score.voxels == held_out.masks["head"].sum()


def test_the_mean_with_another_model_is_scored_beside_the_network(
    prepared: tuple[LoadedCase, ModelSpec, TrainConfig, nn.Module],
) -> None:
    case, spec, config, network = prepared
    held_out = hold_out([case.sample], 0.3, seed=0)
    mask = held_out.masks["head"]
    validator = Validator([case], held_out, spec, TASK, config)
    alone = validator.score(network)
    assert alone is not None
    assert alone.blended is None
    assert alone.mean < 0.9

    # who does not know changes nothing, and who is always certain and right makes everything right
    shape = (len(spec.classes), int(mask.sum()))
    unsure = validator.score(network, {"head": np.full(shape, 1 / len(spec.classes), np.float32)})
    truth = np.eye(len(spec.classes), dtype=np.float32)[case.sample.target[mask]].T
    sure = validator.score(network, {"head": truth})
    assert unsure is not None
    assert unsure.blended == alone == unsure
    assert sure is not None
    assert sure == alone
    assert sure.blended is not None
    assert sure.blended.mean == 1.0


def test_voxels_of_a_box_are_found_in_the_list_of_all() -> None:
    mask = np.random.default_rng(0).random((5, 6, 7)) < 0.4
    box = (slice(1, 4), slice(0, 3), slice(2, 7))
    voxels = np.flatnonzero(mask)
    assert (
        voxels[places(voxels, mask, box)].tolist() == np.arange(mask.size).reshape(mask.shape)[box][mask[box]].tolist()
    )


def test_nothing_held_out_gives_no_score(prepared: tuple[LoadedCase, ModelSpec, TrainConfig, nn.Module]) -> None:
    case, spec, config, network = prepared
    assert Validator([case], HeldOut({}, ""), spec, TASK, config).score(network) is None


def test_the_work_is_bounded(
    prepared: tuple[LoadedCase, ModelSpec, TrainConfig, nn.Module],
) -> None:
    case, spec, config, network = prepared
    held_out = HeldOut({"head": case.sample.target >= 0}, "")
    seen: list[int] = []
    network.register_forward_hook(lambda _module, inputs, _output: seen.append(len(inputs[0])))
    spec = spec.model_copy(update={"patch_size": (8, 8, 8)})
    few = Validator([case], held_out, spec, TASK, config.model_copy(update={"validate_every": 1}))
    score = few.score(network)
    assert sum(seen) == 4
    assert score is not None
    assert 0 < score.voxels < held_out.masks["head"].sum()
    assert few.score(network) == score


def test_uncertainty_falls_with_the_number_of_voxels() -> None:
    few, many = Score({"a": 0.8, "b": 0.6}, 100), Score({"a": 0.8, "b": 0.6}, 10_000)
    assert few.mean == pytest.approx(0.7)
    assert many.uncertainty == pytest.approx(np.sqrt(0.21 * 12) / 100, rel=0.01)
    assert few.uncertainty == pytest.approx(10 * many.uncertainty, rel=0.1)


def test_nobody_is_sure_of_a_score_of_nothing_or_all_on_few_voxels() -> None:
    # 24 voxels count as two: with two more right and two more wrong, two or four of six are right
    for dice in (0.0, 1.0):
        assert Score({"a": dice}, 24).uncertainty == pytest.approx(np.sqrt(2 / 6 * 4 / 6 / 2))

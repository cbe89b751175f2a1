"""Before it learns from labels, a network may learn the looks of the images."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from napari_medseg.models import Bundle, ModelSpec
from napari_medseg.models.anatomy import head_axes
from napari_medseg.progress import Control, Event, Note, Progress
from napari_medseg.training import RunFolder, TrainConfig, train
from napari_medseg.training.opening import open_session
from napari_medseg.training.pretraining import HIDDEN, batch_of, pretrain
from napari_medseg.training.session import Session
from napari_medseg.volume import LabelClass

MakeRun = Callable[..., RunFolder]


def stripes(*shape: int) -> np.ndarray:
    """Return what is told from what lies beside it: a wave along y, of 16 voxels."""
    wave = np.sin(np.arange(shape[1]) * 2 * np.pi / 16)
    return np.broadcast_to(wave[:, None], shape).astype(np.float32)[None]


def spec_of(dims: int, channels: int = 1) -> ModelSpec:
    options = {"features": 8, "norm": "batch"}
    classes = tuple(LabelClass(value=value, name=f"c{value}") for value in range(4))
    return ModelSpec(
        name="m", architecture="dynunet", options=options, dims=dims, channels=channels, classes=classes,
        patch_size=(16,) * dims,
    )  # fmt: skip


def ended(steps: "object") -> tuple[list[Event], dict[str, torch.Tensor]]:
    events = []
    while True:
        try:
            events.append(next(steps))  # type: ignore[call-overload]
        except StopIteration as end:
            return events, end.value


def test_blocks_are_hidden_of_patches_from_anywhere() -> None:
    image = np.arange(40 * 50 * 20, dtype=np.float32).reshape(1, 40, 50, 20)
    whole, hidden = batch_of([image], (16, 32, 32), 200, np.random.default_rng(0))
    assert whole.shape == (200, 1, 16, 32, 32)
    assert hidden.shape == (200, 1, 16, 32, 32)
    assert float(hidden.float().mean()) == pytest.approx(HIDDEN, abs=0.02)
    blocks = hidden.reshape(200, 4, 4, 8, 4, 8, 4).permute(0, 1, 3, 5, 2, 4, 6).flatten(4)
    assert (blocks.all(dim=-1) | ~blocks.any(dim=-1)).all()
    # the image is narrower than a patch: padding on either side
    starts = {int(part[0, 0, 0][part[0, 0, 0] > 0].min()) // (50 * 20) for part in whole}
    assert starts == set(range(40 - 16 + 1))


@pytest.mark.parametrize(("dims", "shape"), [(3, (24, 32, 24)), (2, (5, 48, 48))])
def test_what_is_hidden_is_told_from_what_is_seen(dims: int, shape: tuple[int, ...]) -> None:
    config = TrainConfig(pretrain_steps=120, learning_rate=0.01, precision="float32", device="cpu")
    steps = pretrain([stripes(*shape)], spec_of(dims), config, torch.device("cpu"), Control())
    events, weights = ended(steps)
    (note,) = [event for event in events if isinstance(event, Note)]
    # who says the mean everywhere errs by one standard deviation
    assert float(note.text.split("error of ")[1].split()[0]) < 0.5
    assert [event.done for event in events if isinstance(event, Progress)] == list(range(0, 120, 10))
    assert not weights.keys() & head_axes(spec_of(dims)).keys()


def test_a_training_begins_where_that_ended(make_run: MakeRun) -> None:
    def opened(run: RunFolder) -> Session:
        _, session = ended(open_session(run, Control(), resume=False))
        assert isinstance(session, Session)
        return session

    session = opened(make_run("a", pretrain_steps=3))
    images = [case.sample.image for case in session.cases]
    _, weights = ended(pretrain(images, session.spec, session.config, torch.device("cpu"), Control()))
    begun, plain = session.learner.network.state_dict(), opened(make_run("b")).learner.network.state_dict()
    assert weights
    for name, value in begun.items():
        torch.testing.assert_close(value, weights.get(name, plain[name]), rtol=0, atol=0)
    assert any(not torch.equal(begun[name], plain[name]) for name in weights)


def test_the_same_run_gives_the_same_weights_again(make_run: MakeRun) -> None:
    found = []
    for name in ("a", "b"):
        run = make_run(name, pretrain_steps=3)
        list(train(run))
        found.append(Bundle.load(run.bundle).state_dict())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])

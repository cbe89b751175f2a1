from collections.abc import Callable

import pytest
import torch

from napari_medseg.errors import ConfigError
from napari_medseg.models import Bundle, ModelSpec, build
from napari_medseg.progress import Note
from napari_medseg.training import RunFolder, train
from napari_medseg.training.transfer import load_weights
from napari_medseg.volume import LabelClass


def spec_of(*names: str, architecture: str = "dynunet", **changes: object) -> ModelSpec:
    classes = [LabelClass(value=0, name="background")]
    classes += [LabelClass(value=k, name=name) for k, name in enumerate(names, start=1)]
    options = {"features": 4, **({"max_stages": 3} if architecture == "dynunet" else {"stages": 3})}
    values = {"name": "m", "architecture": architecture, "options": options, "patch_size": (16, 16, 16)}
    return ModelSpec(**(values | {"classes": tuple(classes)} | changes))  # type: ignore[arg-type]


def bundle_of(spec: ModelSpec) -> Bundle:
    torch.manual_seed(1)
    return Bundle.create(spec, build(spec).state_dict())


def outputs(spec: ModelSpec, start: Bundle) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of the network that starts from `start`, and of `start` itself, for one patch."""
    torch.manual_seed(2)
    network = build(spec)
    load_weights(network, spec, start)
    patch = torch.randn((1, spec.channels, 16, 16, 16))
    with torch.no_grad():
        return network.eval()(patch), start.network()(patch)


@pytest.mark.parametrize("architecture", ["dynunet", "unet"])
def test_the_same_classes_give_the_same_network(architecture: str) -> None:
    spec = spec_of("liver", "spleen", architecture=architecture)
    ours, theirs = outputs(spec, bundle_of(spec))
    assert torch.equal(ours, theirs)


def test_classes_keep_their_output_wherever_they_stand() -> None:
    ours, theirs = outputs(spec_of("kidney", "spleen"), bundle_of(spec_of("spleen", "liver", "kidney")))
    torch.testing.assert_close(ours[:, [0, 1, 2]], theirs[:, [0, 3, 1]])


def test_new_classes_are_named_and_begin_anew() -> None:
    old, new = spec_of("liver"), spec_of("liver", "tumour")
    torch.manual_seed(2)
    network = build(new)
    note = load_weights(network, new, bundle_of(old))
    assert "new for tumour" in note
    ours, theirs = outputs(new, bundle_of(old))
    torch.testing.assert_close(ours[:, :2], theirs)


@pytest.mark.parametrize(
    "other",
    [spec_of("liver", architecture="unet"), spec_of("liver", options={"features": 8}), spec_of("liver", channels=2)],
)
def test_another_architecture_is_refused(other: ModelSpec) -> None:
    spec = spec_of("liver")
    with pytest.raises(ConfigError, match="cannot be the start"):
        load_weights(build(spec), spec, bundle_of(other))


def test_training_goes_on_from_a_bundle(make_run: Callable[..., RunFolder]) -> None:
    first = make_run("first")
    list(train(first))
    second = make_run("second", init=first.bundle, steps=1, learning_rate=1e-9, weight_decay=0.0, hold_out=0.0)
    events = list(train(second))
    assert any("starts from the weights of head" in event.text for event in events if isinstance(event, Note))
    before, after = Bundle.load(first.bundle).state_dict(), Bundle.load(second.bundle).state_dict()
    for key, weight in before.items():
        torch.testing.assert_close(after[key], weight, atol=1e-7, rtol=0)

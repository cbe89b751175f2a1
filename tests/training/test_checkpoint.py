from pathlib import Path

import numpy as np
import pytest
import torch

from napari_medseg.data.split import HeldOut
from napari_medseg.errors import ConfigError
from napari_medseg.training.checkpoint import (
    State,
    load_best,
    load_checkpoint,
    load_held_out,
    save_best,
    save_checkpoint,
    save_held_out,
)


def test_a_checkpoint_is_read_back_bit_for_bit(tmp_path: Path) -> None:
    state = State(2, (16, 32, 48), planned=70, step=9, seconds=1 / 3, best_score=0.1 + 0.2)
    network = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(3)).sum().backward()
    optimizer.step()
    learner = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
    save_checkpoint(tmp_path / "last.pt", state, learner)

    loaded, content = load_checkpoint(tmp_path / "last.pt")

    assert loaded == state
    assert torch.equal(content["network"]["weight"], network.weight)
    moments = content["optimizer"]["state"][0]
    assert torch.equal(moments["exp_avg"], learner["optimizer"]["state"][0]["exp_avg"])


def test_best_weights_know_their_score(tmp_path: Path) -> None:
    network = torch.nn.Linear(3, 2)
    save_best(tmp_path / "best.pt", network, 12, {"liver": 0.75})
    weights, step, dice = load_best(tmp_path / "best.pt")
    assert torch.equal(weights["bias"], network.bias)
    assert (step, dice) == (12, {"liver": 0.75})


def test_held_out_voxels_are_read_back(tmp_path: Path) -> None:
    masks = {name: np.random.default_rng(seed).random((3, 5, 7)) < 0.3 for seed, name in enumerate(["a/b", "note"])}
    box = (slice(0, 2), slice(1, 5), slice(3, 7))
    save_held_out(tmp_path / "held_out.npz", HeldOut(masks, "Ü.", {"note": (box,)}, {"a/b": "p 1"}))
    loaded = load_held_out(tmp_path / "held_out.npz")
    assert loaded.blocks == {"note": (box,)}
    assert loaded.patients == {"a/b": "p 1"}
    assert loaded.note == "Ü."
    assert loaded.masks.keys() == masks.keys()
    for name, mask in masks.items():
        np.testing.assert_array_equal(loaded.masks[name], mask)


def test_damage_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "held_out.npz"
    path.write_bytes(b"not a zip file")
    with pytest.raises(ConfigError, match=r"held_out\.npz"):
        load_held_out(path)

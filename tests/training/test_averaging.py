"""The running mean follows the weights, and comes back with them."""

import pytest
import torch
from torch import nn

from napari_medseg.training.averaging import Averaged


def averaged(decay):
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    return Averaged(network, torch.optim.SGD(network.parameters(), 0.1), decay)


def test_the_mean_follows_slowly_but_not_at_the_beginning():
    one = averaged(0.9)
    with torch.no_grad():
        one.network[0].weight.fill_(1.0)
        one.mean[0].weight.fill_(0.0)
    one.average(0)
    assert float(one.mean[0].weight) == pytest.approx(0.9)
    with torch.no_grad():
        one.mean[0].weight.fill_(0.0)
    one.average(10_000)
    assert float(one.mean[0].weight) == pytest.approx(0.1)


def test_no_decay_is_the_last_weights_and_counters_are_copied():
    one = averaged(0.0)
    one.network(torch.ones((4, 1)))
    with torch.no_grad():
        one.network[0].weight.fill_(3.0)
    one.average(500)
    assert all(torch.equal(a, b) for a, b in zip(one.mean.state_dict().values(), one.network.state_dict().values(),
                                                 strict=True))  # fmt: skip
    other = averaged(0.0)
    other.load_state_dict(one.state_dict())
    assert torch.equal(other.network[0].weight, one.network[0].weight)

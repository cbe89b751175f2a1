import pytest

from napari_medseg.training import TrainConfig
from napari_medseg.training.schedule import TIMED_STEPS, learning_rate, plan_steps, score_interval


@pytest.mark.parametrize("schedule", ["cosine", "poly"])
def test_the_rate_rises_then_falls_to_almost_nothing(schedule: str) -> None:
    config = TrainConfig(learning_rate=0.01, warmup_steps=20, schedule=schedule)  # type: ignore[arg-type]
    rates = [learning_rate(step, 200, config) for step in range(200)]
    assert rates[:21] == sorted(rates[:21])
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert max(rates) == pytest.approx(0.01)
    assert rates[-1] < 2e-4
    assert min(rates) > 0


def test_poly_is_that_of_nnunet() -> None:
    config = TrainConfig(learning_rate=1, warmup_steps=0, schedule="poly")
    halfway = (TIMED_STEPS + 100) // 2
    passed = (halfway - TIMED_STEPS) / (100 - TIMED_STEPS)
    assert learning_rate(halfway, 100, config) == pytest.approx((1 - passed) ** 0.9)


@pytest.mark.parametrize("warmup", [0, 3, 30])
def test_the_rates_while_steps_are_timed_do_not_depend_on_the_plan(warmup: int) -> None:
    config = TrainConfig(warmup_steps=warmup)
    for step in range(TIMED_STEPS):
        assert learning_rate(step, 10, config) == learning_rate(step, 100_000, config)


def test_a_budget_becomes_steps() -> None:
    config = TrainConfig(preview_hz=0, validate_every=10)
    # ten steps of one second and a validation of two seconds take twelve seconds
    assert plan_steps(120, 8, 1.0, 2.0, config) == 108
    assert plan_steps(120, 8, 1.0, 2.0, TrainConfig(preview_hz=1, validate_every=10)) == 98


def test_a_long_training_is_scored_fifty_times() -> None:
    config = TrainConfig(preview_hz=0)
    # 2000 steps of a second and forty scores of five; 5750 steps and fifty scores
    assert plan_steps(2200.5, 8, 1.0, 5.0, config) == 2008
    assert plan_steps(6000, 8, 1.0, 5.0, config) == 5758
    assert [score_interval(planned, config) for planned in (2008, 5758)] == [50, 116]
    assert score_interval(5758, TrainConfig(validate_every=10)) == 10


def test_a_budget_that_is_used_up_leaves_one_step() -> None:
    assert plan_steps(-5, 8, 1.0, 1.0, TrainConfig()) == 9

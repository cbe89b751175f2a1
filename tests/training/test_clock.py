import time

from napari_medseg.training.clock import Stopwatch, clock_of


def test_that_a_sleeping_process_spends_no_processor_time() -> None:
    wall, work = clock_of("wall"), clock_of("processor")
    before = wall(), work()
    time.sleep(0.3)
    assert wall() - before[0] >= 0.3
    assert work() - before[1] < 0.2


def test_that_a_stopwatch_counts_earlier_sessions_and_leaves_pauses_out() -> None:
    now = 100.0
    watch = Stopwatch(lambda: now, before=5.0)
    assert watch.seconds == 5.0
    now = 110.0
    assert watch.seconds == 15.0
    watch.skip(4.0)
    assert watch.seconds == 11.0
    now = 111.0
    assert watch.seconds == 12.0

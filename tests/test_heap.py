"""Freed memory is used again while it is kept, and goes back afterwards."""

import json
import platform
import subprocess
import sys

import pytest

MEASURE = """
import json, resource, sys, threading
from napari_medseg import heap

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def layers():
    before, kept = faults(), []
    for size in (3, 5, 4, 6, 3, 5):
        kept = [*kept[-1:], b"1" * (size << 23)]
    return faults() - before

def rounds():
    return [layers() for _ in range(4)]

if "shared" in sys.argv:
    heap.share_among_threads()
found = {"plain": rounds()}
with heap.kept_memory():
    with heap.kept_memory():
        found["kept"] = rounds()
    found["still kept"] = rounds()
    inside = threading.Thread(target=lambda: found.update(thread=rounds()))
    inside.start()
    inside.join()
    found["held"] = int(open("/proc/self/statm").read().split()[1])
found["back"] = int(open("/proc/self/statm").read().split()[1])
print(json.dumps(found))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps memory when it is told to")
def test_layers_use_the_memory_of_those_before_them():
    done = subprocess.run([sys.executable, "-c", MEASURE, "shared"], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert min(found["plain"]) > 40_000
    for way in ("kept", "still kept", "thread"):
        assert found[way][-1] < found["plain"][-1] / 10, found
    assert found["back"] < found["held"] - 20_000


def test_elsewhere_nothing_happens(monkeypatch):
    from napari_medseg import heap

    monkeypatch.setattr(heap.sys, "platform", "win32")
    heap.share_among_threads()
    with heap.kept_memory():
        heap.release()

"""The pool of buffers: what it hands out, when a block comes back, and that training lives on blocks it has."""

import gc
import threading

import numpy as np
import pytest

import convcore
from convcore import memory, nn
from convcore.nn import functional as F
from convcore.ops.core import layout

BIG = (300, 257)  # more than memory.SMALLEST_POOLED, and no round number


@pytest.fixture(scope="module", autouse=True)
def _no_collector():
    """No block comes back when the collector chooses; to collect before each test would take half a second."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(autouse=True)
def fresh_pool():
    memory.clear()


@pytest.mark.parametrize("shape", [(), 5, (3, 0), BIG, (2, 3, 64, 65)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int64])
def test_arrays_are_writeable_contiguous_and_aligned(shape, dtype):
    array = memory.empty(shape, dtype)
    assert array.shape == (shape if isinstance(shape, tuple) else (shape,))
    assert array.dtype == dtype
    assert array.flags.c_contiguous
    assert array.flags.writeable
    if array.nbytes >= memory.SMALLEST_POOLED:
        assert array.ctypes.data % memory.ALIGNMENT == 0
    array[...] = 1
    assert array.sum() == array.size


def test_a_block_comes_back_with_its_last_view():
    used = memory.stats()["used"]
    array = memory.empty(BIG, np.float32)
    address, view = array.ctypes.data, array.T[3:]
    assert memory.stats()["used"] >= used + array.nbytes
    del array
    assert memory.stats()["used"] > used
    del view
    assert memory.stats()["used"] == used
    assert memory.empty(BIG, np.float32).ctypes.data == address


def test_arrays_in_use_never_share_memory():
    arrays = [memory.empty(BIG, np.float32) for _ in range(4)]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i])


def test_clear_forgets_idle_blocks_and_spares_those_in_use():
    kept = memory.empty(BIG, np.float32)
    kept[...] = 7
    lost = memory.empty(BIG, np.float64)
    del lost
    assert memory.stats()["idle"] > 0
    memory.clear()
    assert memory.stats()["idle"] == 0
    assert (kept == 7).all()


def test_idle_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(memory, "MAX_IDLE", 1024**2)
    arrays = [memory.empty(300_000, np.uint8) for _ in range(8)]
    del arrays
    assert 0 < memory.stats()["idle"] <= 1024**2


@pytest.mark.parametrize("nbytes", [16 * 1024, 16 * 1024 + 1, 100_000, 2**20, 2**20 + 1, 3 * 2**28 + 5])
def test_little_of_a_block_is_wasted(nbytes):
    size = memory._size_class(nbytes)
    assert nbytes <= size <= 1.26 * nbytes


def test_peak_counts_what_was_in_use_at_once():
    memory.reset_peak()
    before = memory.stats()
    a, b = memory.empty(BIG, np.float32), memory.empty(BIG, np.float32)
    del a
    c = memory.empty(BIG, np.float32)
    peak = memory.stats()["peak"] - before["used"]
    assert 2 * b.nbytes <= peak < 2.6 * c.nbytes


def test_threads_may_take_and_give_back_at_once():
    def work():
        for i in range(300):
            array = memory.empty(20_000 + 100 * (i % 7), np.uint8)
            array[...] = i % 251
            assert (array == i % 251).all()

    used = memory.stats()["used"]
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert memory.stats()["used"] == used


def test_training_lives_on_the_blocks_it_has(monkeypatch):
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(4096, 4)
    )
    optimizer = convcore.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x, labels = convcore.randn(8, 3, 16, 16), convcore.zeros(8, dtype=convcore.int64)

    def step():
        optimizer.zero_grad()
        F.cross_entropy(model(x), labels).backward()
        optimizer.step()

    for _ in range(3):
        step()
    made = []
    make = np.empty
    monkeypatch.setattr(memory.np, "empty", lambda *a, **k: made.append(a) or make(*a, **k))
    step()
    assert not [a for a in made if np.prod(a[0]) >= memory.SMALLEST_POOLED]


def test_nhwc_views_channels_last_and_copies_the_rest():
    block = memory.empty((2, 5, 6, 3), np.float32)
    assert layout.nhwc(layout.nchw(block)).ctypes.data == block.ctypes.data
    array = np.arange(24.0).reshape(1, 2, 3, 4)
    assert layout.nhwc(array).flags.c_contiguous
    np.testing.assert_array_equal(layout.nchw(layout.nhwc(array)), array)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 8, 7, 7), (2, 16, 9), (2, 4, 3, 2, 5), (3, 1, 4, 4), (3, 4, 1, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_images_are_copied_between_the_orders_of_memory(shape, dtype):
    array = np.arange(float(np.prod(shape))).reshape(shape).astype(dtype)
    block = layout.nhwc(array)
    assert block.flags.c_contiguous
    np.testing.assert_array_equal(layout.nchw(block), array)
    dense = layout.contiguous(layout.nchw(block))
    assert dense.flags.c_contiguous
    np.testing.assert_array_equal(dense, array)


def test_flattened_images_are_copied_and_every_other_reshape_stays_a_view():
    images = convcore.arange(120.0).reshape(2, 4, 5, 3).permute(0, 3, 1, 2)  # channels-last
    expected = images.numpy().copy()
    np.testing.assert_array_equal(images.reshape(2, -1).numpy(), expected.reshape(2, -1))
    one = images[:1]
    one.reshape(3, 20).zero_()
    assert not one.numpy().any()
    columns = convcore.ones(4, 6)[:, ::2]
    columns.reshape(4, 3).zero_()
    assert not columns.numpy().any()


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 2, 3, 1), (3, 1, 0, 2)])
def test_elements_in_the_order_of_memory(axes):
    block = np.arange(120.0).reshape(2, 3, 4, 5)
    array = block.transpose(np.argsort(axes))
    np.testing.assert_array_equal(layout.flat(array), np.arange(120.0))
    other = layout.like(np.ascontiguousarray(array), array)
    np.testing.assert_array_equal(other, array)
    assert other.strides == array.strides
    assert layout.empty_like(array).strides == array.strides

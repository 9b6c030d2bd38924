"""Seeds, states and random tensors."""

import json
import pickle
import threading

import numpy as np
import pytest

import convcore
from convcore import random
from convcore.errors import CheckpointError, DTypeError, ShapeError
from convcore.ops.create.sampling import rand, randint, randn, randperm
from convcore.random import Generator


@pytest.fixture(autouse=True)
def keep_the_default_generator():
    state = random.get_rng_state()
    yield
    random.set_rng_state(state)


def draws(generator):
    return generator.numpy.random(3).tolist(), generator.next_offset(10), generator.numpy.integers(0, 1 << 40)


def test_equal_seeds_give_equal_numbers():
    first, second, other = Generator(7), Generator(7), Generator(8)
    results = draws(first)
    assert results == draws(second)
    assert results != draws(other)
    assert draws(first) != results
    assert draws(first.manual_seed(7)) == results
    assert first.initial_seed() == 7


def test_a_state_goes_through_json_and_pickle():
    generator = Generator(3)
    draws(generator)
    state = json.loads(json.dumps(generator.get_state()))
    copy = pickle.loads(pickle.dumps(generator))
    expected = draws(generator)
    assert draws(copy) == expected
    assert draws(Generator(99).set_state(state)) == expected
    assert draws(Generator(99).set_state(state)) == expected, "set_state must not be spoiled by later draws"
    assert copy.initial_seed() == 3


def test_the_numpy_generator_stays_the_same_object():
    generator = Generator(1)
    numbers = generator.numpy
    first = numbers.random()
    assert generator.manual_seed(1).numpy is numbers
    assert numbers.random() == first


def test_offsets_never_overlap_between_threads():
    generator, taken = Generator(0), []
    lock = threading.Lock()

    def take():
        for _ in range(500):
            seed, offset = generator.next_offset(3)
            with lock:
                taken.append((seed, offset))

    workers = [threading.Thread(target=take) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(taken) == [(0, 3 * i) for i in range(2000)]


def test_seeds_of_the_operating_system_differ():
    assert len({Generator().initial_seed() for _ in range(20)} | {random.seed() for _ in range(20)}) == 40


def test_two_processes_start_from_different_seeds(run_pythons):
    code = "from convcore.random import initial_seed; print(initial_seed())"
    first, second = (int(process.stdout) for process in run_pythons(code, count=2))
    assert first != second


@pytest.mark.parametrize(("seed", "stored"), [(0, 0), (-1, 2**64 - 1), (2**64 - 1, 2**64 - 1), (np.int64(5), 5)])
def test_seeds_as_in_torch(seed, stored):
    assert Generator(seed).initial_seed() == stored


def test_module_functions_act_on_the_default_generator():
    assert random.manual_seed(5) is random.default_generator
    state = random.get_rng_state()
    first = rand(4).array
    assert random.initial_seed() == 5
    random.set_rng_state(state)
    np.testing.assert_array_equal(rand(4).array, first)


def test_wrong_seeds_and_states():
    with pytest.raises(DTypeError, match=r"manual_seed: seed must be an integer, got 1\.5"):
        Generator(1.5)  # pyright: ignore[reportArgumentType]
    with pytest.raises(DTypeError, match=r"seed must be an integer, got True"):
        random.manual_seed(True)
    with pytest.raises(ShapeError, match=r"seed must lie from -2\*\*63 to 2\*\*64 - 1, got 18446744073709551616"):
        random.manual_seed(2**64)
    generator = Generator(4)
    for state in ({"seed": 1}, {"seed": 1, "counter": 0, "numpy": {"bit_generator": "MT19937"}}, None):
        with pytest.raises(CheckpointError, match=r"set_state: state must be a dictionary from get_state\(\)"):
            generator.set_state(state)  # pyright: ignore[reportArgumentType]
    assert draws(generator) == draws(Generator(4)), "a refused state must change nothing"


def test_random_tensors():
    generator = Generator(0)
    x = rand(3, 4, generator=generator)
    assert isinstance(x, convcore.Tensor)
    assert x.array.shape == (3, 4)
    assert x.array.dtype == np.float32
    assert randn((2, 3), generator=generator, dtype=convcore.float64, requires_grad=True).requires_grad
    assert randn().array.shape == ()
    assert rand(0, 3).array.shape == (0, 3)
    np.testing.assert_array_equal(np.sort(randperm(50, generator=generator).array), np.arange(50))
    np.testing.assert_array_equal(rand(5, generator=Generator(1)).array, rand(5, generator=Generator(1)).array)
    assert randperm(3, dtype=np.int32).array.dtype == np.int32


def test_random_distributions():
    generator = Generator(0)
    uniform, normal = rand(40000, generator=generator).array, randn(40000, generator=generator).array
    assert 0 <= uniform.min() < 0.001 < 0.999 < uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.01
    assert abs(normal.mean()) < 0.03
    assert abs(normal.std() - 1) < 0.02
    integers = randint(-2, 3, (40000,), generator=generator).array
    assert integers.dtype == np.int64
    np.testing.assert_allclose(np.bincount(integers + 2) / 40000, [0.2] * 5, atol=0.015)
    np.testing.assert_array_equal(np.unique(randint(3, (1000,), generator=generator).array), [0, 1, 2])


def test_wrong_arguments_of_random_tensors():
    with pytest.raises(DTypeError, match=r"rand: dtype must be float32 or float64, got int64.*randint"):
        rand(2, dtype=np.int64)
    with pytest.raises(ShapeError, match=r"randn: sizes must be at least 0, got \(2, -1\)"):
        randn(2, -1)
    with pytest.raises(ShapeError, match=r"randint: needs low < high, got low=3, high=3"):
        randint(3, 3, (2,))
    with pytest.raises(ShapeError, match=r"randint: 0 to 255 does not fit into int8"):
        randint(256, (2,), dtype=np.int8)
    with pytest.raises(ShapeError, match=r"randperm: n must be at least 0"):
        randperm(-1)


@pytest.mark.parametrize(
    "draw",
    [
        lambda generator: rand(3, generator=generator),
        lambda generator: randperm(3, generator=generator),
        lambda generator: convcore.zeros(3).normal_(generator=generator),
        lambda generator: convcore.nn.init.uniform_(convcore.zeros(3), generator=generator),
        lambda generator: convcore.nn.functional.gumbel_softmax(convcore.zeros(3), generator=generator),
        lambda generator: convcore.data.DataLoader(convcore.data.TensorDataset(convcore.ones(2)), generator=generator),
    ],
)
@pytest.mark.parametrize("wrong", [convcore.tensor([4]), 0, np.random.default_rng(0)], ids=["tensor", "0", "numpy"])
def test_what_is_no_generator(draw, wrong):
    with pytest.raises(DTypeError, match=f"generator must be a convcore.Generator or None, got {type(wrong).__name__}"):
        draw(wrong)


def test_multinomial_takes_as_many_categories_as_torch():
    weights = convcore.ones((1 << 24) + 1)
    with pytest.raises(ShapeError, match="at most 16777216 weights a row, got 16777217"):
        convcore.multinomial(weights, 3)


def test_large_weights_of_multinomial_do_not_overflow():
    drawn = convcore.multinomial(convcore.tensor([3e38, 0.0, 3e38]), 50, replacement=True).numpy()
    assert set(drawn.tolist()) == {0, 2}


def test_what_is_given_no_generator_draws_from_the_innermost_one():
    """In its own thread: tensors, dropout, and the functions of the module."""

    def drawn():
        dropped = convcore.nn.functional.dropout(convcore.ones(16)).tolist()
        return rand(2).tolist(), dropped, randperm(9).tolist(), random.initial_seed()

    before = random.get_rng_state()
    results = []
    for seed in (1, 1, 2):
        with random.drawing_from(np.random.default_rng(seed)):
            results.append(drawn())
            with random.drawing_from(np.random.default_rng(7)):
                inner = drawn()
            state = random.get_rng_state()
            assert drawn() != inner
            random.set_rng_state(state)
            random.manual_seed(3)
            assert random.active() is not random.default_generator
    assert results[0] == results[1] != results[2]
    assert results[0][1] != results[2][1], "masks follow the seed, too"
    assert random.get_rng_state() == before
    assert random.active() is random.default_generator
    with random.drawing_from(np.random.default_rng(1)):
        thread = threading.Thread(target=lambda: results.append(random.active()))
        thread.start()
        thread.join()
    assert results[-1] is random.default_generator


def test_a_generator_around_numpys_moves_it():
    numbers = np.random.default_rng([3, 4])
    expected = np.random.default_rng([3, 4]).random(2)
    assert Generator.around(numbers).numpy.random() == expected[0]
    assert numbers.random() == expected[1]
    assert Generator.around(np.random.default_rng(5)).next_offset(1) != Generator.around(numbers).next_offset(1)

"""Same seed, same data: whatever thread fetches a batch, however far ahead, and whatever the loop draws meanwhile."""

import random as python_random
import time
from typing import Any

import numpy as np
import pytest

import convcore
from convcore import nn, transforms
from convcore.data import DataLoader, Dataset, IterableDataset, RandomSampler, TensorDataset, Transformed
from convcore.random import Generator, default_generator

WAYS: list[dict[str, Any]] = [
    {}, {"prefetch": 3}, {"num_workers": 1}, {"num_workers": 2}, {"num_workers": 3},
    {"num_workers": 2, "prefetch_factor": 5},
]  # fmt: skip


def by_randn(index):
    return convcore.randn(2).tolist()


def by_rand(index):
    return convcore.zeros(2).uniform_().tolist() + convcore.randint(0, 1000, (2,)).tolist()


def by_dropout(index):
    return nn.functional.dropout(convcore.ones(8)).tolist()


def by_rrelu(index):
    return nn.functional.rrelu(-convcore.ones(3), training=True).tolist()


def by_initial_weights(index):
    return nn.Linear(1, 2).weight.detach().flatten().tolist()


def by_new_transform(index):
    return transforms.RandomErasing(p=0.5)(np.ones((1, 4, 4), np.float32)).ravel().tolist()


def by_own_seed(index):
    convcore.manual_seed(index % 3)
    return [*convcore.rand(2).tolist(), convcore.initial_seed()]


def by_saved_state(index):
    state = convcore.get_rng_state()
    first = convcore.rand(1).item()
    convcore.set_rng_state(state)
    assert convcore.rand(1).item() == first
    return [first]


def by_numpys_own_generator(index):
    return np.random.default_rng([7, index]).random(2).tolist()


class Drawn(Dataset):
    """Samples that are drawn; late ones are ready before early ones."""

    def __init__(self, draw):
        self.draw = draw

    def __len__(self):
        return 12

    def __getitem__(self, index):
        time.sleep(0.002 if index % 4 < 2 else 0)
        return self.draw(index)


def run(dataset, epochs=2, seed=0, before=convcore.manual_seed, in_loop=lambda: convcore.rand(3).tolist(), **options):
    """What comes out of a program: batches, and what the loop itself draws."""
    before(seed)
    loader = DataLoader(dataset, 2, shuffle=True, **options)
    return [(np.asarray(batch).tolist(), in_loop()) for _ in range(epochs) for batch in loader]


@pytest.mark.parametrize(
    "draw",
    [
        by_randn, by_rand, by_dropout, by_rrelu, by_initial_weights, by_new_transform, by_own_seed, by_saved_state,
        by_numpys_own_generator,
    ],
)  # fmt: skip
def test_draws_of_a_dataset(draw):
    def collate(samples):
        return samples

    expected = run(Drawn(draw), collate_fn=collate)
    assert run(Drawn(draw), collate_fn=collate) == expected
    for way in WAYS:
        assert run(Drawn(draw), collate_fn=collate, **way) == expected, way
    if draw is not by_own_seed:
        assert len({str(batch) for batch, _ in expected}) == len(expected), "two batches drew the same"
        assert run(Drawn(draw), collate_fn=collate, seed=1) != expected


def test_draws_of_collate_fn_and_of_transforms():
    def collate(samples):
        return [*samples, convcore.rand(1).item()]

    images = Transformed(TensorDataset(np.zeros((12, 1, 5, 5), np.float32)), transforms.RandomErasing(p=0.5))
    cases: list[Any] = [(Drawn(by_randn), {"collate_fn": lambda s: collate([sum(x) for x in s])}), (images, {})]
    for dataset, options in cases:
        expected = run(dataset, **options)
        for way in WAYS:
            assert run(dataset, **options, **way) == expected, way


def test_draws_of_the_loop_do_not_change_the_data():
    quiet = run(Drawn(by_randn), in_loop=lambda: None, seed=3)
    for way in WAYS:
        busy = run(Drawn(by_randn), in_loop=lambda: convcore.rand(7), seed=3, epochs=1, **way)
        assert [batch for batch, _ in busy] == [batch for batch, _ in quiet[:6]]


def test_fetching_draws_nothing_from_the_generator_of_the_loop():
    for way in WAYS:
        loader = DataLoader(Drawn(by_dropout), 2, shuffle=True, seed=1, **way)
        before = default_generator.get_state()
        list(loader)
        assert default_generator.get_state() == before


def test_a_loader_without_a_seed_follows_the_generator():
    loader = DataLoader(Drawn(lambda index: [index, convcore.rand(1).item()]), 3, shuffle=True)
    epochs = []
    for seed in (5, 5, 6):
        convcore.manual_seed(seed)
        epochs.append([np.array(batch).tolist() for batch in loader])
    assert epochs[0] == epochs[1] != epochs[2]
    assert [np.array(batch).tolist() for batch in loader] != epochs[2], "the next epoch is another one"
    generator = Generator(5)
    loader = DataLoader(loader.dataset, 3, shuffle=True, generator=generator)
    before = default_generator.get_state()
    assert [np.array(batch).tolist() for batch in loader] == epochs[0]
    assert default_generator.get_state() == before, "the loader has a generator of its own"


def test_samplers_draw_from_the_seed_of_the_loader():
    class Shuffled(RandomSampler):
        def __iter__(self):
            return iter(convcore.randperm(len(self)).tolist())

    numbers = TensorDataset(np.arange(10))
    for sampler in (RandomSampler(numbers), Shuffled(numbers), RandomSampler(numbers, True, 14)):
        orders = []
        for way in WAYS:
            loader = DataLoader(numbers, 4, sampler=sampler, seed=4, **way)
            orders.append([[batch.tolist() for (batch,) in loader] for _ in range(2)])
            convcore.rand(1)
        assert orders == [orders[0]] * len(WAYS)
        assert orders[0][0] != orders[0][1]


def both_globals(index):
    return [np.random.randint(1 << 20), np.random.randn(), python_random.random()]


def seed_globals(seed):
    convcore.manual_seed(seed)
    np.random.seed(seed)
    python_random.seed(seed)


def test_global_generators_of_numpy_and_python_without_workers():
    """The loop's own thread draws from them, as in torch: batch by batch, in turns with the loop."""
    first, again, other = (
        run(Drawn(both_globals), seed=s, before=seed_globals, in_loop=lambda: both_globals(0), collate_fn=list)
        for s in (1, 1, 2)
    )
    assert first == again != other
    seed_globals(1)
    loader = DataLoader(Drawn(both_globals), 2, collate_fn=list)
    mixed = [(batch, both_globals(0)) for batch in loader]
    np.random.seed(1)
    python_random.seed(1)
    assert mixed == [([both_globals(0), both_globals(0)], both_globals(0)) for _ in range(6)]


def test_loading_leaves_the_global_generators_alone():
    seed_globals(1)
    expected = both_globals(0)
    for way in WAYS:
        seed_globals(1)
        list(DataLoader(Drawn(by_randn), 2, shuffle=True, **way))
        assert both_globals(0) == expected


class Stream(IterableDataset):
    def __iter__(self):
        info = convcore.data.get_worker_info()
        for _ in range(6):
            yield [0 if info is None else info.id, convcore.rand(1).item()]


def test_draws_of_streams():
    def epochs(**way):
        convcore.manual_seed(0)
        loader = DataLoader(Stream(), 2, collate_fn=list, **way)
        return [(batch, convcore.rand(1).item()) for _ in range(2) for batch in loader]

    for way in ({}, {"num_workers": 2}, {"num_workers": 3}):
        assert epochs(**way) == epochs(**way)
    assert epochs() == epochs(num_workers=1) == epochs(prefetch=4)
    drawn = [number for batch, _ in epochs(num_workers=3) for _, number in batch]
    assert len(set(drawn)) == len(drawn) == 36, "workers draw for themselves"

"""The training loop: what it computes, what it keeps, and that a resumed run is the uninterrupted one."""

import json
from typing import Any

import numpy as np
import pytest

from convcore import nn, random
from convcore.data import DataLoader, TensorDataset, Transformed
from convcore.errors import CheckpointError
from convcore.io import load_file, read_metadata
from convcore.optim import Adam
from convcore.optim.lr_scheduler import OneCycleLR
from convcore.training import Trainer, evaluate, load_checkpoint, save_checkpoint, score_of
from convcore.training import trainer as trainer_module
from convcore.transforms import RandomCrop

EPOCHS = 6
FILES = ("weights.safetensors", "checkpoint.safetensors", "history.json")


def data(n, seed):
    """Images whose class is the quarter that is bright."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)
    x = rng.random((n, 1, 6, 6), dtype=np.float32)
    for i, label in enumerate(labels):
        x[i, 0, 3 * (label // 2) :, 3 * (label % 2) :][:3, :3] += 1
    return TensorDataset(x, labels)


def make_trainer(out, lr=0.05):
    random.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 4))
    shifts = RandomCrop(6, padding=1, generator=2)
    batches = DataLoader(Transformed(data(64, 0), shifts), 16, shuffle=True, seed=3)
    optimizer = Adam(model.parameters(), lr=lr)
    scheduler = OneCycleLR(optimizer, max_lr=lr, total_steps=EPOCHS * len(batches))
    return Trainer(
        model, optimizer, scheduler, batches, DataLoader(data(40, 1), 16), out, {"lr": lr}, {"shifts": shifts}, False
    )


def interrupt_at(trainer, batch):
    """Let the optimizer's step number `batch` be hit by Ctrl-C."""
    original, steps = trainer.optimizer.step, iter(range(10**6))

    def step():
        if next(steps) == batch:
            raise KeyboardInterrupt
        original()

    trainer.optimizer.step = step


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    trainer = make_trainer(tmp_path_factory.mktemp("whole"))
    trainer.fit(EPOCHS)
    return trainer


def test_it_learns(whole_run):
    first, last = whole_run.history[0], whole_run.history[-1]
    assert [entry["epoch"] for entry in whole_run.history] == [1, 2, 3, 4, 5, 6]
    assert last["loss"] < 0.9 * first["loss"]
    assert last["validation_accuracy"] > 0.9


def test_two_runs_write_the_same_bytes(whole_run, tmp_path):
    make_trainer(tmp_path).fit(EPOCHS)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (whole_run.out / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)


@pytest.mark.parametrize("batch", [4, 6, 23])
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(whole_run, tmp_path, batch):
    stopped = make_trainer(tmp_path)
    interrupt_at(stopped, batch)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(EPOCHS)
    assert len(stopped.history) == batch // 4
    resumed = make_trainer(tmp_path)
    resumed.resume()
    assert resumed.history == whole_run.history[: batch // 4]
    resumed.fit(EPOCHS)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (whole_run.out / name).read_bytes()


def test_weights_are_those_of_the_lowest_validation_loss(tmp_path, monkeypatch):
    losses, weights = iter([0.5, 0.3, 0.4, 0.3, 0.6, 0.35]), []

    def fake_evaluate(model, _data):
        weights.append({name: tensor.array.copy() for name, tensor in model.state_dict().items()})
        return next(losses), 0.5

    monkeypatch.setattr(trainer_module, "evaluate", fake_evaluate)
    trainer = make_trainer(tmp_path)
    assert trainer.best is None
    trainer.fit(EPOCHS)
    assert trainer.best is trainer.history[1]
    for name, tensor in load_file(tmp_path / "weights.safetensors").items():
        np.testing.assert_array_equal(tensor.array, weights[1][name])
    trainer.load_best()
    np.testing.assert_array_equal(trainer.model.state_dict()["1.weight"].array, weights[1]["1.weight"])
    assert not np.array_equal(weights[3]["1.weight"], weights[1]["1.weight"])


def follow(losses, monkeypatch):
    """Let validation give these losses, one after another."""
    given = iter(losses)
    monkeypatch.setattr(trainer_module, "evaluate", lambda model, data: (next(given), 0.5))


def test_patience_ends_a_training_that_stalls(tmp_path, monkeypatch):
    follow([0.5, 0.3, 0.4, 0.3, 0.2, 0.1], monkeypatch)
    trainer = make_trainer(tmp_path)
    trainer.patience = 2
    trainer.fit(EPOCHS)
    assert len(trainer.history) == 4
    resumed = make_trainer(tmp_path)
    resumed.patience = 2
    resumed.resume()
    resumed.fit(EPOCHS)
    assert len(resumed.history) == 4


def test_phases_share_a_history_and_the_best_weights(tmp_path, monkeypatch):
    follow([0.5, 0.2, 0.4, 0.3, 0.35, 0.36], monkeypatch)
    first = make_trainer(tmp_path)
    first.phase, first.metadata = "first", {"about": "it"}
    first.fit(2)
    kept = (tmp_path / "weights.safetensors").read_bytes()
    assert read_metadata(tmp_path / "weights.safetensors") == {"about": "it"}
    second = make_trainer(tmp_path)
    second.phase, second.patience, second.history = "second", 2, list(first.history)
    second.fit(1)
    assert (tmp_path / "weights.safetensors").read_bytes() == kept
    resumed = make_trainer(tmp_path)
    resumed.phase, resumed.patience = "second", 2
    resumed.resume()
    resumed.fit(9)  # patience counts from the best epoch of this phase, the fourth, not from the second
    assert [(entry["phase"], entry["epoch"]) for entry in resumed.history] == [
        ("first", 1), ("first", 2), ("second", 3), ("second", 4), ("second", 5), ("second", 6),
    ]  # fmt: skip
    assert resumed.best is resumed.history[1]
    assert (tmp_path / "weights.safetensors").read_bytes() == kept


def test_history_file(whole_run):
    content = json.loads((whole_run.out / "history.json").read_text(encoding="utf-8"))
    assert content == {"settings": {"lr": 0.05}, "epochs": whole_run.history}
    assert set(content["epochs"][0]) == {"epoch", "loss", "accuracy", "validation_loss", "validation_accuracy"}


def test_a_loss_that_is_not_finite_stops_the_training(tmp_path):
    trainer = make_trainer(tmp_path)
    next(trainer.model.parameters()).array[:] = np.nan
    with pytest.raises(FloatingPointError, match=r"epoch 1/6: the loss is nan; .* smaller learning rate"):
        trainer.fit(EPOCHS)
    assert list(tmp_path.iterdir()) == []


def test_a_validation_loss_that_is_not_finite_stops_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer_module, "evaluate", lambda model, data: (float("inf"), 0.5))
    with pytest.raises(FloatingPointError, match="epoch 1/6: the validation loss is inf"):
        make_trainer(tmp_path).fit(EPOCHS)
    assert list(tmp_path.iterdir()) == []


def test_evaluate_weighs_samples_equally_and_uses_evaluation_mode():
    class Half(nn.Module):
        def forward(self, x):
            assert not self.training
            return x

    logits = np.random.default_rng(0).standard_normal((10, 3)).astype(np.float32)
    labels = np.arange(10) % 3
    loss, accuracy = evaluate(Half(), DataLoader(TensorDataset(logits, labels), batch_size=4))
    log_probabilities = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    assert loss == pytest.approx(-log_probabilities[np.arange(10), labels].mean(), rel=1e-5)
    assert accuracy == np.mean(logits.argmax(axis=1) == labels)
    confusion = score_of(Half(), DataLoader(TensorDataset(logits, labels), batch_size=4)).confusion(3)
    expected = [[np.sum((labels == i) & (logits.argmax(axis=1) == j)) for j in range(3)] for i in range(3)]
    np.testing.assert_array_equal(confusion, expected)


class Holder:
    """Something with a state."""

    def __init__(self, state=None):
        self.state: Any = state

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.state = state


def test_checkpoint_round_trip(tmp_path):
    path = tmp_path / "c.safetensors"
    tensor = data(3, 0).tensors[0]
    state = {0: {"step": 3, "moment": tensor}, "lr": 0.1, "none": None, "list": [1, (2.5, tensor)], 7: 2**100}
    random.manual_seed(4)
    save_checkpoint(path, {"a": Holder(state), "b": Holder({})}, {"epoch": 3, "loss": 1 / 3})
    expected = random.default_generator.numpy.random(5)
    a, b = Holder(), Holder()
    assert load_checkpoint(path, {"a": a, "b": b}) == {"epoch": 3, "loss": 1 / 3}
    np.testing.assert_array_equal(random.default_generator.numpy.random(5), expected)
    assert b.state == {}
    assert list(a.state) == [0, "lr", "none", "list", 7]
    assert a.state[0]["step"] == 3
    assert (a.state["lr"], a.state["none"], a.state[7]) == (0.1, None, 2**100)
    assert a.state["list"][0] == 1
    for loaded in (a.state[0]["moment"], a.state["list"][1][1]):
        np.testing.assert_array_equal(loaded.array, tensor.array)


def test_checkpoints_that_do_not_fit(tmp_path, whole_run):
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, {"a": Holder({})}, {})
    with pytest.raises(CheckpointError, match=r"this run has the parts \['b'\], the checkpoint \['a'\]"):
        load_checkpoint(path, {"b": Holder()})
    with pytest.raises(CheckpointError, match="not a training checkpoint"):
        load_checkpoint(whole_run.out / "weights.safetensors", {})
    with pytest.raises(CheckpointError, match="no such file"):
        load_checkpoint(tmp_path / "nowhere", {})
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="not a safetensors file, or cut short"):
        load_checkpoint(path, {"a": Holder()})

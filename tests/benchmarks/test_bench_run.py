"""The command, and one small run of every group."""

import json

import pytest
import torch

import convcore
from benchmarks import BenchmarkError, run, store
from benchmarks.__main__ import main
from benchmarks.groups import algorithms, children, conv, nets, ops
from benchmarks.rivals import onnx, torch_models
from convcore.testing.cases import ConvCase
from kernels.threads import get_num_threads, max_num_threads

TINY_CONV = ConvCase("tiny", 1, 4, 8, 8, 5, (3, 3), padding=(1, 1))
TINY_LAYERS = (
    ops.LayerCase("relu", (2, 3, 4, 4), lambda nn: nn.ReLU(), (2, 5)),
    ops.LayerCase("batch_norm", (2, 3, 4, 4), lambda nn: nn.BatchNorm2d(3), (3, 8)),
    ops.LayerCase("linear", (3, 4), lambda nn: nn.Linear(4, 2), (2, 5), flops=(48.0, 144.0)),
    ops.LayerCase("cross_entropy", (4, 5), lambda nn: nn.CrossEntropyLoss(), (1, 3), classes=5),
)
TINY_OPTIMISER = ops.OptimiserCase("sgd", ((2, 3), (3,)), "SGD", (("lr", 0.1),), 3)
TINY_NET = nets.NetCase("tiny", "CNN", (2, 1, 28, 28), train=True)
LIBRARIES = children.LIBRARIES
TINY_CHILD = children.ChildCase("tiny", "CNN", (2, 1, 28, 28))
SPREAD = {"median", "low", "high"}


def check(row, works, rivals=("torch",)):
    """A row as it is stored, with positive numbers."""
    assert json.loads(json.dumps(row)) == row
    assert row["work"] in works
    assert [rival["name"] for rival in row["rivals"]] == list(rivals)
    for values in (row["convcore"], *(rival[key] for rival in row["rivals"] for key in ("value", "ratio"))):
        assert values.keys() == SPREAD
        assert 0 < values["low"] <= values["median"] <= values["high"]


def test_conv():
    works = ("forward", "grad_input", "grad_weight", "all passes")
    rows = list(conv.rows([TINY_CONV], 1, 1))
    assert [row["work"] for row in rows] == list(works)
    for row in rows:
        check(row, works)
    assert rows[0]["flops"] == 2 * 5 * 4 * 9 * 8 * 8
    assert rows[0]["traffic"] == 4 * (4 * 64 + 5 * 4 * 9 + 5 * 64)
    assert rows[3]["flops"] == 3 * rows[0]["flops"]


@pytest.mark.parametrize("case", TINY_LAYERS, ids=lambda case: case.name)
def test_layers(case):
    rows = list(ops.rows([case], 1, 1))
    assert [row["work"] for row in rows] == ["forward", "forward + backward"]
    for row in rows:
        check(row, ("forward", "forward + backward"))
        assert row["rivals"][0]["variant"] in (("NCHW", "channels_last") if len(case.shape) == 4 else ("",))


def test_optimiser():
    (row,) = ops.rows([TINY_OPTIMISER], 1, 1)
    check(row, ("step",))
    assert row["traffic"] == 3 * 4 * 9


@pytest.mark.parametrize("with_onnx", [False, True])
def test_networks(monkeypatch, with_onnx):
    monkeypatch.setattr(onnx, "available", lambda: with_onnx)
    rows = list(nets.rows([TINY_NET], 1, 1))
    assert [row["work"] for row in rows] == ["inference", "compiled inference", "training step"]
    for row in rows[:2]:
        check(row, ("inference", "compiled inference"), ("torch", "onnxruntime") if with_onnx else ("torch",))
    check(rows[2], ("training step",))
    # Two images through convolutions and dense layers; the first convolution alone is 2 * 2 * 9 * 32 * 784.
    multiply_adds = 9 * 32 * 784 + 9 * 32 * 64 * 196 + 3136 * 512 + 512 * 10
    assert rows[0]["flops"] == 2 * 2 * multiply_adds


def test_algorithms():
    rows = list(algorithms.rows([TINY_CONV], 1, 1))
    assert [row["work"] for row in rows] == ["forward", "grad_input", "grad_weight"]
    assert [row["chosen"] for row in rows] == ["direct", "first_layer", "direct"]
    for row in rows:
        others = [rival["name"] for rival in row["rivals"]]
        assert set(others) <= {"winograd", "winograd2x2", "grouped", "direct", "im2col"}
        assert row["chosen"] not in others
        check(row, (row["work"],), others)


def test_every_algorithm_that_can_compute_is_a_contestant():
    names = {work: (chosen, set(calls)) for work, chosen, calls in algorithms.contestants(TINY_CONV)}
    able = {"winograd", "winograd2x2", "grouped", "direct", "im2col"}
    assert names == {
        "forward": ("direct", able),
        "grad_input": ("first_layer", able | {"first_layer"}),
        "grad_weight": ("direct", able),
    }


def test_hopeless_algorithms_are_not_measured(monkeypatch):
    monkeypatch.setattr(algorithms, "_seconds", lambda call: call())
    calls = {"fast": lambda: 1.0, "slow": lambda: 1000.0, "slow too": lambda: 1000.0}
    assert list(algorithms._promising(calls, "slow too")) == ["fast", "slow too"]


@pytest.fixture(scope="module")
def measured():
    """What a process of each library says of itself."""
    return {library: children.child.run(library, TINY_CHILD.model, TINY_CHILD.shape, 1, 2) for library in LIBRARIES}


@pytest.fixture
def processes(measured, monkeypatch):
    """The processes that are started for a measurement: each would take seconds and say what one has said already."""
    started = []
    monkeypatch.setattr(children.child, "run", lambda *a: started.append(a) or measured[a[0]])
    return started


def test_start(processes):
    rows = list(children.start_rows([TINY_CHILD], 1, 1))
    assert [row["work"] for row in rows] == ["import", "import + first step"]
    for row in rows:
        check(row, ("import", "import + first step"))
    assert rows[0]["convcore"]["median"] < rows[1]["convcore"]["median"]
    assert [(library, steps) for library, _, _, _, steps in processes] == [
        (name, 1) for name in (*LIBRARIES, *LIBRARIES)
    ]


def test_memory(processes):
    peak, above = children.memory_rows([TINY_CHILD], 1, 1)
    for row in (peak, above):
        check(row, ("peak", "peak above import"))
        assert row["unit"] == "byte"
        assert 2**20 < row["convcore"]["median"] < 2**32
    assert above["convcore"]["median"] < peak["convcore"]["median"]
    assert [(library, steps) for library, _, _, _, steps in processes[2:]] == [(name, 3) for name in LIBRARIES]


def test_a_case_from_a_cold_cache_starts_with_an_empty_one(monkeypatch):
    started = []
    monkeypatch.setattr(children.child, "run", lambda *a, **env: started.append((a, env)) or {"first_step": 3.0})
    (row,) = children.start_rows([children.START_CASES[1]], 9, 2)
    check(row, ("import + first step",), ())
    ((arguments, environment),) = started
    assert arguments[0] == "convcore"
    assert "NUMBA_CACHE_DIR" in environment


def test_a_child_that_fails_says_why():
    with pytest.raises(BenchmarkError, match=r"(?s)the process for convcore failed.*set_num_threads"):
        children.child.run("convcore", "CNN", (1, 1, 28, 28), 10**6, 1)


def test_torch_is_imported_before_convcore(run_python):
    code = "import sys, benchmarks.run; names = list(sys.modules); print(names.index('torch') < names.index('kernels'))"
    assert run_python(code).stdout == "True\n"


def test_a_whole_run_stores_what_it_prints(capsys, tmp_path, monkeypatch):
    small = run.Group("one small convolution", (TINY_CONV,), (), conv.rows)
    monkeypatch.setattr(run, "GROUPS", {"conv": small})
    before = get_num_threads(), torch.get_num_threads()
    threads = [1, max_num_threads()]
    assert main(["conv", "--threads", *map(str, threads), "--rounds", "1", "--json", str(tmp_path / "out.jsonl")]) == 0
    assert (get_num_threads(), torch.get_num_threads()) == before
    captured = capsys.readouterr()
    result = store.read(tmp_path / "out.jsonl")
    assert [machine["threads"] for machine in result["machine"]] == threads
    assert [row["threads"] for row in result["rows"]] == [threads[0]] * 4 + [threads[1]] * 4
    assert result["rounds"] == 1
    assert {"numpy", "torch", "numba"} <= result["versions"].keys()
    assert "| tiny | grad_weight |" in captured.out
    rows = [line for line in captured.err.splitlines() if not line.startswith("convcore: compiling")]
    assert len(rows) == 8
    assert main(["report", str(tmp_path / "out.jsonl")]) == 0
    assert capsys.readouterr().out == captured.out.lstrip("\n")


def test_list(capsys):
    assert main(["--list"]) == 0
    out = capsys.readouterr().out
    for name, group in run.GROUPS.items():
        assert f"{name}: {group.summary}\n" in out
        for case in group.cases:
            assert f"  {case.name}\n" in out


def test_list_shows_what_would_run(capsys):
    assert main(["conv", "nets", "--only", "simple_cnn", "--list"]) == 0
    names = [line.strip() for line in capsys.readouterr().out.splitlines() if line.startswith(" ")]
    assert names == [
        "simple_cnn-conv1",
        "simple_cnn-conv2",
        "simple_cnn-conv3",
        "simple_cnn-batch8",
        "simple_cnn-batch1",
    ]


def test_a_quick_run_takes_named_cases():
    for name, group in run.GROUPS.items():
        names = {case.name for case in group.cases}
        assert set(group.quick) <= names, name
        assert len(names) == len(group.cases), f"two cases of {name} have the same name"
    assert [case.name for case in run.select(["start"], quick=True)["start"]] == ["cnn-warm"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["cnov"],
            "there is no group 'cnov'; did you mean 'conv'? There are conv, ops, nets, start, memory, algorithms",
        ),
        (["xyzzy"], "there is no group 'xyzzy'; There are conv"),
        (["conv", "--only", "nothing"], "no case of conv has 'nothing' in its name; --list shows the names"),
        (["conv", "--threads", "0"], "--threads must be from 1 to "),
        (["conv", "--threads", "1", "99999"], ", got 99999"),
        (["conv", "--rounds", "0"], "--rounds must be at least 1, got 0"),
        (["conv", "--json", "/no/such/folder/out.jsonl"], "--json: there is no folder /no/such/folder"),
    ],
)
def test_wrong_requests(capsys, arguments, message):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("benchmarks: error: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "vit_b_32", "convnext_tiny"])
def test_torch_builds_the_networks_from_the_same_sources(name):
    own, other = getattr(convcore.models, name)(num_classes=3), getattr(torch_models, name)(num_classes=3)
    assert isinstance(other, torch.nn.Module)
    shapes = {key: tuple(value.shape) for key, value in other.state_dict().items()}
    assert shapes == {key: tuple(value.shape) for key, value in own.state_dict().items()}
    assert all(module.inplace for module in other.modules() if isinstance(module, torch.nn.ReLU))


def test_torch_has_no_networks_of_its_own():
    with pytest.raises(AttributeError, match=r"convcore\.models has no network 'resnet17'"):
        _ = torch_models.resnet17

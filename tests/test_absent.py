"""Names that are not here say so: every public name of torch is here or in the table, and the errors tell which."""

import copy
import doctest
import importlib
import importlib.util
import inspect
import json
import pickle
import re
import types
from pathlib import Path
from typing import Any

import pytest
import torch

import convcore
from convcore import absent, nn
from convcore.absent_table import ELSEWHERE, INTERNAL, LACKING
from convcore.errors import AbsentError

HERE = {
    "torch": "convcore",
    **{
        f"torch.{name}": f"convcore.{name}"
        for name in (
            "nn", "nn.functional", "nn.init", "nn.utils", "optim", "optim.lr_scheduler", "utils", "utils.data",
            "autograd", "amp", "cuda",
        )
    },
}  # fmt: skip
ENTRIES = [*ELSEWHERE, *LACKING, *INTERNAL]
PATTERNS = [(entry, pattern) for entry in ENTRIES for pattern in entry.names.split()]


def is_torchs_own(module: types.ModuleType, name: str) -> bool:
    """Whether it is more than something of Python's library that the module imports."""
    value = getattr(module, name)
    if name in getattr(module, "__all__", ()):
        return True
    if value is torch or name == "TYPE_CHECKING":
        return False
    origin = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", "torch")
    return str(origin).split(".")[0] == "torch"


def public_names() -> dict[str, Any]:
    """Names of torch ("nn.Conv2d"), and whether convcore has them."""
    found = {}
    for theirs, ours in HERE.items():
        module = importlib.import_module(theirs)
        for name in dir(module):
            if not name.startswith("_") and is_torchs_own(module, name):
                found[f"{theirs}.{name}".removeprefix("torch.")] = hasattr(importlib.import_module(ours), name)
    for owner, theirs, ours in (("Tensor", torch.Tensor, convcore.Tensor), ("nn.Module", torch.nn.Module, nn.Module)):
        for name in dir(theirs):
            if not name.startswith("_"):
                found[f"{owner}.{name}"] = hasattr(ours, name)
    return found


@pytest.fixture(scope="module")
def names(run_python):
    """`public_names` of a new interpreter: what other tests import is an attribute of its package from then on."""
    code = "import json, test_absent; print(json.dumps(test_absent.public_names()))"
    return json.loads(run_python(code, cwd=Path(__file__).parent, PYTHONSAFEPATH=None).stdout)


def test_every_public_name_of_torch_is_here_or_in_the_table(names):
    assert len(names) > 2000
    assert {"conv2d", "nn.LSTM", "nn.functional.relu", "utils.data.DataLoader", "Tensor.stft"} <= names.keys()
    unknown = [name for name, is_here in names.items() if not is_here and absent.entry_of(f"torch.{name}") is None]
    assert not unknown


def test_the_table_holds_nothing_that_is_not_needed(names):
    missing = [name for name, is_here in names.items() if not is_here]
    idle = []
    for _, pattern in PATTERNS:
        if pattern.startswith("torchvision."):
            _, owner, *names = pattern.split(".")
            needed = not names or not hasattr(importlib.import_module(f"convcore.{owner}"), names[0])
        else:
            regex = re.compile(re.escape(pattern).replace(r"\*", r"\w*"))
            needed = any(regex.fullmatch(name) for name in missing)
        if not needed:
            idle.append(pattern)
    assert not idle
    assert len({pattern for _, pattern in PATTERNS}) == len(PATTERNS), "a name stands in the table twice"


def test_what_is_to_be_used_instead_exists():
    """Every convcore.name in the table, and every method."""
    for entry, pattern in PATTERNS:
        name = pattern.rpartition(".")[2]
        text = entry.instead.format(name=name, plain=name.rstrip("_"))
        for path in re.findall(r"convcore(?:\.\w+)+", text):
            value: Any = convcore
            for part in path.split(".")[1:]:
                if inspect.ismodule(value) and not hasattr(value, part):
                    importlib.import_module(f"{value.__name__}.{part}")
                value = getattr(value, part)
        for method in re.findall(r"\bx\.(\w+)\(", text):
            assert hasattr(convcore.Tensor, method), (pattern, text)


CASES = [
    ("convcore", "fft", r"convcore has no torch\.fft \(README: what differs\): Fourier .*; use numpy\.fft on x\.numpy"),
    ("convcore", "complex64", r"no torch\.complex64 .*there are no complex numbers"),
    ("convcore", "abs_", r"no torch\.abs_ .*use x\.abs_\(\.\.\) instead"),
    ("convcore", "ctc_loss", r"use convcore\.nn\.functional\.ctc_loss instead"),
    ("convcore", "datasets", r"no torchvision\.datasets .*use convcore\.data\.ImageFolder"),
    ("convcore.nn", "LSTM", r"no torch\.nn\.LSTM .*recurrent layers are not here"),
    ("convcore.nn", "Conv2D", r"module 'convcore\.nn' has no attribute 'Conv2D'; did you mean Conv2d\?"),
    ("convcore.nn", "Linaer", r"did you mean Linear\?"),
    ("convcore.nn", "relu", r"did you mean convcore\.relu or convcore\.nn\.functional\.relu\?"),
    ("convcore.nn", "conv2D", r"did you mean Conv2d\?"),
    ("convcore.nn", "cross_entropy", r"did you mean convcore\.nn\.functional\.cross_entropy\?"),
    ("convcore", "Conv2d", r"did you mean convcore\.nn\.Conv2d\?"),
    ("convcore", "DataLoader", r"did you mean convcore\.data\.DataLoader or convcore\.utils\.data\.DataLoader\?"),
    ("convcore.nn.functional", "cross_entrpy", r"did you mean cross_entropy"),
    ("convcore.nn.functional", "grouped_mm", r"no torch\.nn\.functional\.grouped_mm"),
    ("convcore.nn.init", "xavier_normal", r"torch renamed it; use convcore\.nn\.init\.xavier_normal_ instead"),
    ("convcore.nn.utils", "rnn", r"no torch\.nn\.utils\.rnn"),
    ("convcore.optim", "LBFGS", r"no torch\.optim\.LBFGS .*use convcore\.optim\.Adam"),
    ("convcore.optim", "adamw", r"did you mean AdamW\?"),
    ("convcore.optim.lr_scheduler", "StepLr", r"did you mean StepLR\?"),
    ("convcore.transforms", "v2", r"no torchvision\.transforms\.v2"),
    ("convcore.transforms", "RandomCorp", r"did you mean RandomCrop"),
    ("convcore.models", "inception_v3", r"no torchvision\.models\.inception_v3 .*convcore\.models\.list_models"),
    ("convcore.models", "resnet5", r"did you mean resnet"),
    ("convcore.utils", "checkpoint", r"no torch\.utils\.checkpoint"),
    ("convcore.utils.data", "DistributedSampler", r"no torch\.utils\.data\.DistributedSampler"),
    ("convcore.data", "DistributedSampler", r"no torch\.utils\.data\.DistributedSampler"),
    ("convcore.autograd", "detect_anomaly", r"no torch\.autograd\.detect_anomaly"),
    ("convcore.autograd", "gradcheck", r"use convcore\.testing\.gradcheck instead"),
    ("convcore.amp", "custom_fwd", r"no torch\.amp\.custom_fwd"),
    ("convcore.cuda", "manual_seed", r"use convcore\.manual_seed instead"),
    ("convcore.cuda", "is_avaliable", r"did you mean is_available"),
]  # fmt: skip


@pytest.mark.parametrize(("module", "name", "message"), CASES, ids=lambda value: value if " " not in value else "")
def test_the_message(module, name, message):
    owner = importlib.import_module(module)
    with pytest.raises(AbsentError, match=message) as caught:
        getattr(owner, name)
    assert isinstance(caught.value, AttributeError)
    with pytest.raises(ImportError, match=message):
        exec(f"from {module} import {name}")
    if not module.endswith(("functional", "init", "cuda")):  # which are no packages
        with pytest.raises(ModuleNotFoundError, match=message):
            importlib.import_module(f"{module}.{name}")


def test_the_part_of_an_absent_module():
    assert absent.entry_of("torch.fft.rfft") is absent.entry_of("torch.fft") is not None
    assert absent.entry_of("torch.conv2d") is None
    with pytest.raises(ModuleNotFoundError, match=r"no torch\.fft"):
        exec("from convcore.fft import rfft")
    with pytest.raises(ModuleNotFoundError, match=r"no torch\.linalg"):
        exec("import convcore.linalg as linalg")


def test_methods_of_tensors():
    for x in (convcore.ones(2), nn.Parameter(convcore.ones(2)), nn.functional.relu(convcore.ones(1, 1, 2, 2))):
        with pytest.raises(AbsentError, match=r"convcore has no torch\.Tensor\.stft .*; use numpy\.fft"):
            x.stft(3)
        name = type(x).__name__
        with pytest.raises(AbsentError, match=f"'{name}' object has no attribute 'reshpe'; did you mean reshape"):
            x.reshpe(2)
        assert not hasattr(x, "stft")
        assert getattr(x, "is_sparse", False) is False
        for special in ("__array_struct__", "_private", "__wrapped__"):
            with pytest.raises(AttributeError, match=f"^'{name}' object has no attribute '{special}'$"):
                getattr(x, special)


def test_methods_of_layers():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(nn.Conv2d(1, 1, 1))
            self.scale = nn.Parameter(convcore.ones(1))

    for name, message in {
        "get_extra_state": r"convcore has no torch\.nn\.Module\.get_extra_state \(README: what differs\)",
        "compile": r"use convcore\.compile\(model\) instead",
        "feature": r"^'Net' object has no attribute 'feature'; did you mean features\?$",
        "scales": r"did you mean scale\?",
        "named_parameter": r"did you mean named_parameters",
        "nothing_like_it": r"^'Net' object has no attribute 'nothing_like_it'$",
        "_private": r"^'Net' object has no attribute '_private'$",
    }.items():
        with pytest.raises(AttributeError, match=message):
            getattr(Net(), name)
        assert getattr(Net(), name, None) is None
    net = copy.deepcopy(Net())
    assert pickle.loads(pickle.dumps(nn.Sequential(net.features))) is not None


def test_modules_behave_like_others():
    for name in absent.WATCHED:
        module = importlib.import_module(name)
        assert not hasattr(module, "no_such_name")
        assert not hasattr(module, "fft")
        assert getattr(module, "fft", 7) == 7
        for special in ("__path_hooks__", "__wrapped__", "_private"):
            with pytest.raises(AttributeError, match=rf"^module '{name}' has no attribute '{special}'$"):
                getattr(module, special)
        assert "fft" not in dir(module)
        assert inspect.getmodule(module) is module
        assert inspect.getdoc(module)
        assert list(doctest.DocTestFinder().find(module))
        assert dict(inspect.getmembers(module)).keys() == set(dir(module))
        exec(f"from {name} import *", {})
    assert pickle.loads(pickle.dumps(nn.Linear)) is copy.copy(nn.Linear) is nn.Linear


def test_asking_whether_a_module_exists():
    assert importlib.util.find_spec("convcore.fft") is None
    assert importlib.util.find_spec("convcore.nothing") is None
    assert importlib.util.find_spec("convcore.plot")
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'convcore\._nothing'$"):
        importlib.import_module("convcore._nothing")
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'convcore\.ops\.nothing'$"):
        importlib.import_module("convcore.ops.nothing")
    with pytest.raises(ModuleNotFoundError, match=r"'convcore' has no attribute 'optm'; did you mean optim"):
        importlib.import_module("convcore.optm")


def test_an_error_can_be_pickled():
    with pytest.raises(AbsentError) as caught:
        getattr(convcore, "f" + "ft")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_module_that_nobody_has_imported_yet(run_python):
    done = run_python(
        """
        import sys
        import convcore
        assert "torch" not in sys.modules, "the import is to stay fast"
        try:
            convcore.plot
        except AttributeError as error:
            print(error)
        from convcore import summary
        import convcore.testing
        print(convcore.testing.gradcheck is not None)
        """
    )
    assert done.stdout.splitlines() == [
        "module 'convcore' has no attribute 'plot' as long as nobody imports it: import convcore.plot", "True",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("short", "whole"), [("int", "int32"), ("short", "int16"), ("half", "float16"), ("long", "int64")]
)
def test_short_names_of_types(short, whole):
    for library in (convcore, torch):
        assert getattr(library, short) is getattr(library, whole)


@pytest.mark.parametrize("name", ["pi", "e", "inf", "nan", "newaxis"])
def test_constants(name):
    assert repr(getattr(convcore, name)) == repr(getattr(torch, name))

"""A short run of the fuzzer in every test run, and a check that it finds what it looks for."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import fuzz

import convcore as cc


def test_random_arguments_do_no_harm():
    findings, returned, refused = fuzz.run(first=0, calls=1000)
    assert findings == []
    assert returned + refused == 1000
    assert returned > 200


def test_every_public_function_is_called():
    functions = dict(fuzz.targets())
    assert {cc.exp, cc.Tensor.sum, cc.nn.functional.conv2d} <= set(functions.values())
    assert not fuzz.LEFT_OUT & set(functions)


def test_the_same_seed_makes_the_same_call():
    first, second = [fuzz.Arguments(7).call(cc.nn.functional.conv2d) for _ in range(2)]
    for a, b in zip(first[0], second[0], strict=True):
        if isinstance(a, cc.Tensor):
            np.testing.assert_array_equal(a.array, b.array)
        else:
            assert repr(a) == repr(b)


def test_an_unexpected_error_is_told():
    def broken(input):
        raise AssertionError("inside")

    assert fuzz.one_call(broken, 1) == "AssertionError"
    assert fuzz.one_call(lambda input: input, 1) == "returned"


def test_an_endless_call_ends():
    code = f"""
import sys
sys.path.insert(0, {str(Path(fuzz.__file__).parent)!r})
import convcore, fuzz

def endless(input):
    while True:
        pass

fuzz.TIME_LIMIT = 0.2
fuzz.targets = lambda: [("endless", endless)]
fuzz.child(0, 1)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=fuzz.ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("at 0 endless\n", -signal.SIGPROF)


@pytest.mark.parametrize(
    ("ending", "finding"),
    [
        ("os.abort()", "crash 3 third"),
        ("os._exit(3)", "crash 3 third"),
        ("signal.raise_signal(signal.SIGPROF)", "hang 3 third"),
    ],
)
def test_an_ended_child_is_told_and_the_rest_goes_on(tmp_path, monkeypatch, ending, finding):
    script = tmp_path / "child.py"
    script.write_text(
        f"""import os, signal, sys
first, calls = int(sys.argv[3]), int(sys.argv[5])
for seed in range(first, first + calls):
    print("at", seed, "third", flush=True)
    if seed == 3:
        {ending}
    print("returned", flush=True)
"""
    )
    monkeypatch.setattr(fuzz, "__file__", os.fspath(script))
    findings, returned, _ = fuzz.run(first=0, calls=10)
    assert [found.split(":")[0] for found in findings] == [finding]
    assert returned == 9

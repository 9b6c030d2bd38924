"""Whether there is a GPU, and what is said where there is none: a reason and a fix, never what lies beneath."""

import sys
from types import SimpleNamespace
from unittest import mock

import pytest
from simulated_device import device

import convcore as cc
from convcore import nn
from convcore.engine.cuda import memory, probe
from convcore.errors import DeviceError

FIX = r'Or compute on the CPU: device "cpu", or "auto"'


def raising(error):
    def fail(*args, **kwargs):
        raise error

    return fail


@pytest.fixture
def fresh(monkeypatch):
    """Nobody has asked yet."""
    monkeypatch.setattr(probe, "_answer", None)
    monkeypatch.setattr(memory, "_pool", None)
    return monkeypatch


def stand_in(**cuda):
    """`numba.cuda` as `kernels.cuda.jit` gives it, with some answers replaced."""
    from kernels.cuda import jit

    return mock.patch.object(jit, "cuda", SimpleNamespace(**cuda))


def driver(count=1, versions=((13, 0), (13, 0))):
    found = SimpleNamespace(count=lambda: count, versions=lambda: versions, name=lambda: "H")
    from kernels.cuda import driver as module

    return mock.patch.object(module, "Driver", return_value=found)


BROKEN = {
    "no driver": (
        {"is_available": lambda: False, "cuda_error": lambda: "CUDA driver library cannot be found.\nIf you are sure"},
        "CUDA driver library cannot be found; a GPU needs NVIDIA's driver",
    ),
    "no compiler": (
        {"is_available": lambda: False, "cuda_error": lambda: None},
        r"CUDA's compiler or its libraries are missing; install what it needs with: pip install \"convcore\[cuda\]\"",
    ),
    "bogus libcuda": (
        {"is_available": raising(RuntimeError("Failed to get cuGetProcAddress_v2"))},
        r"NVIDIA's driver does not work \(RuntimeError: Failed to get cuGetProcAddress_v2\); reinstall it",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_said(fresh, name):
    answers, reason = BROKEN[name]
    with stand_in(**answers):
        check_refused(reason)


def check_refused(reason):
    assert not cc.cuda.is_available()
    assert cc.cuda.device_count() == 0
    assert cc.cuda.why_not_available()
    net = nn.Linear(2, 2)
    for ask in (
        cc.ones(1).cuda, net.cuda, cc.cuda.synchronize, cc.cuda.get_device_name, cc.cuda.memory_summary,
        lambda: cc.ones(1).to("cuda"), lambda: net.to(device="cuda:0"),
    ):  # fmt: skip
        with pytest.raises(DeviceError, match=f'^device "cuda" cannot be used: {reason}. {FIX}$'):
            ask()
    assert cc.device("auto") == "cpu"
    assert net.to("auto").weight.device == "cpu"
    assert cc.cuda.memory_allocated() == cc.cuda.max_memory_allocated() == 0
    assert cc.cuda.copies() == {"to the device": 0, "to the host": 0}
    cc.cuda.empty_cache()


def test_no_gpu(fresh):
    with stand_in(is_available=lambda: True), driver(count=0):
        check_refused("there is NVIDIA's driver, but no GPU")


def test_an_old_driver(fresh):
    with stand_in(is_available=lambda: True), driver(versions=((12, 4), (13, 0))):
        check_refused(
            "NVIDIA's driver is too old: it speaks CUDA 12.4, kernels need 13.0; update NVIDIA's driver, or install "
            r"the compiler of the older CUDA with: pip install \"numba-cuda\[cu12\]\""
        )


def test_numba_cuda_without_its_extra(fresh):
    """Its import fails, and not with an ImportError."""
    for name in ("kernels.cuda.driver", "kernels.cuda.jit"):
        fresh.delitem(sys.modules, name, raising=False)
    error = RuntimeError('Failure finding "libcudart.so.13"\nmore')
    with mock.patch("builtins.__import__", side_effect=importing(error)):
        check_refused(
            r'numba.cuda cannot be imported \(RuntimeError: Failure finding "libcudart.so.13"\); install what it needs '
            r"with: pip install \"convcore\[cuda\]\""
        )


def importing(error):
    real = __import__

    def fail(name, *args, **kwargs):
        if name.startswith("kernels.cuda"):
            raise error
        return real(name, *args, **kwargs)

    return fail


def test_a_gpu_that_works(fresh):
    with stand_in(is_available=lambda: True), driver(count=2):
        assert cc.cuda.is_available()
        assert cc.cuda.why_not_available() == ""
        assert cc.cuda.device_count() == 2
        assert cc.cuda.get_device_name() == "H"
        assert cc.device("auto") == "cuda:0"
    with device():
        assert cc.ones(2).to("auto").is_cuda
        cc.cuda.synchronize()


def test_this_machine_answers_without_a_traceback(run_python):
    """Whatever is installed here."""
    out = run_python("""
        import convcore as cc
        print(cc.cuda.is_available(), cc.cuda.why_not_available())
        try:
            cc.ones(1).cuda()
        except cc.errors.DeviceError as error:
            print(error)
    """).stdout
    assert out.startswith("True") or 'device "cuda" cannot be used: ' in out

"""Kernels on disk: found again, never stale, and a damaged or missing cache costs a compile and nothing else."""

import os
import time
from pathlib import Path

import numba
import pytest
from numba.core.caching import NullCache, _Cache
from numba.core.compiler import CompileResult

import kernels.jit
from kernels import cache
from kernels.cache import numba_config

# Runs one kernel and prints: files loaded from the cache, kernels compiled, calls of the first-compile hook.
CALL = """
import numpy as np
import kernels.cache
calls = []
kernels.cache.on_first_compile = calls.append
from kernels.cpu.tiny import FACTOR, row_sums, scale
x, out = np.arange(16.0), np.full(16, np.nan)
scale(x, out)
assert (out == FACTOR * x).all(), out
print(sum(scale.entry.stats.cache_hits.values()), sum(scale.entry.stats.cache_misses.values()), len(calls))
"""
COMPILED, LOADED = "0 1 1\n", "1 0 0\n"


def kernel_files(folder: str | Path) -> list[Path]:
    """The files of kernels, without those of the team that launches them."""
    return sorted(path for path in Path(folder).rglob("*.bin") if not path.name.startswith("kernels.team."))


def test_the_second_process_loads(run_python, tiny_kernels, tmp_path):
    options = {"path": tiny_kernels, "NUMBA_CACHE_DIR": str(tmp_path)}
    assert run_python(CALL, **options).stdout == COMPILED
    assert run_python(CALL, **options).stdout == LOADED
    assert len(kernel_files(tmp_path)) == 1


def test_an_edit_in_another_file_is_noticed(run_python, own_kernels, tmp_path):
    options = {"path": own_kernels, "NUMBA_CACHE_DIR": str(tmp_path)}
    assert run_python(CALL, **options).stdout == COMPILED
    helper = own_kernels / "kernels" / "cpu" / "tiny_helper.py"
    helper.write_text(helper.read_text().replace("FACTOR = 2", "FACTOR = 3"))
    assert run_python(CALL, **options).stdout == COMPILED


def test_an_edit_of_a_kernel_for_gpus_is_of_no_concern(run_python, own_kernels, tmp_path):
    options = {"path": own_kernels, "NUMBA_CACHE_DIR": str(tmp_path)}
    assert run_python(CALL, **options).stdout == COMPILED
    (own_kernels / "kernels" / "cuda").mkdir()
    (own_kernels / "kernels" / "cuda" / "new.py").write_text("FACTOR = 3\n")
    assert run_python(CALL, **options).stdout == LOADED


def test_an_edit_while_the_process_runs_keeps_the_digest_of_what_was_imported(run_python, own_kernels, tmp_path):
    helper = own_kernels / "kernels" / "cpu" / "tiny_helper.py"
    edit = f"""
from pathlib import Path
import kernels.cpu.tiny
helper = Path({str(helper)!r})
helper.write_text(helper.read_text().replace("FACTOR = 2", "FACTOR = 3"))
"""
    options = {"path": own_kernels, "NUMBA_CACHE_DIR": str(tmp_path)}
    assert run_python(edit + CALL, **options).stdout == COMPILED  # with FACTOR = 2, as imported
    assert run_python(CALL, **options).stdout == COMPILED  # with FACTOR = 3


def test_a_damaged_file_is_rebuilt(run_python, tiny_kernels, tmp_path):
    options = {"path": tiny_kernels, "NUMBA_CACHE_DIR": str(tmp_path)}
    run_python(CALL, **options)
    (path,) = kernel_files(tmp_path)
    whole = path.read_bytes()
    middle = len(whole) // 2
    for damaged in (
        whole[: len(whole) // 2],
        b"",
        bytes(range(256)) * 40,
        whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :],
    ):
        assert damaged != whole
        path.write_bytes(damaged)
        assert run_python(CALL, **options).stdout == COMPILED
    assert run_python(CALL, **options).stdout == LOADED


def nowhere(tmp_path: Path) -> dict[str, str | None]:
    """An environment in which neither the cache folder nor the home can be made, not even by root."""
    blocked = tmp_path / "a_file"
    blocked.write_text("")
    below = str(blocked / "below")
    variables = dict.fromkeys(("NUMBA_CACHE_DIR", "HOME", "USERPROFILE", "LOCALAPPDATA"), below)
    return {**variables, "XDG_CACHE_HOME": None}


def test_without_a_writable_home_a_private_temporary_folder_serves(run_python, tiny_kernels, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    options = {"path": tiny_kernels, **nowhere(tmp_path), "TMPDIR": str(temporary)}
    assert run_python(CALL, **options).stdout == COMPILED
    assert run_python(CALL, **options).stdout == LOADED
    (path,) = kernel_files(temporary)
    private = temporary / path.relative_to(temporary).parts[0]
    assert private.stat().st_mode & 0o077 == 0


def test_a_temporary_folder_that_others_can_write_is_not_trusted(run_python, tiny_kernels, tmp_path):
    prepared = tmp_path / f"convcore-{os.getuid()}"
    prepared.mkdir()
    prepared.chmod(0o777)
    options = {"path": tiny_kernels, **nowhere(tmp_path), "TMPDIR": str(tmp_path)}
    assert run_python(CALL, **options).stdout == COMPILED
    assert run_python(CALL, **options).stdout == COMPILED
    assert kernel_files(tmp_path) == []


def test_no_home_at_all_leaves_the_current_folder_clean(run_python, tiny_kernels, tmp_path):
    (tmp_path / "cwd").mkdir()
    (tmp_path / "tmp").mkdir()
    code = "from kernels.cache import cache_directory; print(cache_directory())"
    options = {"path": tiny_kernels, "cwd": tmp_path / "cwd", "TMPDIR": str(tmp_path / "tmp"), "NUMBA_CACHE_DIR": None}
    # A relative folder is what is left of "~/.cache" for a user who has no home.
    done = run_python(code, **options, XDG_CACHE_HOME="~/.cache")
    assert done.stdout.startswith(str(tmp_path / "tmp"))
    assert list((tmp_path / "cwd").iterdir()) == []


def test_processes_that_compile_the_same_kernel_at_once(run_python, run_pythons, tiny_kernels, tmp_path):
    options = {"path": tiny_kernels, "NUMBA_CACHE_DIR": str(tmp_path)}
    for done in run_pythons(CALL, count=3, **options):
        assert done.stdout in (COMPILED, LOADED, "1 0 1\n")  # with the last, all but the team's own code was loaded
    assert len(kernel_files(tmp_path)) == 1
    assert all(path.suffix == ".bin" for path in Path(tmp_path).rglob("*") if path.is_file())
    assert run_python(CALL, **options).stdout == LOADED


def test_a_process_with_other_compiler_settings_does_not_share(run_python, tiny_kernels, tiny_cache):
    options = {"path": tiny_kernels, "NUMBA_CACHE_DIR": tiny_cache}
    run_python(CALL, **options)
    before = kernel_files(tiny_cache)
    assert run_python(CALL, **options, NUMBA_BOUNDSCHECK="1").stdout == COMPILED
    (extra,) = set(kernel_files(tiny_cache)) - set(before)
    extra.unlink()
    assert run_python(CALL, **options).stdout == LOADED


class Codegen:
    """A code generator of which only the target matters."""

    def __init__(self, *target):
        self.target = target

    def magic_tuple(self):
        return self.target


def own_cache() -> cache.KernelCache:
    """The cache of one real kernel of this project, as a new process would make it."""
    fresh = cache.KernelCache(cache._source_digest, "test")
    fresh.enable()
    return fresh


@pytest.mark.parametrize("name", cache.CODE_SETTINGS)
def test_each_compiler_setting_is_part_of_the_key(monkeypatch, name):
    target = Codegen("triple", "cpu", "+avx2")
    before = own_cache()._path("signature", target)
    assert before == own_cache()._path("signature", target)
    value = type(numba_config.OPT)(1) if name == "OPT" else "another value"
    monkeypatch.setattr(numba_config, name, value)
    assert own_cache()._path("signature", target) != before


def test_signature_and_target_are_part_of_the_key():
    paths = {
        own_cache()._path(signature, Codegen("triple", cpu, features))
        for signature in ("(float32)", "(float64)")
        for cpu in ("haswell", "znver5")
        for features in ("", "+avx2")
    }
    assert len(paths) == 8


def test_only_module_level_functions_of_the_package_are_kept():
    def local():
        pass

    assert cache.KernelCache(cache._source_digest, "first")._enabled
    assert not cache.KernelCache(cache._source_digest, "first")._enabled, "a reloaded module"
    assert not cache.KernelCache(local, "first")._enabled
    assert not cache.KernelCache(kernel_files, "first")._enabled, "the digest does not cover this file"


def test_versions_unused_for_long_are_removed_and_nothing_else(tmp_path):
    old = time.time() - (cache.STALE_AFTER_DAYS + 1) * 86400
    current, stale, fresh = (f"convcore-kernels-{digit * 16}" for digit in "abc")
    for name in (current, stale, fresh, "kernels-old", "convcore-kernels-mine", f"{stale}-copy"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "k.bin").write_text("")
        if name != fresh:
            os.utime(tmp_path / name, (old, old))
    cache._remove_stale_siblings(tmp_path / current)
    assert not (tmp_path / stale).exists()
    assert {path.name for path in tmp_path.iterdir()} == {
        current, fresh, "kernels-old", "convcore-kernels-mine", f"{stale}-copy",
    }  # fmt: skip
    assert cache._make_writable(tmp_path / current)
    assert (tmp_path / current).stat().st_mtime > old + 86400, "the time of the last use is noted"


def test_flush_removes_the_files_of_one_kernel(monkeypatch, tmp_path):
    monkeypatch.setattr(cache, "cache_directory", lambda: tmp_path)
    mine = own_cache()
    (tmp_path / f"{mine._name}-0123.bin").write_text("")
    (tmp_path / "kernels.other-parallel-0123.bin").write_text("")
    mine.flush()
    assert [path.name for path in kernel_files(tmp_path)] == ["kernels.other-parallel-0123.bin"]


def test_numba_still_has_what_the_cache_is_built_on():
    """These names are not part of Numba's public interface; this says which one moved."""
    assert _Cache.__abstractmethods__ == {
        "cache_path", "load_overload", "save_overload", "enable", "disable", "flush",
    }  # fmt: skip
    assert isinstance(vars(numba.njit(lambda: None))["_cache"], NullCache)
    assert callable(CompileResult._reduce)
    assert callable(CompileResult._rebuild)
    for name in cache.CODE_SETTINGS:
        assert hasattr(numba_config, name), name
    assert kernels.jit.compiler_target() == tuple(map(str, kernels.jit.compiler_target()))

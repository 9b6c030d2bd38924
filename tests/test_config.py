"""The first lines of `import convcore`: whose `kernels` it is, and the notice before the first compile."""

import os

import pytest

import convcore.config
import kernels.cache

IMPORT = "import convcore"


def foreign(folder, *, source="def get_kernel(): pass"):
    """A package `kernels` of somebody else in a folder; without source a folder that holds data."""
    (folder / "kernels").mkdir(parents=True)
    if source is not None:
        (folder / "kernels" / "__init__.py").write_text(source)
    return folder


def import_error(run_python, root, first, **options):
    done = run_python(IMPORT, fails=True, PYTHONPATH=f"{first}{os.pathsep}{root}", **options)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: convcore needs its own package `kernels`")
    return last


@pytest.fixture
def root(request):
    return request.config.rootpath


def test_another_distribution_of_the_same_name(run_python, root, tmp_path):
    other = foreign(tmp_path / "site-packages")
    message = import_error(run_python, root, other, cwd=tmp_path)
    assert f"found {other}/kernels/__init__.py, which belongs to something else" in message
    assert "virtual environment" in message
    assert "pip uninstall kernels" in message


@pytest.mark.parametrize("source", ["", None], ids=["package", "folder without __init__.py"])
def test_a_folder_in_the_current_directory(run_python, root, tmp_path, source):
    # A folder without __init__.py hides nothing that stands later on the path: convcore's own must be out of reach.
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "convcore").symlink_to(root / "convcore")
    here = foreign(tmp_path / "here", source=source)
    message = import_error(run_python, tmp_path / "lib", here, cwd=here)
    assert f"found {here}/kernels" in message
    assert "in the folder that you run from; rename kernels there" in message


def test_a_module_in_the_current_directory(run_python, root, tmp_path):
    (tmp_path / "kernels.py").write_text("x = 1")
    message = import_error(run_python, root, tmp_path, cwd=tmp_path)
    assert f"found {tmp_path}/kernels.py, in the folder that you run from; rename kernels.py there" in message


def test_convcore_without_its_kernels(run_python, root, tmp_path):
    (tmp_path / "convcore").symlink_to(root / "convcore")
    code = "import sys; sys.path[:] = [p for p in sys.path if 'editable' not in p]; sys.meta_path[:] = "
    code += "[f for f in sys.meta_path if 'editable' not in repr(f).lower()]; import convcore"
    done = run_python(code, fails=True, path=tmp_path)
    assert "ImportError: convcore: its package `kernels` is not installed; install convcore again" in done.stderr


def test_importing_compiles_nothing(run_python, tmp_path):
    code = """
import pkgutil
from numba.core.event import install_recorder
with install_recorder("numba:compile") as recorder:
    import convcore
    import kernels
    for module in pkgutil.walk_packages(kernels.__path__, "kernels."):
        __import__(module.name)
from kernels.team import team
from kernels.launch import kernels as registered
assert len(registered) > 5, registered
compiled = [k for k in registered if k.entry.signatures]
print(compiled, len(recorder.buffer), team.is_started)
"""
    done = run_python(code, NUMBA_CACHE_DIR=str(tmp_path))
    assert done.stdout == "[] 0 False\n"
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == [], "not even the cache's folder is made"


COMPILE = """
import numpy as np
import convcore
for dtype in (np.float32, np.float64):
    convcore.relu(convcore.tensor(np.ones(4, dtype)))
"""


def test_the_first_compile_is_announced_once(run_python, tmp_path):
    first = run_python(COMPILE, NUMBA_CACHE_DIR=str(tmp_path), CONVCORE_QUIET=None)
    assert first.stderr.count("convcore: compiling kernels for this CPU") == 1
    assert "convcore warmup" in first.stderr
    second = run_python(COMPILE, NUMBA_CACHE_DIR=str(tmp_path), CONVCORE_QUIET=None)
    assert second.stderr == ""


@pytest.mark.parametrize(("quiet", "lines"), [(None, 1), ("", 1), ("0", 1), ("1", 0), ("yes", 0)])
def test_convcore_quiet(monkeypatch, capsys, tmp_path, quiet, lines):
    monkeypatch.delenv("CONVCORE_QUIET", raising=False)
    if quiet is not None:
        monkeypatch.setenv("CONVCORE_QUIET", quiet)
    convcore.config.announce_compile(tmp_path)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == lines


def test_the_notice_says_when_nothing_can_be_kept(capsys, monkeypatch):
    monkeypatch.delenv("CONVCORE_QUIET", raising=False)
    convcore.config.announce_compile(None)
    assert "no folder can be written to keep them: set NUMBA_CACHE_DIR" in capsys.readouterr().err


def test_convcore_installs_the_notice():
    assert kernels.cache.on_first_compile is convcore.config.announce_compile

"""What is printed while kernels are compiled: a line where the output is a file, and a bar on a terminal."""

import sys

from convcore.cli.compiling import announce_compile
from kernels import cache


def test_a_terminal_sees_a_bar_and_the_kernels_name(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    with announce_compile() as report:
        assert cache.on_first_compile is not None
        cache.on_first_compile(tmp_path)
        report("gemm", 1, 2)
        report("pack_filters", 2, 2)
    first, *rest = capsys.readouterr().out.split("\n")
    assert first == "compiling kernels, once per machine ... "
    bar, _, end = rest[0][1:].partition("\r")
    assert bar == f"[{'#' * 12}{'.' * 12}] 1/2 gemm".ljust(59)
    assert end.startswith(" " * 59 + "\r"), "the bar goes when all are ready"
    assert f"kept for later runs in {tmp_path}" in end


def test_a_file_gets_one_line(capsys, tmp_path):
    with announce_compile() as report:
        assert cache.on_first_compile is not None
        cache.on_first_compile(tmp_path)
        report("gemm", 1, 2)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("compiling kernels, once per machine ... 0.")
    assert line.endswith(f"(kept for later runs in {tmp_path})")


def test_nothing_is_printed_where_nothing_is_compiled(capsys):
    before = cache.on_first_compile
    with announce_compile():
        pass
    assert capsys.readouterr().out == ""
    assert cache.on_first_compile is before

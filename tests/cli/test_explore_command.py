"""`convcore explore` as a command: its address, its end, its errors."""

import re
import signal
import socket
import subprocess
import sys
import urllib.request
import webbrowser
from importlib import util
from pathlib import Path

import pytest

from convcore.cli import main

ROOT = Path(__file__).resolve().parents[2]


def test_it_serves_until_it_is_interrupted():
    command = [sys.executable, "-m", "convcore", "explore", "--no-browser"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            found = re.match(r"convcore explore: (http://127\.0\.0\.1:\d+/) \(Ctrl-C", process.stdout.readline())
            assert found is not None
            with urllib.request.urlopen(found[1], timeout=300) as answer:
                assert b"<filter-playground" in answer.read()
            process.send_signal(signal.SIGINT)
            assert process.wait(300) == 0
        finally:
            process.kill()
        assert process.stdout.read() == "stopped\n"
        assert process.stderr.read() == ""


def test_a_port_that_is_taken(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert main(["explore", "--port", str(port)]) == 2
    assert f"port {port} of 127.0.0.1 cannot be had" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["http", "65536", "-1"])
def test_what_is_no_port(port, capsys):
    with pytest.raises(SystemExit):
        main(["explore", f"--port={port}"])
    assert "a port is a number from 0 to 65535" in capsys.readouterr().err


def test_without_the_extra(monkeypatch, capsys):
    find = util.find_spec
    monkeypatch.setattr(
        "convcore.cli.commands.explore.find_spec", lambda name: None if name == "uvicorn" else find(name)
    )
    assert main(["explore"]) == 2
    assert "uvicorn must be installed: python -m pip install 'convcore[explore]'" in capsys.readouterr().err


@pytest.mark.parametrize(("options", "opened"), [([], 1), (["--no-browser"], 0)])
def test_the_browser_opens_unless_told_not_to(options, opened, monkeypatch, capsys):
    from convcore.explore.server import Server

    urls = []
    monkeypatch.setattr(webbrowser, "open", urls.append)
    monkeypatch.setattr(Server, "run", lambda self: self.socket.close())
    assert main(["explore", *options]) == 0
    printed = capsys.readouterr().out
    assert len(urls) == opened
    assert all(url in printed for url in urls)

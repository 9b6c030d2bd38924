"""`convcore explore`: shows in the browser what a CNN computes."""

from __future__ import annotations

import argparse
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

from convcore.cli.arguments import weights
from convcore.cli.compiling import announce_compile
from convcore.errors import UnsupportedError

EXAMPLES = """examples:
  convcore explore
  convcore explore --port 8000 --no-browser
  convcore explore --weights runs/digits        explore a network from `convcore train`

The server answers only this machine, needs no network, and stops with Ctrl-C.
It needs: python -m pip install 'convcore[explore]'"""


def add_parser(subparsers: Any) -> None:
    """Describe the command's options."""
    parser = subparsers.add_parser(
        "explore",
        help="show in the browser what filters and networks detect",
        description="Start a local web app to try out filters and to explore networks.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=port, default=0, metavar="N", help="(default: a free one)")
    parser.add_argument(
        "--weights", type=weights, metavar="W",
        help="your own network: a weights file from `convcore train` or `finetune`, or the folder of the run",
    )  # fmt: skip
    parser.add_argument("--no-browser", action="store_true", help="print the address, do not open it")
    parser.set_defaults(run=run)


def port(text: str) -> int:
    """A port number; 0 for any free port."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, got {text!r}")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C."""
    missing = [name for name in ("starlette", "uvicorn", "markdown_it", "pygments") if find_spec(name) is None]
    if missing:
        raise UnsupportedError(f"{' and '.join(missing)} must be installed: python -m pip install 'convcore[explore]'")
    from convcore.explore.networks import offer
    from convcore.explore.server import Server

    if args.weights is not None:
        with announce_compile():
            offer(args.weights)
    server = Server(args.port)
    print(f"convcore explore: {server.url} (Ctrl-C stops it)", flush=True)
    if not args.no_browser:
        server.open_browser()
    with suppress(
        KeyboardInterrupt
    ):  # after it has stopped, uvicorn raises the signal again unless a parent ignores it
        server.run()
    print("stopped")
    return 0

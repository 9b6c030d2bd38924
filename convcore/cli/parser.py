"""The parser of the commands: an error is one line."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from convcore.cli.output import printable


class Parser(argparse.ArgumentParser):
    """argparse's parser, without the usage lines in front of an error."""

    def error(self, message: str) -> NoReturn:
        print(printable(f"{self.prog}: error: {message}; see {self.prog} --help"), file=sys.stderr)
        sys.exit(2)

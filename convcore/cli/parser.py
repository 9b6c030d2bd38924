"""The parser of the commands, with one-line errors."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from convcore.cli.output import printable


class Parser(argparse.ArgumentParser):
    """argparse's parser, without the usage lines before an error."""

    def error(self, message: str) -> NoReturn:
        print(printable(f"{self.prog}: error: {message}; see {self.prog} --help"), file=sys.stderr)
        sys.exit(2)

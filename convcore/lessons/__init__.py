"""Lessons: from the sum over one patch to Winograd's algorithm, to gradients and to networks that learn.

A lesson is a Markdown file in this folder. Its Python blocks run in order, in one namespace. The `text` block after a
block contains the block's output, exact to the last digit, or within a tolerance named by the fence (`text within
0.01`). The blocks also draw the pictures of the lesson. `python -m convcore.lessons 01` runs the code of a lesson, and
`convcore explore` shows the lessons together with the playground.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
PICTURES = FOLDER / "pictures"

_BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(\n```text(?: within (?P<within>\S+))?\n(?P<output>.*?)^```\n)?", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """A code block of a lesson.

    Attributes:
        code: Python.
        output: the output that the lesson shows.
        within: by how much numbers in the output may differ on another machine.
        line: the line of the file where the code begins.
    """

    code: str
    output: str
    within: float
    line: int


@dataclass(frozen=True)
class Lesson:
    """A lesson.

    Attributes:
        file: the Markdown file.
    """

    file: Path

    @property
    def name(self) -> str:
        """The file name without the suffix."""
        return self.file.stem

    @property
    def text(self) -> str:
        """The Markdown."""
        return self.file.read_text(encoding="utf-8")

    @property
    def title(self) -> str:
        """The first heading."""
        return self.text.split("\n", 1)[0].removeprefix("# ")

    @property
    def blocks(self) -> list[Block]:
        """The code blocks, in order."""
        text = self.text
        return [
            Block(
                found["code"],
                found["output"] or "",
                float(found["within"] or 0),
                text.count("\n", 0, found.start()) + 2,
            )
            for found in _BLOCK.finditer(text)
        ]

    def run(self, report: Callable[[Block, str], None]) -> None:
        """Run the code; pictures are written to the current folder.

        Args:
            report: called after each block with the block and its output.
        """
        names: dict[str, Any] = {"__name__": self.name}
        for block in self.blocks:
            printed = StringIO()
            # Preceding empty lines make an error name the line in the lesson.
            program = compile("\n" * (block.line - 1) + block.code, str(self.file), "exec")
            with redirect_stdout(printed):
                exec(program, names)
            report(block, printed.getvalue())


LESSONS = tuple(Lesson(file) for file in sorted(FOLDER.glob("[0-9]*.md")))
"""All lessons, in order."""

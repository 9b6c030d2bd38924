"""Lessons: from the sum over one patch to Winograd's algorithm, to gradients and to networks that learn.

A lesson is a Markdown file of this folder. Its Python blocks follow from one another; what a block prints stands in the
`text` block below it, to the last digit, or to the tolerance that its fence names (`text within 0.01`). The blocks also
draw the lesson's pictures. `python -m convcore.lessons 01` runs a lesson's code, and `convcore explore` shows the
lessons beside the playground that they speak of.
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
    """A piece of a lesson's code.

    Attributes:
        code: Python.
        output: what the lesson says it prints.
        within: how far the numbers in it may differ on another machine.
        line: of the file, at which the code begins.
    """

    code: str
    output: str
    within: float
    line: int


@dataclass(frozen=True)
class Lesson:
    """A lesson.

    Attributes:
        file: its Markdown.
    """

    file: Path

    @property
    def name(self) -> str:
        """The name of its file, without the ending."""
        return self.file.stem

    @property
    def text(self) -> str:
        """The Markdown."""
        return self.file.read_text(encoding="utf-8")

    @property
    def title(self) -> str:
        """The first headline."""
        return self.text.split("\n", 1)[0].removeprefix("# ")

    @property
    def blocks(self) -> list[Block]:
        """Its code, piece by piece."""
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
        """Run the code; pictures are drawn into the current folder.

        Args:
            report: called after each block, with what it printed.
        """
        names: dict[str, Any] = {"__name__": self.name}
        for block in self.blocks:
            printed = StringIO()
            # Empty lines before it: an error names the line of the lesson.
            program = compile("\n" * (block.line - 1) + block.code, str(self.file), "exec")
            with redirect_stdout(printed):
                exec(program, names)
            report(block, printed.getvalue())


LESSONS = tuple(Lesson(file) for file in sorted(FOLDER.glob("[0-9]*.md")))
"""All lessons, in their order."""

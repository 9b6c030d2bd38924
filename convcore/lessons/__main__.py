"""`python -m convcore.lessons 07`: run a lesson's code and print what it prints; without a number, all of them.

The pictures are drawn into the current folder.
"""

import argparse
from collections.abc import Sequence

from convcore.lessons import LESSONS


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the lessons that the arguments name."""
    numbers = [lesson.name[:2] for lesson in LESSONS]
    parser = argparse.ArgumentParser(
        prog="python -m convcore.lessons", description=(__doc__ or "").split(":")[1].strip()
    )
    parser.add_argument("number", nargs="*", choices=numbers, default=numbers, metavar="NUMBER", help="01 to 10")
    chosen = parser.parse_args(arguments).number
    for lesson in LESSONS:
        if lesson.name[:2] in chosen:
            print(f"{lesson.name[:2]} {lesson.title}")
            lesson.run(lambda _, printed: print(printed, end=""))


if __name__ == "__main__":
    main()

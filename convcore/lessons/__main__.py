"""`python -m convcore.lessons 07`: run the code of a lesson and print its output; without a number, run all lessons.

Pictures are written to the current folder.
"""

import argparse
from collections.abc import Sequence

from convcore.lessons import LESSONS, Lesson


def numbered(text: str) -> Lesson:
    """The lesson with a number."""
    for lesson in LESSONS:
        if lesson.name[:2] == text.zfill(2):
            return lesson
    raise argparse.ArgumentTypeError(f"there is no lesson {text!r}; they are 01 to {LESSONS[-1].name[:2]}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the lessons that the arguments name."""
    parser = argparse.ArgumentParser(
        prog="python -m convcore.lessons", description=(__doc__ or "").split(":")[1].strip()
    )
    parser.add_argument("lessons", nargs="*", type=numbered, metavar="NUMBER", help="such as 07")
    for lesson in parser.parse_args(arguments).lessons or LESSONS:
        print(f"{lesson.name[:2]} {lesson.title}")
        lesson.run(lambda _, printed: print(printed, end=""))


if __name__ == "__main__":
    main()

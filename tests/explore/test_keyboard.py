"""Every page by the keyboard alone: each control is reached in order, seen, and named for a screen reader."""

import pytest
from looking import nameless, walk_by_tab

from convcore.lessons import LESSONS


@pytest.mark.parametrize(
    ("path", "width", "ready"),
    [
        ("/", 1280, "window-view caption"),
        ("/", 390, "window-view caption"),
        ("/network", 390, ".unit-text b"),
        ("/algorithms", 1280, "algorithm-steps td"),
        ("/training", 390, ".filters canvas"),
        ("/lessons", 1280, ".lesson"),
        (f"/read/convcore/lessons/{LESSONS[0].name}.md", 390, "window-view caption"),
        ("/read/convcore/inspect/window.py", 390, ".highlighttable"),
    ],
)
def test_every_control_is_reached_and_named(open_page, path, width, ready):
    page = open_page(path, width=width, height=844)
    page.locator(ready).first.wait_for()
    page.wait_for_load_state("networkidle")
    controls, reached, complaints = walk_by_tab(page)
    assert len(controls) >= 7
    there = list(range(len(controls)))
    assert reached == [*there, *there[-2::-1]], [controls[number] for number in reached]
    assert not complaints
    assert nameless(page) == []

"""Waiting for what a page's scripts will do."""

import time

import numpy as np

PATIENCE = 300  # seconds: the first request may compile kernels, on a machine that does more than that


def until(page, condition):
    """Let the page go on until the condition holds. The pages' own rules forbid Playwright's `wait_for_function`."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "what was waited for did not come"
        page.wait_for_timeout(20)


def shown(page, name):
    """The numbers that a map shows; none as long as it is empty."""
    rows, columns, values = page.locator(f"map-view.{name}").evaluate(
        "view => view.map ? [view.map.height, view.map.width, Array.from(view.map.values)] : [0, 0, []]"
    )
    return np.array(values).reshape(rows, columns)

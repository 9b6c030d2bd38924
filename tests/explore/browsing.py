"""Waiting for what a page's scripts will do."""

import time

PATIENCE = 60  # seconds: the first request may compile kernels


def until(page, condition):
    """Let the page go on until the condition holds. The pages' own rules forbid Playwright's `wait_for_function`."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "what was waited for did not come"
        page.wait_for_timeout(20)

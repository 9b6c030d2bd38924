"""Convolution as computation, in a browser: steps, counts and times."""

import numpy as np
import pytest
import torch
from browsing import until
from looking import look_over

from convcore.explore.algorithms import IMAGE
from convcore.inspect import FILTERS


def grid(page, name):
    """The numbers of a grid; NaN where there is none yet."""
    rows = page.locator(f"algorithm-steps table.{name} tr").all()
    return np.array([[float(text or "nan") for text in row.locator("td").all_inner_texts()] for row in rows])


@pytest.mark.parametrize(
    ("algorithm", "steps", "count"), [("direct", 16, 144), ("im2col", 32, 144), ("winograd", 13, 64)]
)
def test_every_algorithm_ends_at_the_convolution(open_page, keep, algorithm, steps, count):
    page = open_page("/algorithms")
    page.locator(f"algorithm-steps input[value={algorithm}]").check()
    page.get_by_text(f"{steps} steps. Orange").wait_for()
    assert np.isnan(grid(page, "out")).all()
    page.get_by_label("Step forward").click()
    page.get_by_text(f"1 of {steps}:").wait_for()
    assert page.locator("td.written").count() == {"direct": 1, "im2col": 9, "winograd": 16}[algorithm]
    page.get_by_label("Step", exact=True).focus()
    page.keyboard.press("End")
    page.get_by_text(f"{steps} of {steps}:").wait_for()
    assert page.locator(".so-far").inner_text() == page.locator(".all").inner_text() == str(count)
    kernel = torch.tensor(FILTERS["sobel_x"].kernel).double()
    expected = torch.nn.functional.conv2d(torch.tensor(IMAGE)[None, None], kernel[None, None])[0, 0].numpy()
    assert np.array_equal(grid(page, "out"), expected)
    page.get_by_label("Step back").click()
    keep(page, f"algorithms-{algorithm}")


def test_the_last_choice_is_shown_however_late_the_answer_to_an_earlier_one(open_page):
    page = open_page("/algorithms")
    page.get_by_text("16 steps. Orange").wait_for()
    held = []
    page.route("**/api/steps", lambda route: route.continue_() if held else held.append(route))
    for algorithm in ("im2col", "winograd"):
        page.locator(f"algorithm-steps input[value={algorithm}]").check()
    until(page, lambda: held)
    with page.expect_response(lambda answer: "im2col" in answer.request.post_data):
        held[0].continue_()
    page.get_by_text("13 steps. Orange").wait_for()
    page.wait_for_load_state("networkidle")
    assert page.locator(".step-text").inner_text().startswith("13 steps")
    assert page.locator("algorithm-steps input[value=winograd]").is_checked()


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1280)])
def test_playing_and_measuring(open_page, keep, scheme, width):
    page = open_page("/algorithms", width=width, height=844, scheme=scheme)
    page.get_by_text("16 steps. Orange").wait_for()
    page.get_by_role("button", name="Play").click()
    page.get_by_text("2 of 16:").wait_for()
    page.get_by_role("button", name="Pause").click()
    page.locator("select.case").select_option("late")
    page.get_by_role("button", name="Measure").click()
    until(page, lambda: " ms" in page.locator("tr.winograd .time").inner_text())
    direct = 512 * 512 * 9 * 49
    assert page.locator("tr.direct .count").inner_text() == f"{direct:,}"
    assert page.locator("tr.winograd .count").inner_text() == f"{512 * 512 * 4 * 36:,}"
    look_over(page)
    keep(page, f"algorithms-{scheme}-{width}")

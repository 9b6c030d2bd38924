"""Training live: in a browser, and what the server keeps of it."""

import itertools
import re

import numpy as np
import pytest
from browsing import PATIENCE, until
from looking import look_over

from convcore.explore import training
from convcore.explore.training import LIVE, snapshots

ENOUGH = 40  # batches


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    """A training that was watched long enough waits to be stopped: a busy machine might draw the page after its end."""

    def waiting(rate, epochs):
        for snapshot in snapshots(rate, epochs):
            yield snapshot
            if snapshot.batch >= ENOUGH:
                LIVE._stop.wait(PATIENCE)

    monkeypatch.setattr(training, "snapshots", waiting)
    monkeypatch.setattr(training, "PATIENCE", PATIENCE)
    yield
    LIVE.stop()


def batches(page):
    return int(page.locator("progress").evaluate("bar => bar.value"))


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_watching_and_stopping(open_page, keep, monkeypatch, scheme, width):
    monkeypatch.setattr(LIVE, "status", "idle")
    page = open_page("/training", width=width, height=844, scheme=scheme)
    page.get_by_text("Not started.").wait_for()
    assert page.locator(".filters canvas").count() == 8
    assert sum(int(count or 0) for count in page.locator(".confusion td").all_inner_texts()) == 500
    keep(page, f"training-{scheme}-{width}-before")
    page.get_by_label("Learning rate").fill("0.003")
    page.get_by_label("Epochs").fill("5")
    page.get_by_role("button", name="Start").focus()
    page.keyboard.press("Enter")
    page.get_by_text("Training ..").wait_for()
    until(page, lambda: batches(page) >= 30)
    page.keyboard.press("Space")  # Stop has the focus now
    page.get_by_text("Stopped.").wait_for()
    look_over(page)
    assert LIVE.status == "stopped"
    last = LIVE.seen[-1]
    assert batches(page) == last.batch < 625
    assert last.held_out_accuracy > 0.4
    assert page.locator(".held-out").inner_text() == f"{last.held_out_accuracy:.1%}".replace("%", " %")
    counts = page.locator(".confusion td").all_inner_texts()[1:]
    assert [int(count or 0) for count in counts] == last.confusion.ravel().tolist()
    points = page.locator("svg.loss polyline").get_attribute("points") or ""
    assert len(points.split()) == len(LIVE.seen)
    keep(page, f"training-{scheme}-{width}")
    page.reload()
    page.get_by_text("Stopped.").wait_for()
    assert batches(page) == last.batch


def test_what_goes_wrong_is_said(open_page, client):
    page = open_page("/training")
    page.get_by_label("Learning rate").fill("")
    page.get_by_role("button", name="Start").click()
    page.get_by_role("alert").get_by_text("rate must be a number from 1e-06 to 10, got nothing").wait_for()
    page.get_by_label("Learning rate").fill("0.001")
    page.get_by_role("button", name="Start").click()
    page.get_by_text("Training ..").wait_for()
    status, answer = client.post("training-start", {"rate": 0.001, "epochs": 1})
    assert (status, answer["error"]) == (400, "a training is running already; stop it first")
    assert client.post("training-start", {"rate": 0.001, "epochs": 6})[0] == 400
    assert client.post("training-stop", {"since": 0})[1]["status"] == "stopped"
    page.get_by_text("Stopped.").wait_for()


def test_answers_may_overtake_each_other(open_page):
    """Asked to stop while a question is under way, the answer to which comes first and brings all there is."""
    page, held, stops = open_page("/training"), [], []
    page.get_by_text(re.compile("Not started|Stopped|Failed|Finished")).wait_for()
    page.route("**/api/training", lambda route: held.append(route))
    page.route("**/api/training-stop", lambda route: stops.append(route))
    page.get_by_role("button", name="Start").click()
    until(page, lambda: len(held) == 1 and len(LIVE.seen) > 3)
    page.get_by_role("button", name="Stop").click()
    until(page, lambda: len(stops) == 1)
    stopped = stops[0].fetch()
    held[0].continue_()
    until(page, lambda: batches(page) == LIVE.seen[-1].batch)
    with page.expect_response("**/api/training-stop"):
        stops[0].fulfill(response=stopped)
    page.wait_for_timeout(100)
    assert batches(page) == LIVE.seen[-1].batch


def test_a_training_that_diverges_says_so(client, monkeypatch):
    def diverge(rate, epochs):
        yield next(snapshots(rate, epochs))
        raise FloatingPointError("batch 1: the loss is nan; start again with a smaller learning rate")

    monkeypatch.setattr(training, "snapshots", diverge)
    client.post("training-start", {"rate": 1, "epochs": 1})
    LIVE.wait()
    answer = client.post("training", {"since": 0})[1]
    assert (answer["status"], len(answer["points"])) == ("failed", 1)
    assert answer["error"] == "batch 1: the loss is nan; start again with a smaller learning rate"


def test_snapshots_show_that_it_learns():
    first, *_, last = itertools.islice(snapshots(0.003, 1), 9)
    assert (first.batch, last.batch) == (0, 40)
    assert last.loss < 0.7 * first.loss
    assert last.held_out_accuracy > first.held_out_accuracy + 0.3
    assert first.confusion.sum() == last.confusion.sum() == 500
    assert np.trace(last.confusion) == last.held_out_accuracy * 500
    assert first.filters.shape == (8, 5, 5)
    assert np.abs(last.filters - first.filters).max() > 0.01
    again = list(itertools.islice(snapshots(0.003, 1), 2))[1]
    assert again.loss == next(itertools.islice(snapshots(0.003, 1), 1, None)).loss, "the same, from run to run"

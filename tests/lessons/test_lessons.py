"""The lessons tell the truth: their code prints what they say, draws what they show, and their links lead on."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convcore.lessons import FOLDER, LESSONS, PICTURES, Block, Lesson
from convcore.lessons.__main__ import main
from convcore.lessons.draw import GAP, ORANGE, colours, draw

ROOT = Path(__file__).resolve().parents[2]
NUMBER = re.compile(r"-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?")
# Of 255: a filter that was trained on another CPU ends a little elsewhere, a picture of something else far away.
SAME_PICTURE = 4


def disagreement(block: Block, printed: str) -> str:
    """What differs between a block's output and what it printed, or nothing."""
    said, got = (NUMBER.split(text) for text in (block.output, printed))
    if said != got:
        return f"line {block.line}: the lesson says\n{block.output}but the code prints\n{printed}"
    pairs = zip(NUMBER.findall(block.output), NUMBER.findall(printed), strict=True)
    far = [pair for pair in pairs if not close(*pair, block.within)]
    return "" if not far else f"line {block.line}: {far[0][0]} in the lesson, but the code prints {far[0][1]}"


def close(said: str, got: str, within: float) -> bool:
    return said == got or abs(float(said.replace(",", "")) - float(got.replace(",", ""))) <= within


def difference(one: Path, other: Path) -> float:
    """The mean difference of two pictures' pixels, of 255; of two sizes they have nothing in common."""
    with Image.open(one) as image, Image.open(other) as image_too:
        first, second = (np.asarray(i.convert("RGBA"), np.float64) for i in (image, image_too))
    return 255.0 if first.shape != second.shape else float(np.abs(first - second).mean())


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.name)
def test_it_prints_and_draws_what_it_shows(lesson, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong = []
    lesson.run(lambda block, printed: wrong.append(disagreement(block, printed)))
    assert not any(wrong), "\n".join(filter(None, wrong))
    shown = re.findall(r"!\[.+?\]\(pictures/(.+?)\)", lesson.text)
    assert sorted(shown) == sorted(path.name for path in tmp_path.iterdir())
    for name in shown:
        assert difference(tmp_path / name, PICTURES / name) < SAME_PICTURE, name


def test_all_there_is_belongs_to_a_lesson():
    assert 8 <= len(LESSONS) <= 10
    shown = [name for lesson in LESSONS for name in re.findall(r"\(pictures/(.+?)\)", lesson.text)]
    assert sorted(shown) == sorted(path.name for path in PICTURES.iterdir())
    assert sum(path.stat().st_size for path in PICTURES.iterdir()) < 300_000
    for lesson in LESSONS:
        assert lesson.text.count("```python") == len(lesson.blocks)
        assert lesson.text.count("```text") == sum(bool(block.output) for block in lesson.blocks)
        assert "**Read next:**" in lesson.text
        assert max(map(len, lesson.text.splitlines())) <= 120, lesson.name
        code = re.findall(r"^```.*?\n(.*?)^```$", lesson.text, re.M | re.S)
        assert max(len(line) for block in code for line in block.splitlines()) <= 64, f"{lesson.name}, on a phone"


def test_links_lead_somewhere():
    for page in FOLDER.glob("*.md"):
        links = re.findall(r"\]\(([^)#\s]+)\)", page.read_text(encoding="utf-8"))
        for link in links:
            target = (page.parent / link).resolve()
            assert target.is_file(), f"{page.name}: {link}"
            # An installed convcore has no more than these, and its server must find the file too.
            assert target.relative_to(ROOT).parts[0] in ("convcore", "kernels"), f"{page.name}: {link}"
        if page.name != "README.md":
            assert any(link.endswith(".py") for link in links), f"{page.name} names no source to read next"


def test_the_list_names_every_lesson_and_each_its_neighbours():
    listed = re.findall(r"^\d+\. \[(.+)\]\((.+)\.md\)$", (FOLDER / "README.md").read_text(encoding="utf-8"), re.M)
    assert listed == [(lesson.title, lesson.name) for lesson in LESSONS]
    for before, after in pairwise(LESSONS):
        assert f"({after.name}.md)" in before.text.split("**Read next:**")[1]
        assert f"({before.name}.md)" in after.text.split("**Read next:**")[1]


def test_widgets_are_elements_of_the_pages():
    scripts = "".join(path.read_text() for path in (ROOT / "convcore/explore/static").glob("*.js"))
    widgets = [
        w for lesson in LESSONS for w in re.findall(r"<!-- widget: (\S+).*?-->(.*?)<!-- end -->", lesson.text, re.S)
    ]
    assert len(widgets) == sum(lesson.text.count("<!--") for lesson in LESSONS) / 2 >= 3
    for name, fallback in widgets:
        assert f'customElements.define("{name}"' in scripts
        assert "convcore explore" in fallback


def test_a_wrong_lesson_is_noticed(tmp_path):
    """The comparisons above, on lessons that lie."""

    def judged(text):
        (tmp_path / "01-wrong.md").write_text(text)
        found = []
        Lesson(tmp_path / "01-wrong.md").run(lambda block, printed: found.append(disagreement(block, printed)))
        return "".join(found)

    fence = "```"
    assert not judged(f"{fence}python\nprint(1.5)\n{fence}\n\n{fence}text\n1.5\n{fence}\n")
    assert "1.6 in the lesson" in judged(f"{fence}python\nprint(1.5)\n{fence}\n\n{fence}text\n1.6\n{fence}\n")
    assert not judged(f"{fence}python\nprint(1.5)\n{fence}\n\n{fence}text within 0.2\n1.6\n{fence}\n")
    assert "2.0 in the lesson" in judged(
        f"{fence}python\nprint(1.5)\n{fence}\n\n{fence}text within 0.2\n2.0\n{fence}\n"
    )
    assert "the code prints" in judged(f"{fence}python\nprint(True)\n{fence}\n\n{fence}text\nFalse\n{fence}\n")
    assert "the code prints" in judged(f"{fence}python\nprint(1)\n{fence}\n")
    with pytest.raises(ZeroDivisionError) as error:
        judged(f"# title\n\n{fence}python\n1 / 0\n{fence}\n")
    assert error.traceback[-1].lineno == 3  # counted from 0: an error names the lesson's own line


def test_a_wrong_picture_is_noticed(tmp_path):
    ramp = np.arange(64.0).reshape(8, 8)
    draw(tmp_path / "one.png", ramp)
    draw(tmp_path / "other.png", ramp.T)
    assert difference(tmp_path / "one.png", tmp_path / "one.png") == 0
    assert difference(tmp_path / "one.png", tmp_path / "other.png") > SAME_PICTURE


def test_drawing(tmp_path):
    assert colours(np.array([[0.0, 2.0]])).tolist() == [[[0, 0, 0], [255, 255, 255]]]
    assert colours(np.array([[-1.0, 0.0, 2.0]]))[0, 1:].tolist() == [[247, 247, 247], [178, 24, 43]]
    assert colours(np.array([[np.nan, 1.0]]))[0].tolist() == [list(ORANGE), [255, 255, 255]]
    assert colours(np.zeros((1, 1)), limit=1.0).tolist() == [[[247, 247, 247]]]
    draw(tmp_path / "three.png", *np.ones((3, 4, 5)), side=50, columns=2)
    with Image.open(tmp_path / "three.png") as image:
        assert image.size == (50 + GAP + 50, 40 + GAP + 40)


def test_the_command_runs_one_lesson(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main(["5"])
    printed = capsys.readouterr().out
    monkeypatch.setattr("convcore.lessons.__main__.LESSONS", LESSONS[4:5])
    main([])
    assert capsys.readouterr().out == printed
    assert printed.startswith(f"05 {LESSONS[4].title}\n")
    assert printed.endswith(LESSONS[4].blocks[-1].output)
    assert [path.name for path in tmp_path.iterdir()] == ["im2col.png"]
    with pytest.raises(SystemExit):
        main(["42"])
    assert "there is no lesson '42'; they are 01 to 05" in capsys.readouterr().err

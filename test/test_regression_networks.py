"""The networks are the published ones, and the critic has a say."""

import math
import warnings

import pytest

torch = pytest.importorskip("torch", reason="needs torch: make torch")

from face3dmm_ros.core.errors import Face3DMMError  # noqa: E402
from face3dmm_ros.core.resource_files import package_file  # noqa: E402
from face3dmm_ros.lab.training.self_critic import SelfCritic, critic_objective, regressor_objective  # noqa: E402
from face3dmm_ros.regressor.face_mesh_trunk import AddedResidual, face_mesh_trunk  # noqa: E402
from face3dmm_ros.regressor.networks import NETWORKS, SpatialSoftmax, build_network  # noqa: E402


def weight_count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("name", "published"), [("resnet50", 25_557_032), ("resnet101", 44_549_160)])
def test_a_resnet_has_the_weights_of_the_published_one(name: str, published: int) -> None:
    with torch.device("meta"):
        network = build_network(name, inputs=3, outputs=1000)
    assert weight_count(network) == published


def test_the_light_network_has_at_most_four_million_weights() -> None:
    assert weight_count(build_network("light", inputs=4, outputs=364)) <= 4_000_000


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("inputs", [3, 4])
def test_each_network_turns_a_crop_into_a_vector(name: str, inputs: int) -> None:
    network = build_network(name, inputs, outputs=198).eval()
    with torch.inference_mode():
        assert network(torch.randn(2, inputs, 120, 120)).shape == (2, 198)


@pytest.mark.parametrize("name", ["resnet50", "light"])
def test_every_weight_learns(name: str) -> None:
    torch.manual_seed(0)
    network = build_network(name, inputs=3, outputs=5)
    for module in network.modules():  # those that begin at zero hide what comes before them
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(module.weight)
        if isinstance(module, AddedResidual):
            torch.nn.init.normal_(module.project.weight, std=0.01)
    network(torch.randn(2, 3, 120, 120)).square().sum().backward()
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    assert len(learning) > 50
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in learning)


def test_the_light_network_begins_with_what_face_mesh_sees() -> None:
    network = build_network("light", inputs=3, outputs=5).eval()
    crop = torch.rand(1, 3, 120, 120)
    trunk = torch.nn.Sequential(*face_mesh_trunk())
    expected = trunk(torch.nn.functional.pad(crop, (4, 4, 4, 4), mode="replicate"))
    features = []
    network.squeeze_32.register_forward_pre_hook(lambda _, given: features.append(given[0]))
    network(2 * crop - 1)
    torch.testing.assert_close(features[0], expected)


def test_a_fourth_channel_is_unseen_at_first_and_can_be_learnt() -> None:
    network = build_network("light", inputs=4, outputs=5)
    crop, seen = torch.randn(1, 3, 120, 120), torch.ones(1, 1, 120, 120)
    torch.testing.assert_close(network(torch.cat([crop, seen], 1)), network(torch.cat([crop, -seen], 1)))
    network(torch.cat([crop, seen], 1)).square().sum().backward()
    assert network.seen[0].convolution.weight.grad[:, 3].any()


def test_another_networks_file_is_not_taken_for_face_mesh() -> None:
    other = package_file("resource/landmark_models/face_detection_short_range.tflite")
    with pytest.raises(Face3DMMError, match="not Face Mesh"):
        face_mesh_trunk(other)


@pytest.mark.parametrize("name", ["resnet50", "light"])
def test_a_network_can_be_compiled(name: str) -> None:
    torch.manual_seed(0)
    network = build_network(name, inputs=3, outputs=5).eval()
    crop = torch.randn(1, 3, 120, 120)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert torch.allclose(torch.jit.freeze(torch.jit.script(network))(crop), network(crop), atol=1e-5)


def test_the_light_network_tells_where_a_feature_lies() -> None:
    torch.manual_seed(0)
    network = build_network("light", inputs=3, outputs=4).eval()
    left, right = torch.zeros(2, 1, 3, 120, 120)
    left[:, :, 40:56, 24:40] = 1.0
    right[:, :, 40:56, 72:88] = 1.0
    with torch.inference_mode():
        outputs = network(torch.cat([left, right]))
    assert not torch.allclose(outputs[0], outputs[1], rtol=0.05)


def test_an_unknown_network_is_refused_by_name() -> None:
    with pytest.raises(Face3DMMError, match=r"resnet50, resnet101, light.*'vgg'"):
        build_network("vgg", 3, 10)


def test_a_network_without_outputs_is_refused() -> None:
    with pytest.raises(Face3DMMError, match="outputs"):
        build_network("light", 3, 0)


def test_the_critic_is_built_as_the_paper_says() -> None:
    critic = SelfCritic(inputs=3, parameters=62)
    convolutions = [layer for layer in critic.encoder if isinstance(layer, torch.nn.Conv2d)]
    poolings = [layer for layer in critic.encoder if isinstance(layer, torch.nn.MaxPool2d)]
    widths = [layer.out_features for layer in critic.critic if isinstance(layer, torch.nn.Linear)]
    assert (len(convolutions), len(poolings), widths) == (6, 6, [512, 1024, 1024, 1])


def test_undecided_objectives_are_those_of_a_coin() -> None:
    zero = torch.zeros(3)
    assert float(critic_objective(zero, zero)) == pytest.approx(2 * math.log(2))
    assert float(regressor_objective(zero)) == pytest.approx(math.log(2))


def test_the_objectives_are_cross_entropies_of_the_logits() -> None:
    def probability(logit: float) -> float:
        return 1 / (1 + math.exp(-logit))

    by_hand = -math.log(probability(1.5)) - (math.log(1 - probability(-2.0)) + math.log(1 - probability(0.5))) / 2
    assert float(critic_objective(torch.tensor([1.5]), torch.tensor([-2.0, 0.5]))) == pytest.approx(by_hand)
    assert float(regressor_objective(torch.tensor([0.5]))) == pytest.approx(-math.log(probability(0.5)))


@pytest.mark.parametrize("logit", [-20.0, 0.0, 20.0])
def test_critic_and_regressor_pull_in_opposite_directions(logit: float) -> None:
    for_critic = torch.tensor([logit], requires_grad=True)
    for_regressor = torch.tensor([logit], requires_grad=True)
    critic_objective(torch.zeros(1), for_critic).backward()
    regressor_objective(for_regressor).backward()
    assert for_critic.grad is not None
    assert for_critic.grad > 0
    assert for_regressor.grad is not None
    assert for_regressor.grad < 0


@pytest.mark.slow
def test_a_critic_learns_to_tell_labels_from_other_parameters() -> None:
    torch.manual_seed(0)
    critic = SelfCritic(inputs=3, parameters=8)
    optimizer = torch.optim.Adam(critic.parameters(), 1e-3)
    crops, labels, regressed = torch.randn(2, 3, 120, 120), torch.randn(2, 8), torch.randn(2, 8)
    start = critic_objective(critic(crops, labels), critic(crops, regressed)).item()
    for _ in range(25):
        optimizer.zero_grad()
        loss = critic_objective(critic(crops, labels), critic(crops, regressed))
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05 * start
    assert bool((critic(crops, labels) > 0).all())
    assert bool((critic(crops, regressed) < 0).all())


def test_a_spatial_softmax_tells_where_each_map_is_high() -> None:
    maps = torch.full((1, 3, 5, 5), -50.0)
    maps[0, 0, 0, 4] = 50.0  # the right upper corner
    maps[0, 1, 2, 1] = maps[0, 1, 2, 3] = 50.0  # both sides of the middle
    maps[0, 2] = 0.0  # nowhere more than elsewhere
    torch.testing.assert_close(SpatialSoftmax(5)(maps), torch.tensor([[1.0, -1.0, 0.0, 0.0, 0.0, 0.0]]))

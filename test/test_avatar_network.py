"""What goes out to other programs' avatars: read back by decoders of other people, and over real sockets."""

import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import closing

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("pylivelinkface", reason="needs PyLiveLinkFace, which reads the packets back")

from pylivelinkface import FaceBlendShape, PyLiveLinkFace
from pythonosc.osc_bundle import OscBundle
from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import build_msg
from pythonosc.osc_packet import OscPacket

from face3dmm_ros.avatar.avatar import AvatarFace
from face3dmm_ros.avatar.network.head_rotation import head_angles, unity_quaternion
from face3dmm_ros.avatar.network.ifacialmocap import IFACIALMOCAP_NAMES, ifacialmocap_datagrams
from face3dmm_ros.avatar.network.live_link_face import LIVE_LINK_NAMES, live_link_datagram
from face3dmm_ros.avatar.network.sender import WeightSender, split_destination
from face3dmm_ros.avatar.network.vmc import BLEND_NAMES, vmc_datagrams
from face3dmm_ros.avatar.network.vrchat import vrchat_datagrams
from face3dmm_ros.core.arkit import ARKIT_NAMES
from face3dmm_ros.core.camera import WeakPerspective
from face3dmm_ros.core.errors import Face3DMMError
from face3dmm_ros.core.rotations import FRONTAL, rotation_from_vector
from face3dmm_ros.core.values import FaceParameters

LEFT = rotation_from_vector([0.0, np.radians(25.0), 0.0])
"""A turn to the person's own left in model axes (x own left, y up, z out of the face), that of the nose toward +x."""
UP = rotation_from_vector([np.radians(-15.0), 0.0, 0.0])
TO_RIGHT_SHOULDER = rotation_from_vector([0.0, 0.0, np.radians(10.0)])
UNITY_FROM_MODEL = np.diag([-1.0, 1.0, 1.0])
DISTINCT = np.linspace(0.0, 1.0, len(ARKIT_NAMES)).astype(np.float32)
"""A weight of its own for every blendshape, so that none can pass for another."""


def face(
    turn: NDArray[np.float64] | None = None,
    *,
    face_id: int = 1,
    scale: float = 1.0,
    weights: NDArray[np.float32] = DISTINCT,
) -> AvatarFace:
    """A face, turned in model axes from looking into the camera."""
    camera = WeakPerspective(scale, FRONTAL @ (np.eye(3) if turn is None else turn), np.zeros(2))
    parameters = FaceParameters(camera, np.zeros(0), np.zeros(0), "none", "", "joint", 0.0, 1.0, (640, 480))
    return AvatarFace(face_id, parameters, weights)


def decoded(datagrams: Sequence[bytes]) -> list[OscMessage]:
    return [timed.message for datagram in datagrams for timed in OscPacket(datagram).messages]


def parameters_of(messages: Sequence[OscMessage], address: str) -> list[list[object]]:
    return [list(message) for message in messages if message.address == address]


def head_bone(datagrams: Sequence[bytes]) -> NDArray[np.float64]:
    return bone(datagrams, "Head")


def bone(datagrams: Sequence[bytes], wanted: str) -> NDArray[np.float64]:
    """(3, 3) rotation of a bone in Unity's axes, by the textbook formula for a unit quaternion."""
    turns = {name: numbers for name, *numbers in parameters_of(decoded(datagrams), "/VMC/Ext/Bone/Pos")}
    x, y, z, w = turns[wanted][3:]
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def live_link(datagram: bytes) -> PyLiveLinkFace:
    found, received = PyLiveLinkFace.decode(datagram)
    assert found
    return received


def angles_of(received: PyLiveLinkFace) -> list[float]:
    wanted = (FaceBlendShape.HeadYaw, FaceBlendShape.HeadPitch, FaceBlendShape.HeadRoll)
    return [received.get_blendshape(angle) for angle in wanted]


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    """A bound UDP socket of this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        bound.settimeout(5.0)
        yield bound


def address_of(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"{host}:{port}"


def unused_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


# The head's rotation.


def test_a_frontal_face_leaves_the_head_as_it_is() -> None:
    assert unity_quaternion(FRONTAL) == pytest.approx((0.0, 0.0, 0.0, 1.0))
    assert head_angles(FRONTAL) == pytest.approx((0.0, 0.0, 0.0))


def test_who_turns_to_their_left_appears_turned_to_the_right_of_the_picture() -> None:
    nose_in_camera = FRONTAL @ LEFT @ [0.0, 0.0, 1.0]
    assert nose_in_camera[0] > 0.4


def test_who_turns_to_their_left_turns_the_avatar_to_its_left() -> None:
    ahead = head_bone(vmc_datagrams(face(LEFT), 0.0)) @ [0.0, 0.0, 1.0]
    np.testing.assert_allclose(ahead, [-np.sin(np.radians(25.0)), 0.0, np.cos(np.radians(25.0))], atol=1e-6)


def test_who_looks_up_makes_the_avatar_look_up() -> None:
    ahead = head_bone(vmc_datagrams(face(UP), 0.0)) @ [0.0, 0.0, 1.0]
    np.testing.assert_allclose(ahead, [0.0, np.sin(np.radians(15.0)), np.cos(np.radians(15.0))], atol=1e-6)


def test_who_tilts_to_their_right_shoulder_tilts_the_avatar_to_its_right() -> None:
    crown = head_bone(vmc_datagrams(face(TO_RIGHT_SHOULDER), 0.0)) @ [0.0, 1.0, 0.0]
    np.testing.assert_allclose(crown, [np.sin(np.radians(10.0)), np.cos(np.radians(10.0)), 0.0], atol=1e-6)


@pytest.mark.parametrize("degrees", [0.0, 1e-6, 40.0, 179.99])
def test_the_head_bone_holds_the_whole_rotation(degrees: float) -> None:
    axis = np.array([0.6, -0.64, 0.48])
    turn = rotation_from_vector(np.radians(degrees) * axis)
    received = UNITY_FROM_MODEL @ head_bone(vmc_datagrams(face(turn), 0.0)) @ UNITY_FROM_MODEL
    np.testing.assert_allclose(received, turn, atol=1e-6)


def test_the_head_angles_hold_the_whole_rotation() -> None:
    turn = LEFT @ UP @ TO_RIGHT_SHOULDER
    received = angles_of(live_link(live_link_datagram(face(turn), "someone", 0.0)))
    np.testing.assert_allclose(received, np.radians([25.0, 15.0, 10.0]), atol=1e-6)


# VMC.


def test_vmc_carries_every_weight_under_its_name() -> None:
    values = parameters_of(decoded(vmc_datagrams(face(), 0.0, "arkit")), "/VMC/Ext/Blend/Val")
    assert dict(values) == dict(zip(ARKIT_NAMES, DISTINCT.tolist(), strict=True))


def test_vmc_names_begin_with_capitals_unless_asked_otherwise() -> None:
    values = parameters_of(decoded(vmc_datagrams(face(), 0.0)), "/VMC/Ext/Blend/Val")
    assert dict(values)["JawOpen"] == pytest.approx(DISTINCT[ARKIT_NAMES.index("jawOpen")])
    assert [str(name).lower() for name, _ in values] == [name.lower() for name in ARKIT_NAMES]


def test_vmc_applies_the_weights_after_the_last_of_them() -> None:
    addresses = [received.address for received in decoded(vmc_datagrams(face(), 0.0))]
    assert addresses.index("/VMC/Ext/Blend/Apply") == len(addresses) - 1
    assert addresses.count("/VMC/Ext/Blend/Val") == len(ARKIT_NAMES)


def test_vmc_carries_the_time_and_that_a_face_is_there() -> None:
    received = decoded(vmc_datagrams(face(), 12.25))
    assert parameters_of(received, "/VMC/Ext/T") == [[12.25]]
    assert parameters_of(received, "/VMC/Ext/OK") == [[1]]


def test_vmc_keeps_the_avatar_where_it_stands() -> None:
    received = parameters_of(decoded(vmc_datagrams(face(LEFT), 0.0)), "/VMC/Ext/Root/Pos")
    assert received == [["root", 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]]


def test_vmc_without_a_face_says_so_and_moves_nothing() -> None:
    received = decoded(vmc_datagrams(None, 3.0))
    assert {message.address: list(message) for message in received} == {"/VMC/Ext/OK": [0], "/VMC/Ext/T": [3.0]}


@pytest.mark.parametrize(("names", "datagrams"), [("pascal", 3), ("arkit", 3), ("vrm", 1)])
def test_a_vmc_frame_takes_few_datagrams_that_fit_ethernet(names: str, datagrams: int) -> None:
    sent = vmc_datagrams(face(), 0.0, names)
    assert len(sent) == datagrams
    assert max(map(len, sent)) <= 1452


def test_vmc_is_what_the_librarys_builders_make() -> None:
    for datagram in vmc_datagrams(face(LEFT), 12.25):
        bundle = OscBundleBuilder(IMMEDIATELY)
        for received in OscBundle(datagram):
            bundle.add_content(build_msg(received.address, received.params))
        assert bundle.build().dgram == datagram


# Live Link Face.


def test_live_link_face_carries_every_weight_at_its_place() -> None:
    received = live_link(live_link_datagram(face(), "someone", 0.0))
    by_name = {shape.name.lower(): received.get_blendshape(shape) for shape in FaceBlendShape}
    assert {name: by_name[name.lower()] for name in ARKIT_NAMES} == dict(
        zip(ARKIT_NAMES, DISTINCT.tolist(), strict=True)
    )


def test_live_link_face_orders_the_blendshapes_as_others_do() -> None:
    theirs = [shape.name for shape in sorted(FaceBlendShape, key=lambda shape: shape.value)]
    assert [name[0].upper() + name[1:] for name in LIVE_LINK_NAMES] == theirs[: len(ARKIT_NAMES)]


def test_live_link_face_leaves_the_eyes_to_the_weights() -> None:
    received = live_link(live_link_datagram(face(LEFT), "someone", 0.0))
    eyes = [shape for shape in FaceBlendShape if shape.name.startswith(("LeftEye", "RightEye"))]
    assert [received.get_blendshape(shape) for shape in eyes] == [0.0] * 6


def test_live_link_face_carries_subject_time_and_rate() -> None:
    received = live_link(live_link_datagram(face(), "someone", 3 * 86400.0 + 2.0 + 0.25 / 60.0))
    assert (received.name, received._version, received.fps, received._denominator) == ("someone", 6, 60, 1)
    assert received._frames == 120
    assert received._sub_frame == pytest.approx(0.25, abs=1e-4)


def test_live_link_face_names_a_device_per_subject_the_same_in_every_run() -> None:
    first, again, other = (
        live_link(live_link_datagram(face(), subject, time)).uuid
        for subject, time in (("someone", 0.0), ("someone", 9.0), ("another", 0.0))
    )
    assert first == again != other


# VMC as VRM's presets.


def weights(**named: float) -> NDArray[np.float32]:
    return np.array([named.get(name, 0.0) for name in ARKIT_NAMES], np.float32)


def presets(**named: float) -> dict[str, float]:
    """What goes out under VRM's names; those at 0 are left out."""
    received = parameters_of(decoded(vmc_datagrams(face(weights=weights(**named)), 0.0, "vrm")), "/VMC/Ext/Blend/Val")
    return {str(name): value for name, value in received if value}


def test_vmc_names_vrms_presets_as_vrm_0_does() -> None:
    received = parameters_of(decoded(vmc_datagrams(face(), 0.0, "vrm")), "/VMC/Ext/Blend/Val")
    vowels, blinks, moods = (
        ["A", "I", "U", "E", "O"],
        ["Blink", "Blink_L", "Blink_R"],
        ["Joy", "Angry", "Sorrow", "Fun"],
    )
    assert [name for name, _ in received] == [*vowels, *blinks, *moods, "Surprised"]


@pytest.mark.parametrize(
    ("shown", "preset"),
    [
        ({"jawOpen": 0.5}, "A"),
        ({"mouthUpperUpLeft": 0.5, "mouthUpperUpRight": 0.5}, "I"),
        ({"mouthPucker": 0.5}, "U"),
        ({"mouthStretchLeft": 0.5, "mouthStretchRight": 0.5}, "E"),
        ({"mouthFunnel": 0.5}, "O"),
        ({"browDownLeft": 0.5, "browDownRight": 0.5}, "Angry"),
        ({"mouthFrownLeft": 0.5, "mouthFrownRight": 0.5}, "Sorrow"),
        ({"eyeWideLeft": 0.5, "eyeWideRight": 0.5}, "Surprised"),
    ],
)
def test_vmc_shows_each_preset_by_what_it_is_made_of(shown: dict[str, float], preset: str) -> None:
    assert presets(**shown) == {preset: pytest.approx(0.5)}


def test_vmc_shows_a_smile_as_some_joy_and_dimples_as_fun() -> None:
    assert presets(mouthSmileLeft=1.0, mouthSmileRight=1.0) == {"Joy": pytest.approx(0.7)}
    assert presets(mouthDimpleLeft=1.0, mouthDimpleRight=1.0) == {"Fun": pytest.approx(0.7)}


def test_vmc_vowels_never_open_the_mouth_more_than_fully() -> None:
    received = presets(jawOpen=1.0, mouthFunnel=1.0, mouthPucker=0.5)
    assert received == {"A": pytest.approx(0.4), "O": pytest.approx(0.4), "U": pytest.approx(0.2)}


def test_vmc_blinks_add_up_to_each_lid() -> None:
    received = presets(eyeBlinkLeft=0.75, eyeBlinkRight=0.25)
    assert received == {"Blink": pytest.approx(0.25), "Blink_L": pytest.approx(0.5)}


@pytest.mark.parametrize("names", BLEND_NAMES)
def test_vmc_turns_the_eyes_bones_with_the_gaze(names: str) -> None:
    shown = weights(eyeLookOutLeft=1.0, eyeLookInRight=1.0, eyeLookUpRight=0.5)
    datagrams = vmc_datagrams(face(weights=shown), 0.0, names)
    left, right = (bone(datagrams, name) @ [0.0, 0.0, 1.0] for name in ("LeftEye", "RightEye"))
    np.testing.assert_allclose(left, [-np.sin(np.radians(20.0)), 0.0, np.cos(np.radians(20.0))], atol=1e-6)
    assert right[0] < -0.3
    assert right[1] == pytest.approx(np.sin(np.radians(7.0)), abs=3e-3)


# iFacialMocap: read by a parser of the format that the app's page for developers shows.


def ifacialmocap(datagram: bytes) -> tuple[dict[str, int], dict[str, list[float]]]:
    """Blendshapes, and what stands after ``=``, of a packet."""
    shapes, transforms = datagram.decode("ascii").split("=")
    assert shapes.endswith("|")
    assert transforms.endswith("|")
    values = dict(part.split("-") for part in shapes.split("|")[:-1])
    turns = dict(part.split("#") for part in transforms.split("|")[:-1])
    return (
        {name: int(value) for name, value in values.items()},
        {name: [float(number) for number in numbers.split(",")] for name, numbers in turns.items()},
    )


def test_ifacialmocap_carries_every_weight_as_a_percentage_under_the_apps_name() -> None:
    (datagram,) = ifacialmocap_datagrams(face())
    values, _ = ifacialmocap(datagram)
    assert len(datagram) <= 1452
    theirs = {
        name: re.sub("(?<!jaw)(?<!mouth)(Left|Right)$", lambda end: f"_{end[0][0]}", name) for name in ARKIT_NAMES
    }
    expected = zip(ARKIT_NAMES, DISTINCT.tolist(), strict=True)
    assert values == {theirs[name]: round(100 * weight) for name, weight in expected}


def test_ifacialmocap_names_sides_as_the_app_does() -> None:
    assert {"eyeBlink_L", "mouthSmile_R", "jawLeft", "mouthRight", "browInnerUp"} < set(IFACIALMOCAP_NAMES)


def test_ifacialmocap_carries_the_heads_angles_in_degrees() -> None:
    (datagram,) = ifacialmocap_datagrams(face(LEFT @ UP @ TO_RIGHT_SHOULDER))
    _, turns = ifacialmocap(datagram)
    assert turns["head"] == pytest.approx([-15.0, 25.0, 10.0, 0.0, 0.0, 0.0], abs=1e-3)


def test_ifacialmocap_carries_where_each_eye_looks() -> None:
    (datagram,) = ifacialmocap_datagrams(face(weights=weights(eyeLookOutLeft=1.0, eyeLookDownRight=0.5)))
    _, turns = ifacialmocap(datagram)
    assert turns["leftEye"] == pytest.approx([0.0, 20.0, 0.0], abs=1e-3)
    assert turns["rightEye"] == pytest.approx([7.0, 0.0, 0.0], abs=1e-3)


def test_ifacialmocap_sends_nothing_without_a_face(receiver: socket.socket) -> None:
    with closing(WeightSender(f"ifacialmocap:{address_of(receiver)}")) as sender:
        sender.send([], 0.0)
        assert (sender.sent, sender.failed) == (0, 0)


def test_ifacialmocap_arrives_over_a_socket(receiver: socket.socket) -> None:
    with closing(WeightSender(f"ifacialmocap:{address_of(receiver)}")) as sender:
        sender.send([face(LEFT), face(scale=0.5)], 100.0)
        assert [receiver.recv(2048)] == ifacialmocap_datagrams(face(LEFT))


# VRChat: read by python-osc.

PARAMETERS = "/avatar/parameters/"


def vrchat(**named: float) -> dict[str, object]:
    """What a face sets, by address; a list where a message has several values."""
    received = decoded(vrchat_datagrams(face(weights=weights(**named))))
    return {message.address: list(message) if len(message.params) > 1 else message.params[0] for message in received}


def expressions(**named: float) -> dict[str, object]:
    """Unified Expressions that are not 0."""
    prefix = f"{PARAMETERS}FT/v2/"
    return {
        name.removeprefix(prefix): value for name, value in vrchat(**named).items() if name.startswith(prefix) and value
    }


AT_REST = {"EyeLidLeft": 0.75, "EyeLidRight": 0.75, "EyeLid": 0.75}


def test_a_vrchat_frame_at_rest_has_open_lids_and_nothing_else() -> None:
    assert expressions() == AT_REST


@pytest.mark.parametrize("name", ARKIT_NAMES)
def test_every_weight_moves_a_vrchat_parameter(name: str) -> None:
    assert expressions(**{name: 1.0}) != AT_REST


@pytest.mark.parametrize(
    ("shown", "moved"),
    [
        ({"jawOpen": 0.5}, {"JawOpen": 0.5}),
        ({"jawLeft": 0.5}, {"JawLeft": 0.5, "JawX": -0.5}),
        ({"tongueOut": 1.0}, {"TongueOut": 1.0}),
        ({"mouthClose": 0.25}, {"MouthClosed": 0.25}),
        (
            {"mouthSmileLeft": 0.5},
            {
                **dict.fromkeys(("MouthCornerPullLeft", "MouthCornerSlantLeft", "MouthSmileLeft"), 0.5),
                **dict.fromkeys(("SmileFrownLeft", "SmileSadLeft", "MouthCornerYLeft"), 0.5),
                **dict.fromkeys(("MouthSmile", "SmileFrown", "SmileSad", "MouthCornerY"), 0.25),
            },
        ),
    ],
)
def test_vrchat_shows_a_weight_by_its_unified_expressions(shown: dict[str, float], moved: dict[str, float]) -> None:
    assert expressions(**shown) == AT_REST | moved


def test_vrchat_lids_are_at_0_closed_and_at_1_wide() -> None:
    received = expressions(eyeBlinkLeft=1.0, eyeWideRight=1.0)
    assert "EyeLidLeft" not in received
    assert received["EyeLidRight"] == 1.0
    assert vrchat(eyeBlinkLeft=1.0)["/tracking/eye/EyesClosedAmount"] == 0.5


def test_vrchat_eyes_look_right_and_up_on_the_positive_side() -> None:
    received = vrchat(eyeLookInLeft=0.5, eyeLookOutRight=0.5, eyeLookUpLeft=1.0)
    assert received[f"{PARAMETERS}FT/v2/EyeLeftX"] == received[f"{PARAMETERS}FT/v2/EyeRightX"] == 0.5
    assert received[f"{PARAMETERS}FT/v2/EyeLeftY"] == 1.0
    assert received["/tracking/eye/LeftRightPitchYaw"] == pytest.approx([-14.0, 10.0, 0.0, 10.0], abs=1e-4)


def test_vrchat_hears_whether_a_face_is_tracked() -> None:
    active = {f"{PARAMETERS}EyeTrackingActive": True, f"{PARAMETERS}LipTrackingActive": True}
    assert active.items() <= vrchat().items()
    without = decoded(vrchat_datagrams(None))
    assert {message.address: list(message) for message in without} == {address: [False] for address in active}


def test_a_vrchat_frame_fits_ethernet() -> None:
    assert max(map(len, vrchat_datagrams(face()))) <= 1452


def test_vrchat_arrives_over_a_socket(receiver: socket.socket) -> None:
    with closing(WeightSender(f"vrchat:{address_of(receiver)}")) as sender:
        sender.send([face()], 100.0)
        assert [receiver.recv(2048) for _ in range(sender.sent)] == vrchat_datagrams(face())


# The sender.


def test_vmc_arrives_over_a_socket(receiver: socket.socket) -> None:
    with closing(WeightSender(f"vmc:{address_of(receiver)}")) as sender:
        sender.send([face(LEFT)], 100.0)
        received = [receiver.recv(2048) for _ in range(sender.sent)]
    assert received == vmc_datagrams(face(LEFT), 0.0)


def test_live_link_face_arrives_over_a_socket(receiver: socket.socket) -> None:
    with closing(WeightSender(f"live_link_face:{address_of(receiver)}")) as sender:
        sender.send([face(LEFT)], 100.0)
        received = live_link(receiver.recv(2048))
    assert received.name == "face3dmm"
    assert angles_of(received)[0] == pytest.approx(np.radians(25.0))


def test_vmc_time_counts_from_the_first_frame(receiver: socket.socket) -> None:
    with closing(WeightSender(f"vmc:{address_of(receiver)}")) as sender:
        for seconds in (1.7e9, 1.7e9 + 0.125):
            sender.send([], seconds)
        received = decoded([receiver.recv(2048), receiver.recv(2048)])
    assert parameters_of(received, "/VMC/Ext/T") == [[0.0], [0.125]]


def test_the_nearest_face_moves_the_vmc_avatar(receiver: socket.socket) -> None:
    with closing(WeightSender(f"vmc:{address_of(receiver)}", names="arkit")) as sender:
        sender.send([face(scale=1.0), face(scale=3.0, weights=DISTINCT[::-1]), face(scale=2.0)], 0.0)
        received = decoded([receiver.recv(2048) for _ in range(sender.sent)])
    assert [value for _, value in parameters_of(received, "/VMC/Ext/Blend/Val")] == DISTINCT[::-1].tolist()


def test_every_face_is_a_live_link_subject_that_stays_its_own(receiver: socket.socket) -> None:
    def subjects(*face_ids: int) -> list[str]:
        sender.send([face(face_id=face_id) for face_id in face_ids], 0.0)
        return [live_link(receiver.recv(2048)).name for _ in face_ids]

    with closing(WeightSender(f"live_link_face:{address_of(receiver)}", subject="me")) as sender:
        assert subjects(7, 9) == ["me", "me_2"]
        assert subjects(9) == ["me_2"]
        assert subjects(9, 12, 13) == ["me_2", "me", "me_3"]


def test_no_live_link_face_goes_out_without_a_face(receiver: socket.socket) -> None:
    with closing(WeightSender(f"live_link_face:{address_of(receiver)}")) as sender:
        sender.send([], 0.0)
        assert (sender.sent, sender.failed) == (0, 0)


def test_nobody_listening_is_counted_and_raises_nothing() -> None:
    with closing(WeightSender(f"vmc:127.0.0.1:{unused_port()}")) as sender:
        for seconds in range(5):
            sender.send([face()], float(seconds))
        assert sender.failed > 0
        assert sender.sent + sender.failed == 15


def test_a_receiver_that_comes_later_gets_the_frames(receiver: socket.socket) -> None:
    port = unused_port()
    with closing(WeightSender(f"live_link_face:127.0.0.1:{port}")) as sender:
        for seconds in range(3):
            sender.send([face()], float(seconds))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
            late.bind(("127.0.0.1", port))
            late.settimeout(5.0)
            for seconds in range(3, 6):
                sender.send([face()], float(seconds))
            assert live_link(late.recv(2048)).name == "face3dmm"


@pytest.mark.parametrize(
    ("step", "error"),
    [
        ("connect", OSError(101, "Network is unreachable")),
        ("send", ConnectionRefusedError(111, "Connection refused")),
        ("send", BlockingIOError(11, "Resource temporarily unavailable")),
    ],
    ids=["no route", "refused", "full buffer"],
)
def test_what_the_system_does_not_take_is_counted_and_raises_nothing(
    step: str, error: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(socket.socket, step, refuse)
    with closing(WeightSender("vmc:127.0.0.1")) as sender:
        sender.send([face()], 0.0)
        assert (sender.sent, sender.failed) == (0, 3)


def test_the_network_may_come_back(receiver: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object) -> None:
        raise OSError(101, "Network is unreachable")

    with closing(WeightSender(f"live_link_face:{address_of(receiver)}")) as sender:
        with monkeypatch.context() as patch:
            patch.setattr(socket.socket, "connect", unreachable)
            sender.send([face()], 0.0)
        sender.send([face()], 1.0)
        assert (sender.sent, sender.failed) == (1, 1)


def test_ipv6_loopback_is_an_address_too() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as bound:
        try:
            bound.bind(("::1", 0))
        except OSError:
            pytest.skip("needs IPv6")
        bound.settimeout(5.0)
        with closing(WeightSender(f"live_link_face:[::1]:{bound.getsockname()[1]}")) as sender:
            sender.send([face()], 0.0)
            assert live_link(bound.recv(2048)).name == "face3dmm"


def test_a_host_with_both_kinds_of_address_is_sent_to_by_ipv4(
    receiver: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, port = receiver.getsockname()
    both = [
        (socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("::1", port, 0, 0)),
        (socket.AF_INET, socket.SOCK_DGRAM, 17, "", (host, port)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    with closing(WeightSender(f"live_link_face:localhost:{port}")) as sender:
        sender.send([face()], 0.0)
        assert live_link(receiver.recv(2048)).name == "face3dmm"


@pytest.mark.parametrize("address", ["203.0.113.1", "203.0.113.1:39539", "[2001:db8::1]:39539", "0.0.0.0"])
def test_faces_leave_this_machine_only_if_allowed(address: str) -> None:
    with pytest.raises(Face3DMMError, match=r"outside this machine .* allow it"):
        WeightSender(f"vmc:{address}")


def test_faces_leave_this_machine_if_allowed() -> None:
    with closing(WeightSender("vmc:203.0.113.1", allow_network=True)) as sender:
        assert sender.failed == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vmc:127.0.0.1", ("vmc", "127.0.0.1", 39539)),
        ("live_link_face:localhost", ("live_link_face", "localhost", 11111)),
        ("ifacialmocap:127.0.0.1", ("ifacialmocap", "127.0.0.1", 49983)),
        ("vrchat:[::1]", ("vrchat", "::1", 9000)),
        ("vmc:localhost:5000", ("vmc", "localhost", 5000)),
        ("vrchat:[::1]:5000", ("vrchat", "::1", 5000)),
    ],
)
def test_a_destination_has_a_kind_a_host_and_perhaps_a_port(text: str, expected: tuple[str, str, int]) -> None:
    assert split_destination(text) == expected
    assert split_destination(str(split_destination(text))) == expected


@pytest.mark.parametrize("address", ["", ":39539", "::1", "::1:39539", "[::1", "[::1]39539", "[]:39539", "a:b:c"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(Face3DMMError, match=r"has no address: write KIND:HOST:PORT or KIND:\[IPv6\]:PORT"):
        WeightSender(f"vmc:{address}")


@pytest.mark.parametrize("address", ["127.0.0.1:", "127.0.0.1:http", "127.0.0.1:0", "127.0.0.1:65536", "[::1]:-1"])
def test_what_is_no_port_is_refused(address: str) -> None:
    with pytest.raises(Face3DMMError, match="not a number between 1 and 65535"):
        WeightSender(f"vmc:{address}")


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 300])
def test_a_host_that_is_not_found_is_named(host: str) -> None:
    with pytest.raises(Face3DMMError, match=rf"host '{host}' was not found"):
        WeightSender(f"vmc:{host}")


@pytest.mark.parametrize("destination", ["osc:127.0.0.1:9000", "127.0.0.1:39539", "localhost", "", "VMC:127.0.0.1"])
def test_a_destination_without_a_known_protocol_is_refused(destination: str) -> None:
    with pytest.raises(Face3DMMError, match=r"write KIND:HOST:PORT.*vmc, live_link_face, ifacialmocap, vrchat"):
        WeightSender(destination)


def test_an_unknown_way_of_naming_is_refused() -> None:
    with pytest.raises(Face3DMMError, match="'snake': choose one of pascal, arkit, vrm"):
        WeightSender("vmc:127.0.0.1", names="snake")


@pytest.mark.parametrize("subject", ["", "Jürgen", "two\nlines", "x" * 300])
def test_a_subject_that_unreal_cannot_read_is_refused(subject: str) -> None:
    with pytest.raises(Face3DMMError, match="printable ASCII"):
        WeightSender("live_link_face:127.0.0.1", subject=subject)

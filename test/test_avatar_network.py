"""What goes out to other programs' avatars: read back by decoders of other people, and over real sockets."""

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
from face3dmm_ros.avatar.network.live_link_face import LIVE_LINK_NAMES, live_link_datagram
from face3dmm_ros.avatar.network.sender import WeightSender, split_address
from face3dmm_ros.avatar.network.vmc import BLEND_NAMES, vmc_datagrams
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
    """(3, 3) rotation of the Head bone in Unity's axes, by the textbook formula for a unit quaternion."""
    ((name, *numbers),) = parameters_of(decoded(datagrams), "/VMC/Ext/Bone/Pos")
    assert name == "Head"
    x, y, z, w = numbers[3:]
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


@pytest.mark.parametrize("names", BLEND_NAMES)
def test_a_vmc_frame_takes_two_datagrams_that_fit_ethernet(names: str) -> None:
    datagrams = vmc_datagrams(face(), 0.0, names)
    assert len(datagrams) == 2
    assert max(map(len, datagrams)) <= 1452


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


# The sender.


def test_vmc_arrives_over_a_socket(receiver: socket.socket) -> None:
    with closing(WeightSender("vmc", address_of(receiver))) as sender:
        sender.send([face(LEFT)], 100.0)
        received = [receiver.recv(2048) for _ in range(sender.sent)]
    assert received == vmc_datagrams(face(LEFT), 0.0)


def test_live_link_face_arrives_over_a_socket(receiver: socket.socket) -> None:
    with closing(WeightSender("live_link_face", address_of(receiver))) as sender:
        sender.send([face(LEFT)], 100.0)
        received = live_link(receiver.recv(2048))
    assert received.name == "face3dmm"
    assert angles_of(received)[0] == pytest.approx(np.radians(25.0))


def test_vmc_time_counts_from_the_first_frame(receiver: socket.socket) -> None:
    with closing(WeightSender("vmc", address_of(receiver))) as sender:
        for seconds in (1.7e9, 1.7e9 + 0.125):
            sender.send([], seconds)
        received = decoded([receiver.recv(2048), receiver.recv(2048)])
    assert parameters_of(received, "/VMC/Ext/T") == [[0.0], [0.125]]


def test_the_nearest_face_moves_the_vmc_avatar(receiver: socket.socket) -> None:
    with closing(WeightSender("vmc", address_of(receiver), names="arkit")) as sender:
        sender.send([face(scale=1.0), face(scale=3.0, weights=DISTINCT[::-1]), face(scale=2.0)], 0.0)
        received = decoded([receiver.recv(2048) for _ in range(sender.sent)])
    assert [value for _, value in parameters_of(received, "/VMC/Ext/Blend/Val")] == DISTINCT[::-1].tolist()


def test_every_face_is_a_live_link_subject_that_stays_its_own(receiver: socket.socket) -> None:
    def subjects(*face_ids: int) -> list[str]:
        sender.send([face(face_id=face_id) for face_id in face_ids], 0.0)
        return [live_link(receiver.recv(2048)).name for _ in face_ids]

    with closing(WeightSender("live_link_face", address_of(receiver), subject="me")) as sender:
        assert subjects(7, 9) == ["me", "me_2"]
        assert subjects(9) == ["me_2"]
        assert subjects(9, 12, 13) == ["me_2", "me", "me_3"]


def test_no_live_link_face_goes_out_without_a_face(receiver: socket.socket) -> None:
    with closing(WeightSender("live_link_face", address_of(receiver))) as sender:
        sender.send([], 0.0)
        assert (sender.sent, sender.failed) == (0, 0)


def test_nobody_listening_is_counted_and_raises_nothing() -> None:
    with closing(WeightSender("vmc", f"127.0.0.1:{unused_port()}")) as sender:
        for seconds in range(5):
            sender.send([face()], float(seconds))
        assert sender.failed > 0
        assert sender.sent + sender.failed == 10


def test_a_receiver_that_comes_later_gets_the_frames(receiver: socket.socket) -> None:
    port = unused_port()
    with closing(WeightSender("live_link_face", f"127.0.0.1:{port}")) as sender:
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
    with closing(WeightSender("vmc")) as sender:
        sender.send([face()], 0.0)
        assert (sender.sent, sender.failed) == (0, 2)


def test_the_network_may_come_back(receiver: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object) -> None:
        raise OSError(101, "Network is unreachable")

    with closing(WeightSender("live_link_face", address_of(receiver))) as sender:
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
        with closing(WeightSender("live_link_face", f"[::1]:{bound.getsockname()[1]}")) as sender:
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
    with closing(WeightSender("live_link_face", f"localhost:{port}")) as sender:
        sender.send([face()], 0.0)
        assert live_link(receiver.recv(2048)).name == "face3dmm"


@pytest.mark.parametrize("address", ["203.0.113.1", "203.0.113.1:39539", "[2001:db8::1]:39539", "0.0.0.0"])
def test_faces_leave_this_machine_only_if_allowed(address: str) -> None:
    with pytest.raises(Face3DMMError, match=r"outside this machine .* allow it"):
        WeightSender("vmc", address)


def test_faces_leave_this_machine_if_allowed() -> None:
    with closing(WeightSender("vmc", "203.0.113.1", allow_network=True)) as sender:
        assert sender.failed == 0


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", ("127.0.0.1", 39539)),
        ("localhost:5000", ("localhost", 5000)),
        ("[::1]", ("::1", 39539)),
        ("[::1]:5000", ("::1", 5000)),
    ],
)
def test_an_address_has_a_host_and_perhaps_a_port(address: str, expected: tuple[str, int]) -> None:
    assert split_address(address, 39539) == expected


@pytest.mark.parametrize("address", ["", ":39539", "::1", "::1:39539", "[::1", "[::1]39539", "[]:39539", "a:b:c"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(Face3DMMError, match=r"is no address: write HOST:PORT or \[IPv6\]:PORT"):
        WeightSender("vmc", address)


@pytest.mark.parametrize("address", ["127.0.0.1:", "127.0.0.1:http", "127.0.0.1:0", "127.0.0.1:65536", "[::1]:-1"])
def test_what_is_no_port_is_refused(address: str) -> None:
    with pytest.raises(Face3DMMError, match="not a number between 1 and 65535"):
        WeightSender("vmc", address)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 300])
def test_a_host_that_is_not_found_is_named(host: str) -> None:
    with pytest.raises(Face3DMMError, match=rf"host '{host}' was not found"):
        WeightSender("vmc", host)


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(Face3DMMError, match="'osc': choose one of vmc, live_link_face"):
        WeightSender("osc")


def test_an_unknown_way_of_naming_is_refused() -> None:
    with pytest.raises(Face3DMMError, match="'snake': choose one of pascal, arkit"):
        WeightSender("vmc", names="snake")


@pytest.mark.parametrize("subject", ["", "Jürgen", "two\nlines", "x" * 300])
def test_a_subject_that_unreal_cannot_read_is_refused(subject: str) -> None:
    with pytest.raises(Face3DMMError, match="printable ASCII"):
        WeightSender("live_link_face", subject=subject)

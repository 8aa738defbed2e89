"""Sends faces to avatars of other programs, over UDP."""

import re
import socket
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from face3dmm_ros.avatar.avatar import AvatarFace
from face3dmm_ros.avatar.network.live_link_face import live_link_datagram
from face3dmm_ros.avatar.network.vmc import BLEND_NAMES, vmc_datagrams
from face3dmm_ros.core.errors import Face3DMMError

VMC, LIVE_LINK_FACE = "vmc", "live_link_face"
DEFAULT_PORTS: Mapping[str, int] = {VMC: 39539, LIVE_LINK_FACE: 11111}
"""Ports on which receivers listen by default: of the VMC protocol's specification, and of Epic's app."""

_LONGEST_SUBJECT = 200  # characters; chosen by hand
_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[^\]]+)\]|(?P<host>[^:\[\]]+))(?::(?P<port>[^:]*))?")


class WeightSender:
    """Sends the weights and head rotations of tracked faces; once made, it neither blocks nor raises.

    With ``vmc`` the nearest face, the one with the largest scale, moves the avatar; without a face the receiver is told
    so. With ``live_link_face`` every face is a subject of its own: ``face3dmm``, ``face3dmm_2``, … A face keeps its
    subject along its track, and a new one takes the first that is free.

    Errors in sending are only counted, since the receiver may start later.

    Attributes:
        sent: datagrams that the operating system accepted.
        failed: datagrams that it rejected: nobody listens, there is no route, or its buffers are full.
    """

    def __init__(
        self,
        protocol: str,
        address: str = "127.0.0.1",
        *,
        allow_network: bool = False,
        names: str = "pascal",
        subject: str = "face3dmm",
    ) -> None:
        """Open a socket to a receiver; a host name is resolved here, once.

        Args:
            protocol: ``vmc`` or ``live_link_face``.
            address: ``HOST``, ``HOST:PORT``, ``[IPv6]`` or ``[IPv6]:PORT``; without a port the protocol's own.
            allow_network: whether the address may lie outside this machine; what is sent is not encrypted.
            names: how blendshapes are named for ``vmc``: ``pascal`` (JawOpen) or ``arkit`` (jawOpen).
            subject: under which name Unreal lists the first face, ASCII.

        Raises:
            Face3DMMError: the protocol or the way of naming is unknown, the subject's name cannot be sent, the address
                is malformed, the host is not found, or it lies outside this machine without `allow_network`.
        """
        if protocol not in DEFAULT_PORTS:
            raise Face3DMMError(f"there is no protocol {protocol!r}: choose one of {', '.join(DEFAULT_PORTS)}")
        if names not in BLEND_NAMES:
            raise Face3DMMError(f"there are no blendshape names {names!r}: choose one of {', '.join(BLEND_NAMES)}")
        if not (subject.isascii() and subject.isprintable() and 0 < len(subject) <= _LONGEST_SUBJECT):
            raise Face3DMMError(
                f"a subject's name has 1 to {_LONGEST_SUBJECT} printable ASCII characters, {subject!r} has not"
            )
        family, self._target = _resolve(*split_address(address, DEFAULT_PORTS[protocol]))
        if not (allow_network or ip_address(self._target[0]).is_loopback):
            raise Face3DMMError(
                f"{address} lies outside this machine ({self._target[0]}): faces are sent there, unencrypted, only if "
                "the network is allowed; allow it, or send to 127.0.0.1"
            )
        self.protocol, self.names, self.subject = protocol, names, subject
        self.sent = self.failed = 0
        self._began: float | None = None
        self._slots: dict[int, int] = {}
        self._connected = False
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def send(self, faces: Sequence[AvatarFace], time_s: float) -> None:
        """Send a frame.

        Args:
            faces: all that are tracked now; any number.
            time_s: of their image, s.
        """
        for datagram in self._vmc(faces, time_s) if self.protocol == VMC else self._live_link_face(faces, time_s):
            self._deliver(datagram)

    def close(self) -> None:
        """Close the socket; it cannot be used any more."""
        self._socket.close()

    def _vmc(self, faces: Sequence[AvatarFace], time_s: float) -> list[bytes]:
        if self._began is None:
            self._began = time_s
        nearest = max(faces, key=lambda face: face.parameters.camera.scale, default=None)
        return vmc_datagrams(nearest, time_s - self._began, self.names)

    def _live_link_face(self, faces: Sequence[AvatarFace], time_s: float) -> list[bytes]:
        self._slots = _keep_slots(self._slots, [face.face_id for face in faces])
        return [live_link_datagram(face, self._subject_of(face.face_id), time_s) for face in faces]

    def _subject_of(self, face_id: int) -> str:
        slot = self._slots[face_id]
        return f"{self.subject}_{slot + 1}" if slot else self.subject

    def _deliver(self, datagram: bytes) -> None:
        # A connected socket hears that nobody listens. Connecting fails where no route leads, which may change.
        try:
            if not self._connected:
                self._socket.connect(self._target)
                self._connected = True
            self._socket.send(datagram)
            self.sent += 1
        except OSError:
            self.failed += 1


def split_address(address: str, default_port: int) -> tuple[str, int]:
    """Host and port of ``HOST``, ``HOST:PORT``, ``[IPv6]`` or ``[IPv6]:PORT``.

    Raises:
        Face3DMMError: the address has none of these forms, or the port is not between 1 and 65535.
    """
    parts = _ADDRESS.fullmatch(address)
    if parts is None:
        raise Face3DMMError(
            f"{address!r} is no address: write HOST:PORT or [IPv6]:PORT, such as 127.0.0.1:{default_port}"
        )
    host, port = parts["ipv6"] or parts["host"], parts["port"]
    if port is None:
        return host, default_port
    if not (re.fullmatch("[0-9]{1,5}", port) and 1 <= int(port) <= 65535):
        raise Face3DMMError(f"the port in {address!r} is {port!r}, not a number between 1 and 65535")
    return host, int(port)


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    """Address family and socket address of a host; IPv4 where it has both, for receivers mostly listen there."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise Face3DMMError(
            f"the host {host!r} was not found ({error}): check its name, or give its address"
        ) from error
    family, _, _, _, target = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, target


def _keep_slots(slots: Mapping[int, int], face_ids: Sequence[int]) -> dict[int, int]:
    """Slots of faces: the same as before, and for a new face the first that is free."""
    kept = {face_id: slots[face_id] for face_id in face_ids if face_id in slots}
    for face_id in face_ids:
        if face_id not in kept:
            kept[face_id] = min(set(range(len(face_ids))) - set(kept.values()))
    return kept

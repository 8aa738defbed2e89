"""Sends faces to avatars of other programs, over UDP."""

import re
import socket
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any, NamedTuple

from face3dmm_ros.avatar.avatar import AvatarFace
from face3dmm_ros.avatar.network.ifacialmocap import ifacialmocap_datagrams
from face3dmm_ros.avatar.network.live_link_face import live_link_datagram
from face3dmm_ros.avatar.network.vmc import BLEND_NAMES, vmc_datagrams
from face3dmm_ros.avatar.network.vrchat import vrchat_datagrams
from face3dmm_ros.core.errors import Face3DMMError

VMC, LIVE_LINK_FACE, IFACIALMOCAP, VRCHAT = "vmc", "live_link_face", "ifacialmocap", "vrchat"
DEFAULT_PORTS: Mapping[str, int] = {VMC: 39539, LIVE_LINK_FACE: 11111, IFACIALMOCAP: 49983, VRCHAT: 9000}
"""Ports on which receivers listen by default: of the VMC protocol's specification, of the two apps, and of VRChat."""
DESTINATION = "KIND:HOST:PORT"
"""How a destination is written; its kind is one of `DEFAULT_PORTS`, and its port may be left out."""

_LONGEST_SUBJECT = 200  # characters; chosen by hand
_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[^\]]+)\]|(?P<host>[^:\[\]]+))(?::(?P<port>[^:]*))?")


class Destination(NamedTuple):
    """Where to send, and in which protocol, a key of `DEFAULT_PORTS`."""

    kind: str
    host: str
    port: int

    def __str__(self) -> str:
        """As `split_destination` reads it."""
        return f"{self.kind}:{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


class WeightSender:
    """Sends the weights and head rotations of tracked faces; once made, it neither blocks nor raises.

    With ``live_link_face`` every face is a subject of its own: ``face3dmm``, ``face3dmm_2``, … A face keeps its subject
    along its track, and a new one takes the first that is free. The other protocols know one person: the nearest face,
    the one with the largest scale, moves the avatar; without a face ``vmc`` and ``vrchat`` tell the receiver so.

    Errors in sending are only counted, since the receiver may start later.

    Attributes:
        destination: where it sends.
        sent: datagrams that the operating system accepted.
        failed: datagrams that it rejected: nobody listens, there is no route, or its buffers are full.
    """

    def __init__(
        self,
        destination: str,
        *,
        allow_network: bool = False,
        names: str = "pascal",
        subject: str = "face3dmm",
    ) -> None:
        """Open a socket to a receiver; a host name is resolved here, once.

        Args:
            destination: ``KIND:HOST``, ``KIND:HOST:PORT``, ``KIND:[IPv6]`` or ``KIND:[IPv6]:PORT``; the kind is
                ``vmc``, ``live_link_face``, ``ifacialmocap`` or ``vrchat``, the port without one the protocol's own.
            allow_network: whether the host may lie outside this machine; what is sent is not encrypted.
            names: how blendshapes are named for ``vmc``: ``pascal`` (JawOpen), ``arkit`` (jawOpen) or ``vrm`` (VRM's
                presets: A, Blink, Joy).
            subject: under which name Unreal lists the first face, ASCII.

        Raises:
            Face3DMMError: the protocol or the way of naming is unknown, the subject's name cannot be sent, the address
                is malformed, the host is not found, or it lies outside this machine without `allow_network`.
        """
        self.destination = split_destination(destination)
        if names not in BLEND_NAMES:
            raise Face3DMMError(f"there are no blendshape names {names!r}: choose one of {', '.join(BLEND_NAMES)}")
        if not (subject.isascii() and subject.isprintable() and 0 < len(subject) <= _LONGEST_SUBJECT):
            raise Face3DMMError(
                f"a subject's name has 1 to {_LONGEST_SUBJECT} printable ASCII characters, {subject!r} has not"
            )
        family, self._target = _resolve(self.destination.host, self.destination.port)
        if not (allow_network or ip_address(self._target[0]).is_loopback):
            raise Face3DMMError(
                f"{destination} lies outside this machine ({self._target[0]}): faces are sent there, unencrypted, only "
                "if the network is allowed; allow it (allow_network, or --allow-network of `face3dmm live`), or "
                "send to 127.0.0.1"
            )
        self.names, self.subject = names, subject
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
        for datagram in self._datagrams(faces, time_s):
            self._deliver(datagram)

    def close(self) -> None:
        """Close the socket; it cannot be used any more."""
        self._socket.close()

    def _datagrams(self, faces: Sequence[AvatarFace], time_s: float) -> list[bytes]:
        """A frame in the protocol of the destination."""
        if self.destination.kind == LIVE_LINK_FACE:
            return self._live_link_face(faces, time_s)
        nearest = max(faces, key=lambda face: face.parameters.camera.scale, default=None)
        if self.destination.kind == IFACIALMOCAP:
            return ifacialmocap_datagrams(nearest)
        if self.destination.kind == VRCHAT:
            return vrchat_datagrams(nearest)
        if self._began is None:
            self._began = time_s
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


def split_destination(text: str) -> Destination:
    """Kind, host and port of ``KIND:HOST``, ``KIND:HOST:PORT``, ``KIND:[IPv6]`` or ``KIND:[IPv6]:PORT``.

    Raises:
        Face3DMMError: there is no protocol of this kind, the address has none of these forms, or the port is not
            between 1 and 65535.
    """
    kind, _, address = text.partition(":")
    if kind not in DEFAULT_PORTS:
        raise Face3DMMError(
            f"{text!r} names no protocol: write {DESTINATION}, such as vmc:127.0.0.1:39539; KIND is one of "
            f"{', '.join(DEFAULT_PORTS)}"
        )
    parts = _ADDRESS.fullmatch(address)
    if parts is None:
        raise Face3DMMError(
            f"{text!r} has no address: write {DESTINATION} or KIND:[IPv6]:PORT, such as "
            f"{kind}:127.0.0.1:{DEFAULT_PORTS[kind]}"
        )
    host, port = parts["ipv6"] or parts["host"], parts["port"]
    if port is None:
        return Destination(kind, host, DEFAULT_PORTS[kind])
    if not (re.fullmatch("[0-9]{1,5}", port) and 1 <= int(port) <= 65535):
        raise Face3DMMError(f"the port in {text!r} is {port!r}, not a number between 1 and 65535")
    return Destination(kind, host, int(port))


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

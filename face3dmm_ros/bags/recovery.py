"""A bag whose recorder was killed, finished: what it had written, with all that ROS's own tools want."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader, StoragePlugin, Writer

from face3dmm_ros.bags.messages import message_types
from face3dmm_ros.bags.unfinished_mcap import FinishedMcap, is_unfinished
from face3dmm_ros.core.errors import Face3DMMError

_UNKNOWN = "unknown"
Progress = Callable[[Iterable[Any], int], Iterable[Any]]


def recover(folder: Path, progress: Progress = lambda messages, count: messages) -> int:
    """Replace the unfinished MCAP in a bag's folder by a finished one with a metadata.yaml.

    The file is copied, and takes the place of the unfinished one only when it is complete.

    Args:
        folder: the bag's.
        progress: wraps the messages, given with their number, such as in a progress bar.

    Returns:
        How many messages the bag has.

    Raises:
        Face3DMMError: the folder has no single MCAP file, that is finished or damaged, or it cannot be written.
    """
    files = list(folder.glob("*.mcap"))
    if len(files) != 1:
        raise Face3DMMError(f"{folder} is no folder with one .mcap file: name the folder of a recording")
    (file,) = files
    try:
        if (folder / "metadata.yaml").exists() and not is_unfinished(file):
            raise Face3DMMError(f"{folder} is finished already: nothing to do")
        source: Any = FinishedMcap(file) if is_unfinished(file) else file
        workplace = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            copy = workplace / folder.name
            count = _copy(source, copy, progress)
            for name in (f"{folder.name}.mcap", "metadata.yaml"):
                (copy / name).replace(folder / name)
        finally:
            shutil.rmtree(workplace, ignore_errors=True)
        if file.name != f"{folder.name}.mcap":
            file.unlink()
    except Face3DMMError:
        raise
    except Exception as error:
        raise Face3DMMError(f"{folder} cannot be recovered: {error}") from error
    return count


def _copy(source: Any, folder: Path, progress: Progress) -> int:
    """Copy all messages of what rosbags can read into a new bag; returns their number."""
    # Version 8 of metadata: Humble's rosbag2 refuses later ones.
    with Reader(source) as reader, Writer(folder, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        copies = {
            connection.id: writer.add_connection(
                connection.topic,
                connection.msgtype,
                msgdef=connection.msgdef.data,
                rihs01=_digest(connection) or _UNKNOWN,
                serialization_format=connection.ext.serialization_format,
                offered_qos_profiles=connection.ext.offered_qos_profiles,
            )
            for connection in reader.connections
        }
        for connection, time_ns, data in progress(reader.messages(), reader.message_count):
            writer.write(copies[connection.id], time_ns, data)
        # Only now, since messages are written for connections as they were added.
        writer.connections[:] = [copy._replace(digest=copy.digest.replace(_UNKNOWN, "")) for copy in writer.connections]
        return reader.message_count


def _digest(connection: Connection) -> str:
    """The hash of a type's description, which MCAP does not keep; empty where this version has no such type."""
    types = message_types()
    if connection.msgtype not in types.fielddefs:
        return ""
    own, _ = types.generate_msgdef(connection.msgtype, ros_version=2)
    return types.hash_rihs01(connection.msgtype) if own == connection.msgdef.data else ""

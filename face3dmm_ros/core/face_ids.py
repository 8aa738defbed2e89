"""How faces are called in names of topics and of frames."""


def face_name(face_id: int) -> str:
    """A face's `face_id` as REP-155 (ROS4HRI) wants ids: beginning with a letter, as a topic's name must in ROS 2."""
    return f"f{face_id}"

"""Parameters on ROS's command line. Nothing here needs ROS."""


def parameter_text(value: object) -> str:
    """A value as ROS's command line reads it; a string stays one whatever it looks like."""
    if isinstance(value, bool):
        return str(value).lower()
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)

"""The exception for bad input."""

_LONGEST = 600
"""Of a message on one line, characters; chosen by hand: twice the longest of this package's own."""


class Face3DMMError(ValueError):
    """Input that cannot be used. The message says what was found, what was expected and what to do."""


def one_line(error: BaseException) -> str:
    """What an error says, on one line of a terminal, shortened in the middle where it is long.

    Messages quote files' names and other libraries, which have line breaks and what else moves a terminal's cursor.
    """
    said = " ".join(str(error).split())
    if len(said) > _LONGEST:
        said = f"{said[: _LONGEST // 2]} … {said[-_LONGEST // 2 :]}"
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in said)

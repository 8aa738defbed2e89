"""The exception for bad input."""


class Face3DMMError(ValueError):
    """Input that cannot be used. The message says what was found, what was expected and what to do."""

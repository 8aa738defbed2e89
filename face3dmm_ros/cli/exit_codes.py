"""What a verb's exit code says; docs/command_line.md has the table."""

BAD_INPUT = 2
"""Input that cannot be used, as argparse has it; of several, some."""
INCOMPLETE = 3
"""A recording lacks messages."""
INTERRUPTED = 130
"""Ctrl-C, as shells have it."""

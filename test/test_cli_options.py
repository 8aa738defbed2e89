"""The options of all verbs, side by side: a word means the same everywhere, and tells what holds without it."""

import argparse
from collections import defaultdict
from collections.abc import Iterator

import pytest

from face3dmm_ros.cli.main import VERBS, main, parser


def commands(command: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A command, or those below it."""
    below = [action for action in command._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield command
    for action in below:
        for each in action.choices.values():
            yield from commands(each)


def options() -> list[tuple[str, argparse.Action, str]]:
    """All options: the command that has it, what argparse knows of it, and its help as it is shown."""
    return [
        (each.prog, action, each._get_formatter()._expand_help(action))
        for verb in VERBS
        for each in commands(parser([verb]))
        if each.prog.startswith(f"face3dmm {verb}")
        for action in each._actions
        if action.option_strings and not isinstance(action, argparse._HelpAction)
    ]


def test_every_option_tells_what_holds_without_it() -> None:
    silent = [
        f"{command} {action.option_strings[0]}"
        for command, action, said in options()
        if not (action.required or "(default: " in said or "without it" in said)
        # What is only there or not is off where it is not there.
        and not isinstance(action, argparse._StoreTrueAction)
    ]
    assert silent == []


def test_an_option_takes_the_same_kind_of_value_in_every_verb() -> None:
    kinds = defaultdict(set)
    for _, action, _ in options():
        chosen = "one of several" if action.choices and not action.metavar else None
        for word in action.option_strings:
            kinds[word].add((type(action), action.metavar or chosen))
    assert {word: found for word, found in kinds.items() if len(found) > 1} == {}


def test_an_option_is_written_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["fit", "portrait.jpg", "--max-face", "2"])
    assert "unrecognized arguments: --max-face" in capsys.readouterr().err

"""How the command line's help is laid out."""

import argparse


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Examples stay as they are written, and the default of each option that has one is told."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if isinstance(action.default, list):
            return f"{action.help} (default: {' '.join(action.default)})" if action.default else action.help
        if isinstance(action, argparse.BooleanOptionalAction):
            return f"{action.help} (default: {action.option_strings[0 if action.default else 1]})"
        # By identity: 0 is a default like others.
        has_none = action.default is None or action.default is False or action.default == ""
        return action.help if has_none else super()._get_help_string(action)

"""How the command line's help is laid out."""

import argparse


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Examples stay as they are written, and the default of each option that has one is told."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if isinstance(action.default, list):
            return f"{action.help} (default: {' '.join(action.default)})" if action.default else action.help
        return action.help if action.default in (None, False, "") else super()._get_help_string(action)

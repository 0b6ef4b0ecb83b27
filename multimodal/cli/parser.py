"""The command line's parser: argparse, with one-sentence errors that name the nearest right word.

Not here: the subcommands, and what becomes of an error (`multimodal.cli`). Options must be spelt out; a wrong option,
choice or value raises `ArgumentError` instead of printing the usage and ending the process.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from multimodal.errors import ArgumentError, nearest

# argparse's own sentences, and ours: what, value and rule.
_REWORDED = (
    (r"argument (?P<what>.+?): invalid (?P<kind>\w+) value: (?P<value>.+)", "{what} is {value}; it must be {kind}."),
    (r"argument (?P<what>.+?): expected one argument", "{what} needs a value."),
    (r"argument (?P<what>.+?): expected at least one argument", "{what} needs at least one value."),
    (r"argument (?P<what>.+?): expected (?P<count>.+)", "{what} needs {count}."),
    (r"argument (?P<what>.+?): ignored explicit argument (?P<value>.+)", "{what} takes no value, not {value}."),
    (r"argument (?P<what>.+?): not allowed with argument (?P<other>.+)", "{what} and {other} exclude each other."),
    (r"the following arguments are required: (?P<what>.+)", "{what} must be given."),
    (r"argument (?P<what>.+?): (?P<rest>.+?)\.?", "{what}: {rest}."),
)
_KINDS = {"int": "a whole number", "float": "a number", "Path": "a path"}


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` that raises `ArgumentError` with a full sentence."""

    def __init__(self, *, prog: str, description: str = "", **options: Any) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False, **options)

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """The arguments that `words` give; what `parse_args` does, without its lenience.

        What is no option may stand anywhere: `generate MODEL --score TEXT`.

        Raises:
            ArgumentError: an unknown option, a value that its option refuses, or a missing or superfluous argument.
        """
        self._refuse_unknown_options(words)
        arguments, superfluous = self.parse_known_args(list(words))
        if superfluous:  # looked for everywhere only then: argparse may lose a "--" on that way
            arguments, superfluous = self.parse_known_intermixed_args(list(words))
        if superfluous:
            fault = "is not an option" if superfluous[0].startswith("-") else "is one argument too many"
            raise ArgumentError(f"{superfluous[0]} {fault}. {self._see_help()}")
        return arguments

    def error(self, message: str) -> NoReturn:
        """Raise what argparse found wrong, as a sentence."""
        for pattern, sentence in _REWORDED:
            found = re.fullmatch(pattern, message, re.DOTALL)
            if found:
                words = found.groupdict()
                if "kind" in words:
                    words["kind"] = _KINDS.get(words["kind"], f"of type {words['kind']}")
                raise ArgumentError(sentence.format(**words))
        raise ArgumentError(f"{message[:1].upper()}{message[1:]}. {self._see_help()}")

    def _refuse_unknown_options(self, words: Sequence[str]) -> None:
        """Before argparse looks: it would first complain of what is missing, and a typo is the likelier cause."""
        known = [option for action in self._actions for option in action.option_strings]
        for word in words:
            if word == "--":
                return
            name = word.partition("=")[0]
            if word.startswith("--") and name not in known:
                longer = [option for option in known if option.startswith(name) and len(name) > 3]
                clue = f" Did you mean {longer[0]!r}?" if longer else nearest(name, known) or f" {self._see_help()}"
                raise ArgumentError(f"{name} is not an option.{clue}")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            name = "/".join(action.option_strings) or action.metavar or action.dest
            choices = [str(choice) for choice in action.choices]
            raise ArgumentError(
                f"{name} is {str(value)!r}; it must be one of {', '.join(choices)}.{nearest(str(value), choices)}"
            )

    def _see_help(self) -> str:
        return f"See '{self.prog} --help'."

"""`multimodal chat MODEL IMAGE... "question"`: the answer of a model that sees or hears; without a question, a talk.

Answers go to stdout as they come, or with `--json` as one object a line; all else goes to stderr. In a talk each line
is a question, from a person or from another program; Ctrl-C ends an answer, Ctrl-D the talk. A line that cannot be
answered is named and left out, and where no person sits there the exit code is 1 then.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from multimodal.cli import generating
from multimodal.cli.chat_words import existing, shown_and_asked
from multimodal.errors import ArgumentError, DataError, nearest

if TYPE_CHECKING:
    from multimodal.cli.text_talk import TextTalk
    from multimodal.models.chat.conversation import Conversation

    Talk: TypeAlias = Conversation | TextTalk

HELP = "ask a model about images or recordings, once or in a talk"

_COMMANDS = {
    "/image": "/image FILE shows an image, or plays a recording, with the next question",
    "/reset": "/reset begins anew, with what was shown at the start",
    "/quit": "/quit ends the talk, as Ctrl-D does; Ctrl-C ends an answer",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `run` takes."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="a model folder, or a published model such as hf:llava-hf/llava-1.5-7b-hf")
    add("words", metavar="IMAGE... QUESTION", nargs="*", help="files, then the question in quotes; without one, a talk")
    add("--system", metavar="TEXT", help="what the model is told before the first question")
    generating.add_options(parser)
    add("--json", action="store_true", help="JSON Lines: one object for each answer")
    generating.add_device(parser)


def run(arguments: argparse.Namespace) -> int:
    """Answer; the exit code."""
    options = generating.options_of(arguments)
    shown, question = shown_and_asked(arguments.model, arguments.words)

    from multimodal.hub import load

    model = load(arguments.model, device=arguments.device, dtype=arguments.dtype)
    talk = _begin(model, arguments, shown)
    if question is None:
        return _talk(talk, model, arguments, options, shown)
    _answer(talk, question, options, as_json=arguments.json)
    return 0


def _begin(model: Any, arguments: argparse.Namespace, shown: Sequence[Path]) -> Talk:
    """A new talk about `shown`.

    Raises:
        ArgumentError: a model that does not talk, or that does not take what is shown.
        MediaError: a file that cannot be read.
    """
    from multimodal.cli.text_talk import TextTalk
    from multimodal.models.language_model import LanguageModel
    from multimodal.models.text.input import tokenizer_of
    from multimodal.models.vision_language import VisionLanguageModel

    kind = type(model).__name__
    if not isinstance(model, VisionLanguageModel | LanguageModel):
        article = "an" if kind[0] in "AEIOU" else "a"
        raise ArgumentError(
            f"{arguments.model} is {article} {kind}; chat needs a VisionLanguageModel or a LanguageModel."
        )
    if tokenizer_of(model).chat_template is None:
        raise ArgumentError(
            f"{arguments.model} has no chat template, so it was not trained to talk; 'multimodal generate' continues "
            "texts, and a chat_template.jinja beside its tokenizer.json says how questions are put."
        )
    system = arguments.system
    talk = (
        model.conversation(system=system) if isinstance(model, VisionLanguageModel) else TextTalk(model, system=system)
    )
    if shown:
        talk.show(list(shown))
    return talk


def _answer(talk: Talk, question: str, options: dict[str, Any], *, as_json: bool = False) -> None:
    """Print what the model answers: as it comes where that is possible."""
    if as_json:
        record = {
            "images": [str(path) for path in talk.waiting],
            "question": question,
            "answer": talk.ask(question, **options),
        }
        print(json.dumps(record, ensure_ascii=False), flush=True)
    elif _searches(talk, options):
        print(generating.harmless(talk.ask(question, **options)), flush=True)
    else:
        with contextlib.closing(talk.stream(question, **options)) as pieces:  # pyright: ignore[reportArgumentType]
            generating.write_pieces(pieces)


def _searches(talk: Talk, options: Any) -> bool:
    """Whether beams are searched, which know no word for certain before the last."""
    from multimodal.models.text.options import settings

    model: Any = talk.model
    return settings(model.config.generation, model.tokenizer, options).beams is not None


def _talk(talk: Talk, model: Any, arguments: argparse.Namespace, options: dict[str, Any], shown: Sequence[Path]) -> int:
    """Answer line by line until there is none; the exit code."""
    from multimodal.media import MediaError

    person = sys.stdin.isatty()
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    if person:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  lines can be edited and called back
        print("Ask. " + "; ".join(_COMMANDS.values()) + ".", file=sys.stderr)
    failed = False
    while (line := _line(person)) is not None:
        try:
            if not line.startswith("/"):
                _answer(talk, line, options, as_json=arguments.json)
            elif line == "/quit":
                break
            elif line == "/reset":
                talk = _begin(model, arguments, shown)
            else:
                _show(talk, line)
        except (ArgumentError, DataError, MediaError) as error:
            failed = True
            print(f"multimodal chat: {error}", file=sys.stderr)
        except KeyboardInterrupt:
            if not person:
                raise
    return int(failed and not person)


def _line(person: bool) -> str | None:
    """The next line that says something; None at the end."""
    while True:
        try:
            if person and not sys.stdout.isatty():  # where the prompt would be taken for an answer
                print("> ", end="", file=sys.stderr, flush=True)
            line = input("> " if person and sys.stdout.isatty() else "").strip()
        except EOFError:
            if person:
                print(file=sys.stderr)
            return None
        except KeyboardInterrupt:
            if not person:
                raise
            print(file=sys.stderr)
            continue
        if line:
            return line


def _show(talk: Talk, line: str) -> None:
    """Do what the line `/image FILE` says."""
    command, _, rest = line.partition(" ")
    if command != "/image":
        close = nearest(command, _COMMANDS) or f" There are {', '.join(_COMMANDS)}."
        raise ArgumentError(f"{command} is not a command.{close}")
    if not rest.strip():
        raise ArgumentError("/image needs a file: /image photo.jpg.")
    talk.show([existing(str(Path(rest.strip().strip("'\"")).expanduser()))])

"""The `multimodal` command: finds the subcommand, runs it, and turns errors into one sentence and an exit code.

Each subcommand is a file beside this one with three names: `HELP` (one line), `add_arguments(parser)` and
`run(arguments) -> int`. These files import nothing heavy at their top, so that `--help` answers at once.
Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 the work failed, 2 the arguments are wrong,
130 interrupted, 143 terminated, 141 nobody reads the output any more.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
import textwrap
import traceback
from collections.abc import Sequence
from types import ModuleType

from multimodal import __version__
from multimodal.cli.parser import Parser
from multimodal.errors import ArgumentError, DataError, nearest

# What a person can mend, and how to say it; any other OSError is a fault of ours and shows its traceback.
_OS_ERRORS = {
    errno.ENOENT: "does not exist.",
    errno.EACCES: "may not be read or written with your permissions.",
    errno.EPERM: "may not be changed with your permissions.",
    errno.EROFS: "is on a read-only file system.",
    errno.ENOSPC: "cannot be written: the disk is full. Free some space or choose another folder.",
    errno.EDQUOT: "cannot be written: your disk quota is used up. Free some space or choose another folder.",
    errno.EFBIG: "cannot be written: the file is too large for this file system or its limits.",
    errno.ENOTDIR: "is not a folder, or lies below a file.",
    errno.EISDIR: "is a folder; a file is needed.",
    errno.ENAMETOOLONG: "is too long a name for this file system.",
    errno.ELOOP: "is a loop of symbolic links.",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `multimodal` with the words `argv` (the process's own by default); returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words or os.environ.get("MULTIMODAL_DEBUG", "") not in ("", "0")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name need not be valid in the terminal's encoding
    try:
        status = _run(words)
        sys.stdout.flush()
        return status
    except (KeyboardInterrupt, SystemExit) as stop:
        status, sentence = _stopped(stop), "Stopped."
        trace = traceback.format_exc()
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            return 141  # 128 + SIGPIPE, as other commands that `head` cuts short
        status, sentence = _explain(error)
        if sentence is None:
            raise
        trace = traceback.format_exc()
    print(f"{trace if debug else ''}{_program(words)}: {sentence}", file=sys.stderr)
    return status


def _commands() -> dict[str, ModuleType]:
    """The subcommands, in the order of `multimodal --help`."""
    from multimodal.cli import (
        chat,
        check,
        classify,
        demo,
        doctor,
        evaluate,
        finetune,
        generate,
        index,
        search,
        serve,
        transcribe,
        wer,
    )

    return {
        "demo": demo,
        "check": check,
        "finetune": finetune,
        "classify": classify,
        "index": index,
        "search": search,
        "serve": serve,
        "transcribe": transcribe,
        "generate": generate,
        "chat": chat,
        "evaluate": evaluate,
        "wer": wer,
        "doctor": doctor,
    }


def _run(words: list[str]) -> int:
    commands = _commands()
    place = _place_of_command(words)
    top = Parser(prog="multimodal", add_help=False)
    _add_debug(top)
    top.add_argument("--version", action="store_true")
    top.add_argument("-h", "--help", action="store_true")
    asked = top.read(words[:place])
    if asked.help:
        print(_overview(commands))
        return 0
    if asked.version:
        print(f"multimodal {__version__}")
        return 0
    if place == len(words):
        print(_overview(commands), file=sys.stderr)
        return 2
    name = words[place]
    if name not in commands:
        close = nearest(name, commands) or " See 'multimodal --help'."
        raise ArgumentError(f"{name!r} is not a subcommand.{close}")
    command = commands[name]
    parser = Parser(prog=f"multimodal {name}", description=command.HELP)
    command.add_arguments(parser)
    _add_debug(parser)
    try:
        arguments = parser.read(words[place + 1 :])
    except SystemExit:  # argparse has printed the help
        return 0
    return command.run(arguments)


def _place_of_command(words: list[str]) -> int:
    """Where the subcommand stands: the first word that is no option (those before it take no values)."""
    return next((i for i, word in enumerate(words) if not word.startswith("-")), len(words))


def _program(words: list[str]) -> str:
    """Who speaks in an error message."""
    command = words[_place_of_command(words) :][:1]
    return " ".join(["multimodal", *(name for name in command if name in _commands())])


def _add_debug(parser: Parser) -> None:
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error (or MULTIMODAL_DEBUG=1)")


def _overview(commands: dict[str, ModuleType]) -> str:
    rows = "\n".join(f"  {name:<10} {command.HELP}" for name, command in commands.items())
    return textwrap.dedent(
        """\
        usage: multimodal [--version] [--debug] SUBCOMMAND ...

        Fine-tune and use models of images on your own folders; search photos by words; write down what is said in
        recordings; continue and translate texts; ask questions about images.

        {rows}

        'multimodal SUBCOMMAND --help' shows its options. --debug, or MULTIMODAL_DEBUG=1 in the environment, shows the
        traceback of an error. Results go to stdout. Exit codes: 0 done, 1 the work failed, 2 wrong arguments."""
    ).format(rows=rows)


def _stopped(stop: BaseException) -> int:
    """The exit code after Ctrl-C or SIGTERM.

    Lightning catches both while it trains, saves what it must and raises SystemExit, after SIGTERM with code 0.
    """
    if isinstance(stop, KeyboardInterrupt) or isinstance(stop.__context__, KeyboardInterrupt):
        return 130  # 128 + SIGINT
    code = getattr(stop, "code", None)
    return code if isinstance(code, int) and code != 0 else 143  # 128 + SIGTERM


def _explain(error: Exception) -> tuple[int, str | None]:
    """The exit code and the sentence for `error`; no sentence for an error that nobody outside can mend."""
    if isinstance(error, ArgumentError):
        return 2, str(error)
    if isinstance(error, DataError):
        return 1, str(error)
    if isinstance(error, OSError):
        return 1, _explain_os_error(error)
    media = sys.modules.get("multimodal.media")  # where it was never imported, it raised nothing
    if media is not None and isinstance(error, media.MediaError):
        return 1, str(error)
    return 1, None


def _explain_os_error(error: OSError) -> str | None:
    if error.errno in _OS_ERRORS:
        place = error.filename2 or error.filename  # a number when the file was opened by its descriptor
        name = os.fsdecode(place) if isinstance(place, str | bytes) else "A file"
        return f"{name} {_OS_ERRORS[error.errno]}"
    if isinstance(error, FileNotFoundError | PermissionError):
        return str(error)  # raised by a library, with a sentence instead of a number
    return None


def _reader_is_gone() -> bool:
    """Whether nobody reads stdout or stderr any more; what is still to be flushed then goes nowhere."""
    gone = False
    for descriptor in (1, 2):
        poll = select.poll()
        poll.register(descriptor, 0)  # no event asked for: errors are always told
        if any(event & select.POLLERR for _, event in poll.poll(0)):
            gone = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
    return gone

"""`multimodal transcribe FILES...`: what is said in recordings and videos, as text, subtitles or JSON.

Results go to stdout, or with `--out` into one file for each recording, which appears as soon as it is complete; a run
that was cut short goes on where it stopped. Recordings that cannot be read are named on stderr, left out and counted;
the exit code is 1 only if none could be read, now or in an
earlier run.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multimodal.cli import inputs
from multimodal.errors import ArgumentError, DataError

if TYPE_CHECKING:
    from multimodal.models.speech.result import Transcription

HELP = "write down what is said in recordings or videos"

MODEL = "hf:openai/whisper-base"  # 290 MB, downloaded once
FORMATS = ("txt", "srt", "vtt", "tsv", "json")
_OF_WHISPER = ("language", "task", "prompt", "no_condition")  # what a CTC model has no notion of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `run` takes."""
    add = parser.add_argument
    add("files", metavar="FILES", nargs="+", help="recordings, videos, folders, or patterns such as 'talks/**/*.mp3'")
    published = f"a model folder, or a published one such as hf:openai/whisper-small (default: {MODEL})"
    add("--model", default=MODEL, metavar="MODEL", help=published)
    add("--format", default="txt", choices=FORMATS, help="txt, srt or vtt (subtitles), tsv, json (default: txt)")
    add("--words", action="store_true", help="the times of words: srt one word a cue, vtt inside the lines, tsv, json")
    add("--out", type=Path, metavar="FOLDER", help="write there one file for each recording, instead of to stdout")
    add("--again", action="store_true", help="with --out: also recordings whose file is there from an earlier run")
    add("--language", metavar="NAME", help="what is spoken, such as de or German (default: what the model hears)")
    add("--task", choices=("transcribe", "translate"), default=None, help="translate: into English")
    add("--prompt", metavar="TEXT", help="names and spelling that the model should know")
    add("--beams", type=int, metavar="N", help="search for the likeliest text with N hypotheses at a time")
    add("--batch-size", type=int, metavar="N", help="windows of 30 s at a time; 1: each is told the text before it")
    add("--no-condition", action="store_true", help="never tell a window the text before it")
    add("--device", default="auto", metavar="NAME", help="cpu, cuda, cuda:1, mps (default: auto)")
    add("--dtype", default="auto", metavar="NAME", help="float32, bfloat16 (default: auto, what the device is fast in)")


def run(arguments: argparse.Namespace) -> int:
    """Transcribe, and print or write; the exit code."""
    _check(arguments)
    paths = find(arguments.files)
    if arguments.out is None and len(paths) > 1 and arguments.format not in ("txt", "json"):
        raise ArgumentError(
            f"--format {arguments.format} of {len(paths)} recordings cannot go to stdout one behind the other; give "
            "--out FOLDER, which gets a file for each."
        )
    targets = _targets(paths, arguments) if arguments.out is not None else {}
    kept = [path for path in paths if path in targets and not arguments.again and _is_done(path, targets[path])]
    left = [path for path in paths if path not in set(kept)]
    if kept:
        print(f"{_count(len(kept))} done before; --again does them again.", file=sys.stderr)
    if not left:
        return 0

    from multimodal.hub import load

    model = load(arguments.model, device=arguments.device, dtype=arguments.dtype)
    errors: list[tuple[Any, str]] = []
    done = told = 0
    for path, transcription in _transcriptions(model, left, arguments, errors):
        told += _tell(errors[told:])
        text = _rendered(transcription, arguments, several=len(paths) > 1)
        if path in targets:
            _write(targets[path], text)
        else:
            print(text, end="", flush=True)
        done += 1
    _tell(errors[told:])
    if len(left) > 1 or targets:
        left_out = f"; {len(errors):,} could not be read" if errors else ""
        where = f", in {arguments.out}" if targets and done else ""
        print(f"{_count(done)} transcribed{where}{left_out}.", file=sys.stderr)
    return 0 if done or kept else 1


def find(arguments: Sequence[str]) -> list[Path]:
    """The recordings and videos that are meant by names, folders and patterns, each once, in this order.

    Raises:
        ArgumentError: one that means none.
    """
    from multimodal.media import AUDIO_SUFFIXES, find_audio

    for argument in arguments:
        if (_expanded(argument) / "config.json").is_file() and not find_audio(_expanded(argument)):
            raise ArgumentError(f"{argument} is a model folder and holds no recordings; say --model {argument}.")
    return inputs.find(arguments, below=find_audio, suffixes=AUDIO_SUFFIXES, what="recording")


def _check(arguments: argparse.Namespace) -> None:
    for option in ("beams", "batch_size"):
        value = getattr(arguments, option)
        if value is not None and value < 1:
            raise ArgumentError(f"--{option.replace('_', '-')} is {value}; it must be at least 1.")
    if arguments.words and arguments.format == "txt":
        raise ArgumentError("--words gives times, which --format txt has not; choose srt, vtt, tsv or json.")
    if arguments.again and arguments.out is None:
        raise ArgumentError("--again is about files that are there from an earlier run; it needs --out.")
    if arguments.out is not None and arguments.out.exists() and not arguments.out.is_dir():
        raise ArgumentError(f"--out is {arguments.out}, which is a file; give a folder.")


def _transcriptions(
    model: Any, paths: Sequence[Path], arguments: argparse.Namespace, errors: list[tuple[Any, str]]
) -> Iterator[tuple[Path, Transcription]]:
    """Each recording and its text, as soon as it is known."""
    from multimodal.models.ctc_recognizer import CtcRecognizer
    from multimodal.models.speech import ctc, transcription
    from multimodal.models.speech_recognizer import SpeechRecognizer

    options: dict[str, Any] = {"timestamps": "word" if arguments.words else "segment"}
    options |= {"batch_size": arguments.batch_size, "beams": arguments.beams}
    if isinstance(model, SpeechRecognizer):
        options |= {"language": arguments.language, "task": arguments.task or "transcribe"}
        options |= {"prompt": arguments.prompt, "condition": not arguments.no_condition}
        found = transcription.stream(model, paths, errors=errors, **options)
    elif isinstance(model, CtcRecognizer):
        if given := [name for name in _OF_WHISPER if getattr(arguments, name)]:
            raise ArgumentError(
                f"--{given[0].replace('_', '-')} has no meaning for {arguments.model}, a CtcRecognizer, which writes "
                "down the language that it was trained on; leave it out."
            )
        found = ctc.stream(model, paths, errors=errors, **options)
    else:
        kind = type(model).__name__
        raise ArgumentError(
            f"{arguments.model} is a {kind}; transcribe needs a SpeechRecognizer or a CtcRecognizer, of speech."
        )
    for place, said in found:
        yield paths[place], said


def _rendered(transcription: Transcription, arguments: argparse.Namespace, *, several: bool) -> str:
    from multimodal.models.speech.formats import render

    text = render(transcription, arguments.format, words=arguments.words)
    if arguments.out is not None or not several:
        return text
    if arguments.format == "json":  # an object a line
        return json.dumps(json.loads(text), ensure_ascii=False) + "\n"
    return f"==> {_shown(transcription.source)} <==\n{text}\n"


def _targets(paths: Sequence[Path], arguments: argparse.Namespace) -> dict[Path, Path]:
    """Where the text of each recording goes: under its name, and below a folder that was given under its way there.

    Raises:
        ArgumentError: two recordings with the same place.
    """
    folders = [folder for folder in map(_expanded, arguments.files) if folder.is_dir()]
    names: dict[Path, Path] = {}
    for path in paths:
        folder = next((folder for folder in folders if path.is_relative_to(folder)), path.parent)
        names[path] = path.relative_to(folder)
    plain = Counter(name.with_suffix("") for name in names.values())
    found: dict[Path, Path] = {}
    for path, name in names.items():
        stem = name if plain[name.with_suffix("")] > 1 else name.with_suffix("")  # talk.mp3 and talk.wav
        found[path] = arguments.out / stem.with_name(f"{stem.name}.{arguments.format}")
    if double := [target for target, count in Counter(found.values()).items() if count > 1]:
        first, second = [path for path, target in found.items() if target == double[0]][:2]
        raise ArgumentError(
            f"{first} and {second} would both be written to {double[0]}; give the folder that both lie in, or do them "
            "in two runs with other --out folders."
        )
    return found


def _expanded(argument: str) -> Path:
    return Path(os.path.expanduser(argument))  # noqa: PTH111  as the files were found


def _is_done(path: Path, target: Path) -> bool:
    """Whether `target` is there, and not older than the recording."""
    return target.is_file() and path.exists() and target.stat().st_mtime >= path.stat().st_mtime


def _write(target: Path, text: str) -> None:
    """Put a whole file in place at once.

    Raises:
        DataError: it cannot be written.
    """
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8", newline="")
        partial.replace(target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"{target} cannot be written: {reason}. Free some space or choose another folder.") from error
    finally:
        partial.unlink(missing_ok=True)


def _tell(errors: Sequence[tuple[Any, str]]) -> int:
    for _, reason in errors:
        print(reason, file=sys.stderr)
    return len(errors)


def _count(number: int) -> str:
    return f"{number:,} recording{'s' if number != 1 else ''}"


def _shown(path: Path) -> str:
    from multimodal.media.files import shown

    return shown(path)

"""`multimodal generate MODEL PROMPT...`: the text that follows a prompt, a translation, or how likely a text is.

Results go to stdout: of one prompt token by token as they come, of several one after the other, or with `--json` one
object a line. Ctrl-C ends it with what there is by then.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multimodal.cli import generating
from multimodal.errors import ArgumentError

if TYPE_CHECKING:
    from multimodal.generation.rows import Generated, Step
    from multimodal.models.encoder_decoder import EncoderDecoder
    from multimodal.models.language_model import LanguageModel

HELP = "continue a text, translate or summarise it, or score it"

_ADVICE = "give a text, - to read one from stdin, or --file with one on each line"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `run` takes."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="a model folder, or a published model such as hf:openai-community/gpt2")
    add("prompts", metavar="PROMPT", nargs="*", help="texts to continue; - reads one from stdin")
    add("--file", type=Path, metavar="FILE", help="more prompts, one on each line")
    generating.add_options(parser)
    add("--n-best", type=int, metavar="N", help="give the N best texts that --beams found")
    add("--chat", action="store_true", help="each prompt is a message to a chat model")
    add("--system", metavar="TEXT", help="the system message of --chat")
    add("--truncate", action="store_true", help="shorten prompts that are too long instead of refusing them")
    add("--draft", metavar="MODEL", help="faster: a smaller model with the same tokens guesses ahead; or lookup")
    add("--score", action="store_true", help="say how likely the texts are, instead of going on with them")
    add("--json", action="store_true", help="JSON Lines: one object for each prompt")
    add("--batch-size", type=int, default=8, metavar="N", help="prompts at a time (default: 8)")
    generating.add_device(parser)


def run(arguments: argparse.Namespace) -> int:
    """Generate, and print; the exit code."""
    options: Any = generating.options_of(arguments)
    if arguments.n_best is not None:
        options["n_best"] = arguments.n_best
    if arguments.batch_size < 1:
        raise ArgumentError(f"--batch-size is {arguments.batch_size}; it must be at least 1.")
    if arguments.system is not None and not arguments.chat:
        raise ArgumentError("--system is a message of a conversation; give --chat as well.")
    if arguments.score and (given := [*options, *(n for n in ("chat", "draft") if getattr(arguments, n))]):
        raise ArgumentError(f"--{given[0].replace('_', '-')} has no meaning with --score, which generates nothing.")
    texts = _texts(arguments)

    from multimodal.hub import load
    from multimodal.models.language_model import LanguageModel
    from multimodal.models.text.options import settings

    model: Any = load(arguments.model, device=arguments.device, dtype=arguments.dtype)
    _check(model, arguments)
    if arguments.score:
        return _score(model, texts, arguments)
    streams = settings(model.config.generation, model.tokenizer, options).beams is None
    options["truncate"] = arguments.truncate
    if arguments.draft:
        lookup = arguments.draft == "lookup"
        draft = "lookup" if lookup else load(arguments.draft, device=arguments.device, dtype=arguments.dtype)
        if not lookup and not isinstance(draft, type(model)):
            raise ArgumentError(f"--draft {arguments.draft} is a {type(draft).__name__}; it must be a LanguageModel.")
        options["draft"] = draft
    prompts: list[Any] = [_messages(text, arguments.system) for text in texts] if arguments.chat else texts
    if len(texts) == 1 and streams and not arguments.json:
        full = _print_pieces(_steps(model, prompts[0], options))
    else:
        full = _print_all(model, texts, prompts, options, arguments)
    if full:
        ends = "The text ends" if len(texts) == 1 else f"{full} of {len(texts)} texts end"
        most = f"{model.config.embedding.max_length:,} tokens"
        counted = ", the prompt's included" if isinstance(model, LanguageModel) else ""
        print(f"{ends} where the model can read no further: at {most}{counted}.", file=sys.stderr)
    return 0


def _texts(arguments: argparse.Namespace) -> list[str]:
    """What the command line, stdin and the file give.

    Raises:
        ArgumentError: nothing.
    """
    if arguments.prompts.count("-") > 1:
        raise ArgumentError("- stands for stdin, which can be read only once.")
    texts = [_stdin() if prompt == "-" else prompt for prompt in arguments.prompts]
    if arguments.file is not None:
        lines = arguments.file.read_bytes().decode("utf-8", errors="replace").split("\n")
        found = [line.rstrip("\r") for line in lines if line.strip()]
        if not found:
            raise ArgumentError(f"{arguments.file} has no prompts: all its lines are blank.")
        texts += found
    if not texts:
        raise ArgumentError(f"There is no prompt: {_ADVICE}.")
    return texts


def _stdin() -> str:
    return sys.stdin.buffer.read().decode("utf-8", errors="replace").removesuffix("\n")


def _check(model: Any, arguments: argparse.Namespace) -> None:
    """Refuse a model that cannot do what is asked for."""
    from multimodal.models.encoder_decoder import EncoderDecoder
    from multimodal.models.language_model import LanguageModel
    from multimodal.models.text.input import tokenizer_of

    kind = type(model).__name__
    if not isinstance(model, LanguageModel | EncoderDecoder):
        raise ArgumentError(f"{arguments.model} is a {kind}; generate needs a LanguageModel or an EncoderDecoder.")
    tokenizer_of(model)
    for name in ("chat", "score", "draft"):
        if getattr(arguments, name) and not isinstance(model, LanguageModel):
            raise ArgumentError(f"--{name} needs a LanguageModel, and {arguments.model} is an {kind}.")


def _messages(text: str, system: str | None) -> list[dict[str, str]]:
    first = [{"role": "system", "content": system}] if system is not None else []
    return [*first, {"role": "user", "content": text}]


def _steps(model: Any, prompt: Any, options: dict[str, Any]) -> Iterator[Step]:
    from multimodal.models.language_model import LanguageModel
    from multimodal.models.text.generation import stream_target, stream_text

    rest: Any = {name: value for name, value in options.items() if name not in ("draft", "truncate")}
    if isinstance(model, LanguageModel):
        reading = {"draft": options.get("draft"), "prefix": None, "truncate": options["truncate"]}
        return stream_text(model, prompt, **reading, options=rest)
    return stream_target(model, prompt, truncate=options["truncate"], options=rest)


def _print_pieces(steps: Iterator[Step]) -> int:
    """Print text as it comes, and end the line also when it is cut short; whether the model's room ended it, as 0 or 1.

    Whatever else ends a text was asked for.
    """
    finishes: list[Any] = []

    def pieces() -> Iterator[str]:
        for step in steps:
            finishes.append(step.finish)
            yield step.text

    generating.write_pieces(pieces())
    return int(finishes[-1:] == ["context"])


def _print_all(
    model: LanguageModel | EncoderDecoder,
    texts: Sequence[str],
    prompts: Sequence[Any],
    options: dict[str, Any],
    arguments: argparse.Namespace,
) -> int:
    """Print what each prompt gives as soon as those that go through the model with it are done.

    Returns how many ended because the model reads no more.
    """
    from multimodal.progress import track

    starts: Any = range(0, len(prompts), arguments.batch_size)
    if not sys.stdout.isatty():  # lines that appear in the terminal are progress enough
        starts = track(starts, len(starts), "generating")
    full = 0
    for start in starts:
        part = slice(start, start + arguments.batch_size)
        for text, found in zip(texts[part], model.complete(prompts[part], **options), strict=True):
            full += any(one.finish == "context" for one in found)
            if arguments.json:
                print(json.dumps({"prompt": text, "completions": [_plain(one) for one in found]}, ensure_ascii=False))
            else:
                print(*(generating.harmless(one.text or "") for one in found), sep="\n")
        sys.stdout.flush()
    return full


def _plain(one: Generated) -> dict[str, Any]:
    return {
        "text": one.text,
        "finish": one.finish,
        "tokens": len(one.ids),
        "logprob": round(sum(one.logprobs), 6),
    }


def _score(model: LanguageModel, texts: Sequence[str], arguments: argparse.Namespace) -> int:
    for start in range(0, len(texts), arguments.batch_size):
        part = texts[start : start + arguments.batch_size]
        scores = model.score(part)
        if start == 0 and not arguments.json:
            print("perplexity\tlogprob\ttokens\ttext")
        for text, found in zip(part, scores, strict=True):
            if arguments.json:
                record = {"text": text, "logprob": found.logprob, "perplexity": found.perplexity}
                tokens = {"tokens": found.tokens, "logprobs": [round(value, 6) for value in found.logprobs]}
                print(json.dumps({**record, **tokens}, ensure_ascii=False))
            else:
                shown = text if len(text) <= 60 else text[:59] + "…"
                shown = " ".join(generating.harmless(shown).split())
                print(f"{found.perplexity:.4g}\t{found.logprob:.4f}\t{len(found.ids)}\t{shown}")
        sys.stdout.flush()
    return 0

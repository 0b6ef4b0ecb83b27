"""`multimodal wer REF HYP`: how many words a recognizer got wrong, and which.

The score goes to stdout with the id of its normaliser, for people or with `--json` for programs; what casts doubt on it
goes to stderr.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from typing import TYPE_CHECKING, Any

from multimodal.errors import ArgumentError

if TYPE_CHECKING:
    from multimodal.data.speech.transcripts import Utterances
    from multimodal.metrics.speech import WordErrors

HELP = "count the words that a recognizer got wrong: word and character error rates"

SHOWN = 10  # confusions and speakers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `run` takes."""
    add = parser.add_argument
    files = "a file of lines, of lines 'id<TAB>text', a .trn, a table (.csv, .tsv, .jsonl), or a folder of .txt files"
    add("references", metavar="REF", help=f"what was said: {files}")
    add("hypotheses", metavar="HYP", help="what was heard: the same, or what transcribe wrote as json")
    add("--split", metavar="NAME", help="of a table REF: only the rows whose split is this")
    add("--normalizer", default="basic", metavar="NAME", help="basic (default), basic-split, letters or none")
    add("--alignment", action="store_true", help="also the words of every utterance with an error, side by side")
    add("--worst", type=int, default=3, metavar="N", help="utterances with most errors to show (default: 3)")
    add("--json", action="store_true", help="everything as one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Compare, and print; the exit code."""
    from multimodal.data.speech.transcripts import read_utterances
    from multimodal.metrics.normalizers import normalizer
    from multimodal.metrics.speech import doubts, word_error_rate

    if arguments.worst < 0:
        raise ArgumentError(f"--worst is {arguments.worst}; it must be at least 0.")
    try:
        normalizer(arguments.normalizer)
    except ValueError as error:
        raise ArgumentError(f"--normalizer: {error}") from None
    given = read_utterances(arguments.references, arguments.hypotheses, split=arguments.split)
    texts = given.references, given.hypotheses
    errors = word_error_rate(*texts, normalizer=arguments.normalizer, speakers=given.speakers)
    doubtful = [*_unmatched(given), *doubts(errors, *texts)]
    for sentence in doubtful:
        print(f"warning: {sentence}", file=sys.stderr)
    if arguments.json:
        print(json.dumps({**_plain(errors, given, arguments), "warnings": doubtful}, indent=2, ensure_ascii=False))
    else:
        _tell(errors, given, arguments)
    return 0


def _unmatched(given: Utterances) -> list[str]:
    found = []
    if given.missing:
        found.append(
            f"{len(given.missing)} of {len(given.ids)} references have no hypothesis (for example {given.missing[0]}); "
            "all their words count as left out."
        )
    if given.extra:
        found.append(f"{len(given.extra)} hypotheses have no reference (for example {given.extra[0]}): left out.")
    return found


def _tell(errors: WordErrors, given: Utterances, arguments: argparse.Namespace) -> None:
    low, high = errors.interval
    print(f"WER {errors.wer:.2%} (95% interval {low:.2%} to {high:.2%})  CER {errors.cer:.2%}")
    print(
        f"{errors.words:,} words in {errors.utterances:,} utterances: {errors.substitutions:,} taken for others, "
        f"{errors.deletions:,} left out, {errors.insertions:,} added; normaliser {errors.normalizer}"
    )
    if errors.speakers:
        print("speakers: " + "  ".join(f"{name} {rate:.1%}" for name, rate in list(errors.speakers.items())[:SHOWN]))
    if errors.confusions:
        often = (f"{a or '(nothing)'} > {b or '(nothing)'} {n}" for a, b, n in errors.confusions[:SHOWN])
        print("most often: " + "  ".join(often))
    for place in errors.worst(len(given.ids) if arguments.alignment else arguments.worst):
        print(f"\n{given.ids[place]}\n{errors.aligned[place]}")


def _plain(errors: WordErrors, given: Utterances, arguments: argparse.Namespace) -> dict[str, Any]:
    names = ("wer", "cer", "interval", "substitutions", "deletions", "insertions", "words", "utterances", "empty")
    worst = errors.worst(len(given.ids) if arguments.alignment else arguments.worst)
    return {
        **{name: _finite(getattr(errors, name)) for name in (*names, "normalizer")},
        "speakers": {name: _finite(rate) for name, rate in errors.speakers.items()},
        "confusions": [{"reference": a, "hypothesis": b, "times": n} for a, b, n in errors.confusions],
        "worst": [
            {
                "id": given.ids[place],
                "reference": given.references[place],
                "hypothesis": given.hypotheses[place],
                "errors": errors.aligned[place].errors,
                "alignment": [list(pair) for pair in errors.aligned[place].pairs],
            }
            for place in worst
        ],
    }


def _finite(value: Any) -> Any:
    """JSON knows no infinity, which the rate of references without a word is."""
    if isinstance(value, tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

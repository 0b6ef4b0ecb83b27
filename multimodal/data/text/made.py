"""Small sets of made-up sentences in the layouts of real ones: what the small forms of recipes and examples train on.

Each function writes the same bytes every time; the sentences follow a grammar of a few dozen words, so that a tiny
model learns in seconds what a large one learns of a language. Nobody wrote them: there is no source and no licence.

    write_stories       stories/train.txt, val.txt       two to four sentences a line
    write_reviews       reviews/train.tsv, val.tsv       text, label (good or bad)
    write_tagged        tagged/train.conll, val.conll    words with the tags of people and places
    write_questions     questions/train.json, val.json   SQuAD's format
    write_translations  pairs/train.en, train.fr, val.en, val.fr
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

NAMES = ("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Greta", "Hugo", "Ida", "Jonas", "Karla", "Leo")
PLACES = ("Paris", "Oslo", "Cairo", "Lima", "Tokyo", "Quito", "Delhi", "Rome", "Dublin", "Vienna")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
THINGS = ("ball", "book", "lamp", "cup", "kite", "drum", "boat", "hat")
COLOURS = ("red", "green", "blue", "white", "black", "yellow")
GOOD = ("wonderful", "funny", "brilliant", "moving", "clever", "charming", "fresh", "warm")
BAD = ("boring", "awful", "clumsy", "tired", "shallow", "noisy", "stale", "cold")
PARTS = ("plot", "music", "cast", "ending", "story", "picture", "pace", "script")
FRENCH_NOUNS = {
    "dog": ("m", "chien"), "cat": ("m", "chat"), "house": ("f", "maison"), "table": ("f", "table"),
    "book": ("m", "livre"), "flower": ("f", "fleur"), "garden": ("m", "jardin"), "car": ("f", "voiture"),
}  # fmt: skip
FRENCH_COLOURS = {
    "green": ("vert", "verte"), "white": ("blanc", "blanche"), "black": ("noir", "noire"), "blue": ("bleu", "bleue"),
}  # fmt: skip
FRENCH_VERBS = {"sees": "voit", "likes": "aime", "finds": "trouve", "draws": "dessine"}


def write_stories(folder: str | Path) -> Path:
    """A line for each story; what people have and where they go in one sentence returns in the next."""

    def story(draw: Random) -> str:
        name, other = draw.sample(NAMES, 2)
        thing, colour, place = draw.choice(THINGS), draw.choice(COLOURS), draw.choice(PLACES)
        more = [
            f"{name} gives the {colour} {thing} to {other}.",
            f"{other} likes the {colour} {thing}.",
            f"{name} takes the {thing} to {place}.",
        ]
        return " ".join([f"{name} has a {colour} {thing}.", *more[: draw.randint(1, 3)]])

    return _written(folder, {"train.txt": (_lines(story), 2500), "val.txt": (_lines(story), 250)})


def write_reviews(folder: str | Path) -> Path:
    """Reviews that praise two things or blame two."""

    def review(draw: Random) -> str:
        label = draw.choice(("good", "bad"))
        first, second = draw.sample(PARTS, 2)
        one, two = draw.sample(GOOD if label == "good" else BAD, 2)
        text = draw.choice((f"the {first} is {one} and the {second} {two}", f"a {one} {first} with a {two} {second}"))
        return f"{text}\t{label}"

    def table(count: int, draw: Random) -> str:
        return "text\tlabel\n" + _lines(review)(count, draw)

    return _written(folder, {"train.tsv": (table, 1200), "val.tsv": (table, 200)})


def write_tagged(folder: str | Path) -> Path:
    """Sentences with people (PER) and places (LOC), some of two words."""

    def sentence(draw: Random) -> str:
        person = [draw.choice(NAMES)] + ([draw.choice(("Berg", "Stone", "Rossi"))] if draw.random() < 0.5 else [])
        place = (["New"] if draw.random() < 0.3 else []) + [draw.choice(PLACES)]
        thing = f"the {draw.choice(COLOURS)} {draw.choice(THINGS)}".split()
        patterns = (
            (("PER", person), ("", ["took", *thing, "to"]), ("LOC", place), ("", ["."])),
            (("", ["In"]), ("LOC", place), ("", ["they", "gave", *thing, "to"]), ("PER", person), ("", ["."])),
            (("", [thing[0].title(), *thing[1:], "of"]), ("PER", person), ("", ["is", "still", "here", "."])),
        )
        rows = []
        for kind, words in draw.choice(patterns):
            for place_in, word in enumerate(words):
                rows.append(f"{word}\t{('I' if place_in else 'B') + '-' + kind if kind else 'O'}")
        return "\n".join(rows) + "\n"

    return _written(folder, {"train.conll": (_lines(sentence), 800), "val.conll": (_lines(sentence), 150)})


def write_questions(folder: str | Path) -> Path:
    """Who, what, where and when about a sentence that says all four."""

    def paragraph(draw: Random, number: int) -> dict[str, Any]:
        answers = {
            "Who bought something": draw.choice(NAMES),
            "What was bought": f"{draw.choice(COLOURS)} {draw.choice(THINGS)}",
            "Where was it": draw.choice(PLACES),
            "When was it": draw.choice(DAYS),
        }
        who, what, where, when = answers.values()
        context = draw.choice(
            (f"On {when} {who} bought a {what} in {where}.", f"In {where} {who} bought a {what} on {when}.")
        )
        question, answer = draw.choice(list(answers.items()))
        found = [{"text": answer, "answer_start": context.index(answer)}]
        return {"context": context, "qas": [{"id": f"q{number}", "question": f"{question}?", "answers": found}]}

    def document(count: int, draw: Random) -> str:
        paragraphs = [paragraph(draw, number) for number in range(count)]
        return json.dumps({"data": [{"title": "Purchases", "paragraphs": paragraphs}]}, indent=1)

    return _written(folder, {"train.json": (document, 1600), "val.json": (document, 200)})


def write_translations(folder: str | Path) -> Path:
    """English sentences and the French ones, in which colours follow their nouns and agree with them."""

    def pair(draw: Random) -> tuple[str, str]:
        english, french = [], []
        for definite in (True, False):
            noun, colour = draw.choice(list(FRENCH_NOUNS)), draw.choice(list(FRENCH_COLOURS))
            gender, name = FRENCH_NOUNS[noun]
            article = {"m": ("un", "le"), "f": ("une", "la")}[gender][definite]
            english.append(f"{'the' if definite else 'a'} {colour} {noun}")
            french.append(f"{article} {name} {FRENCH_COLOURS[colour][gender == 'f']}")
        verb = draw.choice(list(FRENCH_VERBS))
        return f"{english[0]} {verb} {english[1]}", f"{french[0]} {FRENCH_VERBS[verb]} {french[1]}"

    def side(which: int) -> Callable[[int, Random], str]:
        return lambda count, draw: "".join(pair(draw)[which] + "\n" for _ in range(count))

    files = {f"{split}.{end}": (side(which), count) for split, count in (("train", 2000), ("val", 150))
             for which, end in enumerate(("en", "fr"))}  # fmt: skip
    return _written(folder, files)


def _lines(make: Callable[[Random], str]) -> Callable[[int, Random], str]:
    return lambda count, draw: "".join(make(draw) + "\n" for _ in range(count))


def _written(folder: str | Path, files: dict[str, tuple[Callable[[int, Random], str], int]]) -> Path:
    """Write each file with its number of samples. Files of one split are drawn alike, so that their lines match."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, (make, count) in files.items():
        (folder / name).write_text(make(count, Random(name.partition(".")[0])), encoding="utf-8")
    return folder

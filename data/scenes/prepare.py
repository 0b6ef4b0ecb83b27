"""Drawn scenes with captions: shapes, colours, sizes, places, counts and relations; nothing is downloaded.

python data/scenes/prepare.py [OUT] [--train N] [--val N] [--test N] [--size PIXELS] [--seed N] [--questions]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from multimodal.data.chat.scene_questions import write_questions
from multimodal.data.download import exit_code
from multimodal.data.pairs.scenes import write_scenes
from multimodal.errors import ArgumentError


def main(argv: list[str] | None = None) -> int:
    """Write OUT/images and OUT/captions.jsonl, and with --questions the folder questions beside OUT."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    out = Path(__file__).parent / "images"
    parser.add_argument("out", nargs="?", type=Path, default=out, metavar="OUT", help="(default: images/ beside it)")
    parser.add_argument("--train", type=int, default=6000, metavar="N", help="pictures to train on (default: 6000)")
    parser.add_argument("--val", type=int, default=300, metavar="N", help="of the same combinations (default: 300)")
    parser.add_argument("--test", type=int, default=600, metavar="N", help="of unseen combinations (default: 600)")
    parser.add_argument("--size", type=int, default=64, metavar="PIXELS", help="side of the pictures (default: 64)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default: 0)")
    parser.add_argument(
        "--questions", action="store_true", help="write questions about them, too, into questions/ beside OUT"
    )
    arguments = vars(parser.parse_args(argv))
    asked = arguments.pop("questions")

    def prepare() -> Path:
        scenes = write_scenes(arguments.pop("out"), **arguments)
        return write_questions(scenes, scenes.with_name("questions"), seed=arguments["seed"]) if asked else scenes

    if asked and arguments["out"].name == "questions":
        parser.error("OUT is called questions, as the folder beside it that --questions writes; give it another name.")
    try:
        return exit_code(prepare)
    except ArgumentError as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())

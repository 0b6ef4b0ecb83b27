"""The tokenizers of CLIP, SigLIP and SigLIP 2 in transformers' folders: ids equal to transformers' own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from texts import CORPUS, NASTY, plain_ids, sentencepiece
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from multimodal.tokenizers.text_cleaning import cleaner
from multimodal.tokenizers.text_files import load_tokenizer
from multimodal.tokenizers.text_ranks import CLIP_PATTERN
from multimodal.tokenizers.text_siglip import prepare

transformers = pytest.importorskip("transformers")
TEXTS = (*NASTY, "a photo of a &amp; cat_dog", "Hello, WORLD! (don't)", "İSTANBUL ΟΔΟΣ", "日本語、テスト。", "_")
OWN = "</s>"  # in a text, transformers leaves out the space that begins what follows


def trained(folder: Path) -> dict[str, Any]:
    """The vocabulary and the merges of a BPE with a mark at each word's end."""
    tokenizer: Any = Tokenizer(models.BPE(end_of_word_suffix="</w>", continuing_subword_prefix=""))  # pyright: ignore
    alphabet = [chr(i) for i in range(33, 127)] + [chr(i) for i in range(161, 324) if i != 173]  # one for each byte
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(  # pyright: ignore
        [pre_tokenizers.Split(Regex(CLIP_PATTERN), "removed", invert=True), pre_tokenizers.ByteLevel(False)]
    )
    trainer = trainers.BpeTrainer(  # pyright: ignore
        vocab_size=600,
        end_of_word_suffix="</w>",
        initial_alphabet=alphabet,
        special_tokens=["<|startoftext|>", "<|endoftext|>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator([CORPUS.lower()], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    vocabulary = dict(model["vocab"])
    for letter in alphabet:
        vocabulary.setdefault(f"{letter}</w>", len(vocabulary))
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    lines = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *lines]) + "\n")
    return vocabulary


def test_clip(tmp_path: Path) -> None:
    trained(tmp_path / "two")
    (tmp_path / "two" / "tokenizer_config.json").write_text('{"tokenizer_class": "CLIPTokenizer"}')
    theirs = transformers.CLIPTokenizer.from_pretrained(tmp_path / "two")
    theirs.save_pretrained(tmp_path / "one")
    assert (tmp_path / "one" / "tokenizer.json").exists()
    for folder in ("one", "two"):
        ours = load_tokenizer(tmp_path / folder)
        for text in TEXTS:
            assert plain_ids(ours, text) == theirs(text).input_ids, text
        assert ours.pad_id == theirs.pad_token_id == ours.eos_id


@pytest.fixture
def siglip(tmp_path: Path) -> Path:
    sentencepiece(tmp_path / "spiece.model", "unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    transformers.SiglipTokenizer(str(tmp_path / "spiece.model")).save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def test_siglip(siglip: Path) -> None:
    theirs, ours = transformers.SiglipTokenizer.from_pretrained(siglip), load_tokenizer(siglip)
    for text in TEXTS:
        if OWN not in text:
            assert plain_ids(ours, text) == theirs(text).input_ids, text
    assert plain_ids(ours, "Hello, WORLD!") == plain_ids(ours, "hello world")
    assert ours.pad_id == ours.eos_id == theirs.pad_token_id == 1 and ours.max_length == 64
    ours.save(siglip / "ours")
    assert load_tokenizer(siglip / "ours").rows(TEXTS) == ours.rows(TEXTS)


def test_siglip_without_its_config(siglip: Path) -> None:
    ours = load_tokenizer(siglip)
    (siglip / "tokenizer_config.json").unlink()
    (siglip / "config.json").write_text('{"model_type": "siglip"}')
    assert load_tokenizer(siglip).rows(TEXTS) == ours.rows(TEXTS)


def test_a_tokenizer_json_beside_the_vocabulary_of_siglip(siglip: Path) -> None:
    ours = load_tokenizer(siglip)
    other = load_tokenizer(siglip)
    other.tokenizer.normalizer = None
    (siglip / "tokenizer.json").write_text(other.plain())
    assert load_tokenizer(siglip).rows(TEXTS) == ours.rows(TEXTS)  # transformers reads spiece.model alone


def gemma(folder: Path, name: str) -> Any:
    letters = sorted({*CORPUS, *CORPUS.lower()} - {" "})
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *letters])}
    vocabulary |= {f"<0x{byte:02X}>": len(vocabulary) + byte for byte in range(256)}
    theirs = getattr(transformers, name)(vocab=vocabulary, merges=[], add_bos_token=False, add_eos_token=True)
    theirs.save_pretrained(folder)
    return theirs


def test_siglip_2(tmp_path: Path) -> None:
    theirs = gemma(tmp_path, "Siglip2Tokenizer")
    ours = load_tokenizer(tmp_path)
    for text in TEXTS:
        assert plain_ids(ours, text) == theirs(text).input_ids, text
    assert ours.pad_id == 0


def test_gemmas_tokenizer_is_in_lower_case_for_siglip_2_alone(tmp_path: Path) -> None:
    gemma(tmp_path, "GemmaTokenizer")
    plain = load_tokenizer(tmp_path)
    assert plain_ids(plain, "THE") != plain_ids(plain, "the")
    (tmp_path / "config.json").write_text('{"model_type": "siglip"}')
    ours = load_tokenizer(tmp_path)
    assert plain_ids(ours, "THE, dog") == plain_ids(plain, "the, dog")


@pytest.mark.parametrize("cleaning", ["lower", "whitespace", "canonicalize"])
def test_inside_a_tokenizer_as_before_it(cleaning: Any) -> None:
    tokenizer: Any = Tokenizer(models.BPE())  # pyright: ignore
    prepare(tokenizer, cleaning, underscore=" ")
    for text in ("  A  photo_of,\na CAT!  ", "(x) [y] {z} #1 @home ~50% ^a\\b`c|d", "Ünïcödé — ¿q?", ""):
        assert tokenizer.normalizer.normalize_str(text) == cleaner(cleaning)(text), text
    prepare(other := Tokenizer(models.BPE()), None)  # pyright: ignore
    assert other.normalizer is None

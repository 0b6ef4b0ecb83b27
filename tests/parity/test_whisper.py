"""Whisper of transformers through folders: equal logits there and back, tokenizers, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from folders import exported, load, published, random_model, rewrite
from tiny_speech import clips, tiny_whisper, transformers_config, whisper_tokenizer

import multimodal as mm
from multimodal.errors import ArgumentError, DataError
from multimodal.hub.transformers_export import save_transformers
from multimodal.models.speech_recognizer import SpeechRecognizer

transformers = pytest.importorskip("transformers")

LIKE = tiny_whisper(positions=50, length=24)
SHAPES = {
    "whisper": {},
    "distilled: two decoder layers": {"encoder_layers": 4, "decoder_layers": 2},
    "turbo: 128 mels": {"num_mel_bins": 128, "encoder_layers": 5, "decoder_layers": 4},
    "other widths": {"encoder_attention_heads": 2, "encoder_ffn_dim": 40, "decoder_ffn_dim": 56},
}


def whisper(**fields: Any) -> Any:
    theirs = random_model(transformers.WhisperForConditionalGeneration, transformers_config(LIKE, **fields))
    theirs.model.encoder.embed_positions.weight.data.add_(0.01)  # some were trained on
    return theirs


def both_logits(ours: SpeechRecognizer, theirs: Any) -> tuple[torch.Tensor, torch.Tensor]:
    mel, ids = clips(mels=ours.features.mels, frames=100), torch.randint(51_865, (2, 7))
    return ours(mel, ids), theirs(input_features=mel, decoder_input_ids=ids).logits


@torch.no_grad()
@pytest.mark.parametrize("fields", SHAPES.values(), ids=SHAPES.keys())
def test_logits_there_and_back(fields: dict[str, Any], tmp_path: Path, equal: Any) -> None:
    theirs = whisper(**fields)
    ours = published(theirs, tmp_path / "read")
    assert type(ours) is SpeechRecognizer and ours.tokenizer is None
    equal(*both_logits(ours, theirs))
    equal(*both_logits(ours, exported(ours, theirs, tmp_path)))
    assert load(tmp_path / "back").config == ours.config


@torch.no_grad()
def test_a_model_without_its_head(tmp_path: Path, equal: Any) -> None:
    theirs = whisper()
    theirs.model.save_pretrained(tmp_path)
    equal(*both_logits(load(tmp_path), theirs))


@torch.no_grad()
def test_half_precision_positions_are_kept(tmp_path: Path, equal: Any) -> None:
    """As published: the sinusoids are rounded, so that their formula would give other outputs."""
    theirs = whisper().half().float()
    assert not torch.equal(theirs.model.encoder.embed_positions.weight, whisper().model.encoder.embed_positions.weight)
    equal(*both_logits(published(theirs, tmp_path), theirs))


def write_full(folder: Path, vocabulary: Any = "multilingual") -> SpeechRecognizer:
    """A folder with everything that a Whisper on the hub has."""
    model = tiny_whisper(vocabulary, positions=50, alignment_heads=((1, 0), (1, 3)))
    save_transformers(model, folder)
    return model


@pytest.mark.parametrize("vocabulary", ["v3", "en"])
def test_a_whole_folder_there_and_back(vocabulary: Any, tmp_path: Path) -> None:
    model = write_full(tmp_path / "theirs", vocabulary)
    found = load(tmp_path / "theirs")
    assert found.config == model.config and found.tokens == model.tokens
    assert all(torch.equal(tensor, found.state_dict()[name]) for name, tensor in model.state_dict().items())
    save_transformers(found, tmp_path / "back")
    for path in (tmp_path / "theirs").iterdir():
        assert path.read_bytes() == (tmp_path / "back" / path.name).read_bytes(), path.name
    mm.save(found, tmp_path / "ours")
    again = load(tmp_path / "ours")
    assert again.config == model.config and again.tokens == model.tokens
    assert "automatic-speech-recognition" in (tmp_path / "ours" / "README.md").read_text()


def test_transformers_reads_what_we_write(tmp_path: Path) -> None:
    model = write_full(tmp_path)
    theirs = transformers.WhisperForConditionalGeneration.from_pretrained(tmp_path)
    processor = transformers.WhisperProcessor.from_pretrained(tmp_path)
    tokens, generation = model.tokens, theirs.generation_config
    assert tokens is not None
    text = " Ein Satz, and another one: 42 ♪"
    ids = processor.tokenizer(text, add_special_tokens=False).input_ids
    assert ids == whisper_tokenizer().rows([text], special=False)[0]
    assert processor.tokenizer.decode(ids) == text
    assert processor.feature_extractor.feature_size == 80 and processor.feature_extractor.chunk_length == 1
    assert generation.alignment_heads == [[1, 0], [1, 3]] and generation.is_multilingual
    assert generation.lang_to_id["<|de|>"] == tokens.languages["de"] and len(generation.lang_to_id) == 99
    assert generation.no_timestamps_token_id == tokens.no_timestamps == tokens.timestamp_begin - 1
    found = theirs.generate(clips(1, frames=100), language="de", task="translate", max_new_tokens=3, do_sample=False)
    assert found.shape[1] >= 3 and not set(found[0].tolist()) & set(model.config.suppress)


def test_older_files_of_the_tokenizer(tmp_path: Path) -> None:
    """vocab.json and merges.txt with added_tokens.json, where no-speech has another name and times are left out."""
    tokenizer = whisper_tokenizer()
    plain = json.loads(tokenizer.plain())
    folder = tmp_path / "theirs"
    write_full(folder)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "WhisperTokenizer"}')
    end = tokenizer.id_of("<|endoftext|>")
    vocabulary = {**plain["model"]["vocab"], "<|endoftext|>": end}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    merges = "\n".join(" ".join(pair) for pair in plain["model"]["merges"])
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    names = [tokenizer.token_of(id) for id in range(end + 1, tokenizer.id_of("<|0.00|>"))]
    names = [name.replace("<|nospeech|>", "<|nocaptions|>") for name in names]
    (folder / "added_tokens.json").write_text(json.dumps({name: end + 1 + i for i, name in enumerate(names)}))
    model = load(folder)
    assert model.tokens == tiny_whisper(positions=50).tokens
    for text in (" Ein Satz, and another: 42 ♪", "don't   stop\n\nnow", "日本語 text", " naïve 🎵"):
        ids = model.tokenizer.rows([text], special=False)[0]
        assert ids == tokenizer.rows([text], special=False)[0] and model.tokenizer.decode(ids) == text
    assert model.tokenizer.decode([*ids, model.tokens.timestamp_begin + 3]) == text


@torch.no_grad()
def test_the_names_of_tied_weights(tmp_path: Path, equal: Any) -> None:
    theirs = whisper()
    theirs.save_pretrained(tmp_path)
    rewrite(tmp_path, more={"proj_out.weight": theirs.proj_out.weight.data})
    equal(*both_logits(load(tmp_path), theirs))


@pytest.mark.parametrize(
    ("file", "fields", "words"),
    [
        ("config.json", {"tie_word_embeddings": False}, "tie_word_embeddings is False; only True"),
        ("config.json", {"architectures": ["WhisperForAudioClassification"]}, "WhisperForConditionalGeneration"),
        ("config.json", {"activation_function": "mish"}, "activation_function is 'mish'"),
        ("config.json", {"num_mel_bins": 0}, "num_mel_bins is 0"),
        ("preprocessor_config.json", {"feature_size": 128}, "feature_size is 128; only 80"),
        ("preprocessor_config.json", {"sampling_rate": 8000}, "sampling_rate is 8000; only 16000"),
        ("generation_config.json", {"alignment_heads": [[7, 0]]}, "alignment_heads names head 0 of layer 7"),
        ("generation_config.json", {"alignment_heads": [3]}, "alignment_heads is .*pairs"),
        ("generation_config.json", {"suppress_tokens": [-1]}, "suppress_tokens is .*ids from 0 to 51,864"),
    ],
)
def test_what_cannot_be_done(file: str, fields: dict[str, Any], words: str, tmp_path: Path) -> None:
    write_full(tmp_path)
    path = tmp_path / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    with pytest.raises(DataError, match=words):
        load(tmp_path)


@torch.no_grad()
def test_decoding_with_a_cache_and_padding(tmp_path: Path, equal: Any) -> None:
    theirs = whisper()
    ours, mel, ids = published(theirs, tmp_path), clips(frames=100), torch.randint(51_865, (2, 9))
    keep = torch.arange(9) < torch.tensor([9, 4])[:, None]
    expected = theirs(input_features=mel, decoder_input_ids=ids, decoder_attention_mask=keep.long()).logits
    context, cache, found = ours.encode(mel), ours.decoder.new_cache(2, 9), []
    equal(ours.output(ours.decode(ids, context, decoder_keep=keep))[keep], expected[keep])
    for part, real in zip(ids.split([4, 1, 4], dim=1), keep.split([4, 1, 4], dim=1), strict=True):
        found.append(ours.output(ours.decode(part, context, cache=cache, decoder_keep=real)))
    equal(torch.cat(found, dim=1)[keep], expected[keep])


@torch.no_grad()
def test_half_precision_listens_to_single(tmp_path: Path) -> None:
    whisper().save_pretrained(tmp_path)
    model = mm.load(tmp_path, device="cpu", dtype="bfloat16")
    assert isinstance(model, SpeechRecognizer)
    mel = model.features(torch.randn(1, 16_000))
    exact = load(tmp_path).encode(mel)
    assert (model.encode(mel).float() - exact).abs().max() < 0.05 * exact.abs().max()


@pytest.mark.parametrize("name", ["turbo", "openai/whisper-large-v3-turbo", "whisper-large-v3-turbo"])
def test_openai_names_lead_to_the_hub(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArgumentError, match="Did you mean 'hf:openai/whisper-large-v3-turbo'"):
        load(Path(name))


@pytest.mark.parametrize(
    ("name", "words"), [("large-v3-turbo.pt", "'hf:openai/whisper-large-v3-turbo'"), ("mine.pt", "safetensors")]
)
def test_a_pickle_is_refused_unread(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'echo read > read'\ntR.")
    with pytest.raises(DataError, match=f"is a pickle, which can run code.*{words}"):
        load(tmp_path / name)
    write_full(tmp_path / "folder")
    (tmp_path / "folder" / "model.safetensors").rename(tmp_path / "folder" / "pytorch_model.bin")
    with pytest.raises(DataError, match="weights as a pickle"):
        load(tmp_path / "folder")

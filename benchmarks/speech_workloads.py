"""The workloads of `speech.py`: each function makes, for one library, the step that is timed.

The models are folders that were written for transformers, with random weights; every library reads the same. No text
ends by itself, or has a time in it but the first, so that all have the same length.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import Step
from speech_peers import NEW, faster_whisper, openai_model, openai_whisper, transformers

INPUTS = 3  # windows that take turns
SECONDS = 30  # of a window


def write_model(folder: Path, size: str, length: int = 448) -> None:
    """A Whisper of the dimensions of `size` in transformers' form, which writes up to `length` / 2 tokens."""
    from whisper import __file__ as installed
    from whisper.tokenizer import LANGUAGES

    from multimodal.hub.transformers_export import save_transformers
    from multimodal.models.speech.tokens import suppressed, suppressed_first
    from multimodal.presets import whisper
    from multimodal.tokenizers.text_ranks import load_tiktoken, whisper_tokens

    config = whisper(size)
    newer = config.embedding.vocabulary == 51_866  # a hundredth language
    special = whisper_tokens(list(LANGUAGES)[: 100 if newer else 99])
    assets = Path(installed).parent / "assets"
    tokenizer = load_tiktoken(assets / "multilingual.tiktoken", special=special, max_length=448)
    config = replace(config, embedding=replace(config.embedding, max_length=length))
    config = replace(config, suppress=suppressed(tokenizer), suppress_first=suppressed_first(tokenizer))
    torch.manual_seed(0)
    model: Any = config.build(tokenizer)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:  # each sound and each token before changes what comes next
                wide = 2.0 if ".cross." in name or ".position." in name else 1.0
                parameter.normal_(std=wide / parameter.shape[-1] ** 0.5)
        # Every state has this direction in it, and the end and the times point away from it.
        away = model.decoder.norm.bias.normal_()
        for ids in (model.tokens.eot, slice(model.tokens.timestamp_begin, None)):
            model.embedding.words.weight[ids] = -20.0 * away / len(away)
    save_transformers(model, folder)


def spectrograms(mels: int, count: int = INPUTS) -> torch.Tensor:
    """Windows (n, m, t) of noise, about as loud as Whisper's; the same in every process."""
    return 0.5 * torch.randn(count, mels, 100 * SECONDS, generator=torch.Generator().manual_seed(1))


def writing(folder: str, library: str, beams: int | None = None, dtype: str = "float32") -> Step:
    """A step encodes one window of 30 s and writes `NEW` tokens; it returns their ids."""
    makers = {"openai-whisper": openai_whisper, "transformers": transformers, "faster-whisper": faster_whisper}
    write, windows, turn = makers.get(library, ours)(folder, beams, dtype), spectrograms(80), iter(range(10**9))

    def step() -> torch.Tensor:
        ids = write(windows[next(turn) % INPUTS][None])
        assert len(ids) == NEW, f"{library} wrote {len(ids)} tokens"
        return torch.tensor(ids)

    return step


def ours(folder: str, beams: int | None, dtype: str) -> Any:
    from multimodal.hub import load
    from multimodal.models.speech.decoding import DecodingConfig, decode_windows

    model: Any = load(folder, dtype=dtype)
    config = DecodingConfig(language="en", timestamps=False, beams=beams, max_new_tokens=NEW)

    @torch.inference_mode()
    def write(mel: torch.Tensor) -> list[int]:
        return list(decode_windows(model, model.encode(mel), config)[0].ids)

    return write


def forced(folder: str, library: str, dtype: str = "float32") -> Step:
    """A step encodes one window and reads a given text; it returns the logits after its last token.

    What bf16 is held to: it chooses other tokens than float32 where two are nearly as likely, and from there on the
    texts differ.
    """
    mel, ids = spectrograms(80)[:1], torch.arange(1000, 1000 + NEW)[None]
    if library == "openai-whisper":
        theirs = openai_model(folder)
        return torch.inference_mode()(lambda: theirs(mel, ids)[:, -1])
    from multimodal.hub import load

    model: Any = load(folder, dtype=dtype)
    return torch.inference_mode()(lambda: model(mel, ids)[:, -1])


def recording(folder: str, batch_size: int | None, dtype: str = "auto") -> Step:
    """A step transcribes four minutes of bursts of noise, one window at a time or several; it returns 0.

    What random weights write is never trusted, so windows of a batch are verified, but not decoded again.
    """
    from multimodal.hub import load
    from multimodal.models.speech import batched

    decoder: Any = batched._Decoder
    verify = decoder._suspicion
    decoder._suspicion = lambda *given: verify(*given) and None
    model: Any = load(folder, dtype=dtype)
    wave = bursts(240)
    options: dict[str, Any] = {"language": "en", "temperatures": 0.0, "condition": False}
    options |= {"logprob_threshold": None, "compression_threshold": None, "no_speech_threshold": None}

    def step() -> torch.Tensor:
        found = model.transcribe(wave, batch_size=batch_size, **options)
        assert {segment.decoded for segment in found.segments} == {"sequential" if batch_size == 1 else "batched"}
        assert 8 <= len(found.segments) <= 10 and all(len(segment.ids) > 90 for segment in found.segments)
        return torch.zeros(1)

    return step


def bursts(seconds: int, rate: int = 16_000) -> np.ndarray:
    """Noise that comes and goes as speech does: parts of a few seconds, and pauses between them."""
    random = np.random.default_rng(3)
    wave = 0.1 * random.standard_normal(seconds * rate).astype(np.float32)
    time = np.arange(seconds * rate) / rate
    syllables = 0.5 + 0.5 * np.sin(2 * np.pi * 4 * time)
    return (wave * syllables * (time % 7.5 < 6.5)).astype(np.float32)


def windows(folder: str, count: int = 32) -> Step:
    """On a GPU: a step encodes `count` windows and writes `NEW` tokens for each, in bf16; it returns their ids."""
    from multimodal.hub import load
    from multimodal.models.speech.decoding import DecodingConfig, decode_windows

    model: Any = load(folder, device="cuda", dtype="bfloat16")
    mel = spectrograms(model.config.features.mels, count).to("cuda")
    config = DecodingConfig(language="en", timestamps=False, max_new_tokens=NEW)

    @torch.inference_mode()
    def step() -> torch.Tensor:
        return torch.tensor([one.ids for one in decode_windows(model, model.encode(mel), config)])

    return step

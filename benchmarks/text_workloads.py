"""The workloads of `text.py`: each function makes, for one library, the step that is timed.

The models are folders that transformers wrote; every library reads the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import Step
from torch.nn import functional as F

PROMPT, NEW = 32, 48  # tokens
INPUTS = 3  # inputs that take turns


def ids(vocabulary: int, *shape: int) -> list[torch.Tensor]:
    """Random ids, the same in every process; not the first thousand, among which special tokens are."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(1000, vocabulary, shape, generator=generator) for _ in range(INPUTS)]


def documents(vocabulary: int, count: int = 64) -> list[list[int]]:
    """Documents of lognormal length: 60 tokens in the mean, from 4 to 256."""
    random = np.random.default_rng(2)
    lengths = np.clip(random.lognormal(np.log(60) - 0.5 * 0.75**2, 0.75, count), 4, 256).astype(int)
    return [random.integers(1000, vocabulary, length).tolist() for length in lengths]


def decoding(folder: str, library: str, batch: int, dtype: str = "float32") -> Step:
    """A step goes on from one batch of prompts; it returns the new ids."""
    if library == "ctranslate2":
        return _ctranslate2(folder, batch, dtype)
    inputs, turn = ids(50_257, batch, PROMPT), iter(range(10**9))
    model = _model(folder, library, dtype, "AutoModelForCausalLM")
    if library == "transformers":
        options = {"max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": False, "pad_token_id": 0}

        def step() -> torch.Tensor:
            prompt = inputs[next(turn) % INPUTS]
            with torch.inference_mode():
                return model.generate(prompt, attention_mask=torch.ones_like(prompt), **options)[:, PROMPT:]

        return step
    return _completing(model, inputs)


def _completing(model: Any, inputs: list[torch.Tensor]) -> Step:
    """Our models go on from one batch of `inputs` after the other."""
    from multimodal.generation.config import GenerationConfig

    turn = iter(range(10**9))
    config = GenerationConfig(max_new_tokens=NEW)  # no end ids: every row goes to the end

    def step() -> torch.Tensor:
        rows = model.complete(inputs[next(turn) % INPUTS].tolist(), config=config)
        return torch.tensor([row[0].ids for row in rows])

    return step


def quiet() -> None:
    """Without transformers' bars and reports, which would stand between the tables."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()


def _model(folder: str, library: str, dtype: str, theirs: str) -> Any:
    """The model in `folder` as the library reads it; `theirs`: the class of transformers."""
    if library == "transformers":
        import transformers

        quiet()
        return getattr(transformers, theirs).from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
    from multimodal.hub import load

    return load(folder, dtype=dtype)


def _generator(folder: str, dtype: str) -> Any:
    import ctranslate2

    converted = Path(folder).with_name(f"{Path(folder).name}-ctranslate2")
    return ctranslate2.Generator(str(converted), compute_type=dtype, intra_threads=torch.get_num_threads())


def _ctranslate2(folder: str, batch: int, dtype: str) -> Step:
    theirs = _generator(folder, dtype)
    prompts = [[[f"t{i}" for i in row] for row in part.tolist()] for part in ids(50_257, batch, PROMPT)]
    turn = iter(range(10**9))
    options = {"max_length": NEW, "min_length": NEW, "sampling_topk": 1, "include_prompt_in_result": False}

    def step() -> torch.Tensor:
        rows = theirs.generate_batch(prompts[next(turn) % INPUTS], **options)
        return torch.tensor([row.sequences_ids[0] for row in rows])

    return step


def forced(folder: str, library: str, dtype: str = "float32") -> Step:
    """A step reads one batch of given texts; it returns the logits after their last tokens.

    What bf16 and int8 are held to: they choose other tokens than float32 where two are nearly as likely, and from there
    on the texts differ.
    """
    text = ids(50_257, 8, PROMPT)[0]
    if library == "ctranslate2":
        theirs = _generator(folder, dtype)
        logits = theirs.forward_batch([[f"t{i}" for i in row] for row in text.tolist()])
        return lambda: torch.from_numpy(np.array(logits))[:, -1]
    model = _model(folder, library, dtype, "AutoModelForCausalLM")
    if library == "transformers":
        return torch.inference_mode()(lambda: model(text).logits[:, -1])
    return torch.inference_mode()(lambda: model(text)[:, -1])


def forced_target(folder: str, library: str, dtype: str = "float32") -> Step:
    """A step reads one batch of given sources and targets; it returns the logits after the targets' last tokens."""
    source, target = ids(32_000, 8, 2 * PROMPT)[0], ids(32_000, 8, PROMPT)[1]
    model = _model(folder, library, dtype, "AutoModelForSeq2SeqLM")
    if library == "transformers":
        return torch.inference_mode()(lambda: model(input_ids=source, decoder_input_ids=target).logits[:, -1])
    return torch.inference_mode()(lambda: model(source, target)[:, -1])


def encoding(folder: str, library: str, dtype: str = "float32") -> Step:
    """A step embeds 64 documents; it returns the mean of each one's hidden states."""
    rows = documents(30_522)
    model = _model(folder, library, dtype, "AutoModel")
    if library == "transformers":
        length = max(map(len, rows))
        padded = torch.tensor([row + [0] * (length - len(row)) for row in rows])
        keep = torch.arange(length) < torch.tensor([len(row) for row in rows])[:, None]

        def step() -> torch.Tensor:
            with torch.inference_mode():
                hidden = model(padded, attention_mask=keep.long()).last_hidden_state
                return (hidden * keep[..., None]).sum(1) / keep.sum(1, keepdim=True)

        return step
    return lambda: torch.as_tensor(model.embed(rows, normalize=False))


def training(folder: str, library: str, amp: bool = False) -> Step:
    """A step is forward, loss, backward and AdamW; it returns the loss before the update."""
    inputs, turn = ids(50_257, 8, 257), iter(range(10**9))
    model = _model(folder, library, "float32", "AutoModelForCausalLM").train()
    if library == "transformers":
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.1)

        def loss_of(row: torch.Tensor) -> torch.Tensor:
            logits = model(row[:, :-1]).logits
            return F.cross_entropy(logits.flatten(0, 1).float(), row[:, 1:].flatten())
    else:
        from multimodal.losses import chunked_cross_entropy
        from multimodal.tasks.optimizer import OptimizerConfig, adamw

        optimizer = adamw([{"params": list(model.parameters())}], OptimizerConfig(lr=1e-5, weight_decay=0.1))

        def loss_of(row: torch.Tensor) -> torch.Tensor:
            hidden = model.hidden(row[:, :-1])
            return chunked_cross_entropy(hidden.flatten(0, 1), model.output_weight, row[:, 1:].flatten())

    def step() -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=amp):
            loss = loss_of(inputs[next(turn) % INPUTS])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    return step


def translating(folder: str, library: str, batch: int, dtype: str = "float32") -> Step:
    """A step writes the targets of one batch of sources; it returns the new ids."""
    inputs, turn = ids(32_000, batch, 2 * PROMPT), iter(range(10**9))
    model = _model(folder, library, dtype, "AutoModelForSeq2SeqLM")
    if library == "transformers":
        options = {"max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": False}

        def step() -> torch.Tensor:
            source = inputs[next(turn) % INPUTS]
            with torch.inference_mode():
                return model.generate(source, attention_mask=torch.ones_like(source), **options)[:, 1:]

        return step
    return _completing(model, inputs)

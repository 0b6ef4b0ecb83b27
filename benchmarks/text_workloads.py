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
    if library == "transformers":
        from transformers import AutoModelForCausalLM

        theirs: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
        options = {"max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": False, "pad_token_id": 0}

        def step() -> torch.Tensor:
            prompt = inputs[next(turn) % INPUTS]
            with torch.inference_mode():
                return theirs.generate(prompt, attention_mask=torch.ones_like(prompt), **options)[:, PROMPT:]

        return step
    from multimodal.generation.config import GenerationConfig
    from multimodal.hub import load

    ours: Any = load(folder, dtype=dtype)
    config = GenerationConfig(max_new_tokens=NEW)  # no end ids: every row goes to the end

    def ours_step() -> torch.Tensor:
        rows = ours.complete(inputs[next(turn) % INPUTS].tolist(), config=config)
        return torch.tensor([row[0].ids for row in rows])

    return ours_step


def _ctranslate2(folder: str, batch: int, dtype: str) -> Step:
    import ctranslate2

    converted = Path(folder).with_name(f"{Path(folder).name}-ctranslate2")
    theirs = ctranslate2.Generator(str(converted), compute_type=dtype, intra_threads=torch.get_num_threads())
    prompts = [[[f"t{i}" for i in row] for row in part.tolist()] for part in ids(50_257, batch, PROMPT)]
    turn = iter(range(10**9))
    options = {"max_length": NEW, "min_length": NEW, "sampling_topk": 1, "include_prompt_in_result": False}

    def step() -> torch.Tensor:
        rows = theirs.generate_batch(prompts[next(turn) % INPUTS], **options)
        return torch.tensor([row.sequences_ids[0] for row in rows])

    return step


def encoding(folder: str, library: str, dtype: str = "float32") -> Step:
    """A step embeds 64 documents; it returns the mean of each one's hidden states."""
    rows = documents(30_522)
    if library == "transformers":
        from transformers import AutoModel

        theirs: Any = AutoModel.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
        length = max(map(len, rows))
        padded = torch.tensor([row + [0] * (length - len(row)) for row in rows])
        keep = torch.arange(length) < torch.tensor([len(row) for row in rows])[:, None]

        def step() -> torch.Tensor:
            with torch.inference_mode():
                hidden = theirs(padded, attention_mask=keep.long()).last_hidden_state
                return (hidden * keep[..., None]).sum(1) / keep.sum(1, keepdim=True)

        return step
    from multimodal.hub import load

    ours: Any = load(folder, dtype=dtype)
    return lambda: torch.as_tensor(ours.embed(rows, normalize=False))


def training(folder: str, library: str, amp: bool = False) -> Step:
    """A step is forward, loss, backward and AdamW; it returns the loss before the update."""
    inputs, turn = ids(50_257, 8, 257), iter(range(10**9))
    model: Any
    if library == "transformers":
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.1)

        def loss_of(row: torch.Tensor) -> torch.Tensor:
            logits = model(row[:, :-1]).logits
            return F.cross_entropy(logits.flatten(0, 1).float(), row[:, 1:].flatten())
    else:
        from multimodal.hub import load
        from multimodal.losses import chunked_cross_entropy
        from multimodal.tasks.optimizer import OptimizerConfig, adamw

        model = load(folder, dtype="float32").train()
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
    if library == "transformers":
        from transformers import AutoModelForSeq2SeqLM

        theirs: Any = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
        options = {"max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": False}

        def step() -> torch.Tensor:
            source = inputs[next(turn) % INPUTS]
            with torch.inference_mode():
                return theirs.generate(source, attention_mask=torch.ones_like(source), **options)[:, 1:]

        return step
    from multimodal.generation.config import GenerationConfig
    from multimodal.hub import load

    ours: Any = load(folder, dtype=dtype)
    config = GenerationConfig(max_new_tokens=NEW)

    def ours_step() -> torch.Tensor:
        rows = ours.complete(inputs[next(turn) % INPUTS].tolist(), config=config)
        return torch.tensor([row[0].ids for row in rows])

    return ours_step

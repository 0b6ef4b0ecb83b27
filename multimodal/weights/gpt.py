"""GPT and GPT-2 of transformers: a `LanguageModel`, queries, keys and values fused, all weights stored as (in, out)."""

from __future__ import annotations

from multimodal.weights.keymap import Ignore, Row, Table, layer

_OURS = "backbone.blocks.{i}"


def gpt1(*, tied: bool) -> Table:
    """The table of `OpenAIGPTLMHeadModel`; `tied`: the output layer is the word table."""
    return _gpt(words="tokens_embed", positions="positions_embed", tied=tied)


def gpt2(*, tied: bool) -> Table:
    """The table of `GPT2LMHeadModel`; `tied`: the output layer is the word table."""
    table = _gpt(words="wte", positions="wpe", tied=tied)
    return Table(*table.rows, *layer("transformer.ln_f", "backbone.norm"))


def _gpt(*, words: str, positions: str, tied: bool) -> Table:
    block = "transformer.h.{i}"
    return Table(
        *word_table(f"transformer.{words}", tied=tied),
        Row(f"transformer.{positions}.weight", "embedding.placement.position.weight"),
        *layer(f"{block}.ln_1", f"{_OURS}.attention_branch.norm"),
        *layer(f"{block}.attn.c_attn", f"{_OURS}.attention.{{q,k,v}}", transpose=True),
        *layer(f"{block}.attn.c_proj", f"{_OURS}.attention.out", transpose=True),
        *layer(f"{block}.ln_2", f"{_OURS}.mlp_branch.norm"),
        *layer(f"{block}.mlp.c_fc", f"{_OURS}.mlp.up", transpose=True),
        *layer(f"{block}.mlp.c_proj", f"{_OURS}.mlp.down", transpose=True),
        Ignore(f"{block}.attn.{{bias,masked_bias}}", "causal masks that older versions stored"),
    )


def word_table(words: str, *, tied: bool, head: str = "lm_head") -> tuple[Row, ...]:
    """The rows of the word table and of the output layer, which are one tensor where they are `tied`."""
    if tied:
        return (Row(f"{{{words},{head}}}.weight", "embedding.words.weight"),)
    return Row(f"{words}.weight", "embedding.words.weight"), Row(f"{head}.weight", "head.weight")

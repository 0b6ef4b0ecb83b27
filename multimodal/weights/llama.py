"""Llama of transformers, and the families with its names: Mistral, Qwen2. A `LanguageModel` without position table."""

from __future__ import annotations

from multimodal.weights.gpt import word_table
from multimodal.weights.keymap import Ignore, Row, Table, layer

_OURS, _THEIRS = "backbone.blocks.{i}", "model.layers.{i}"


def llama(*, tied: bool) -> Table:
    """The table of `LlamaForCausalLM`; `tied`: the output layer is the word table."""
    return Table(
        *word_table("model.embed_tokens", tied=tied),
        Row(f"{_THEIRS}.input_layernorm.weight", f"{_OURS}.attention_branch.norm.weight"),
        *layer(f"{_THEIRS}.self_attn.q_proj", f"{_OURS}.attention.q"),
        *layer(f"{_THEIRS}.self_attn.k_proj", f"{_OURS}.attention.k"),
        *layer(f"{_THEIRS}.self_attn.v_proj", f"{_OURS}.attention.v"),
        *layer(f"{_THEIRS}.self_attn.o_proj", f"{_OURS}.attention.out"),
        Row(f"{_THEIRS}.post_attention_layernorm.weight", f"{_OURS}.mlp_branch.norm.weight"),
        *layer(f"{_THEIRS}.mlp.gate_proj", f"{_OURS}.mlp.gate"),
        *layer(f"{_THEIRS}.mlp.up_proj", f"{_OURS}.mlp.up"),
        *layer(f"{_THEIRS}.mlp.down_proj", f"{_OURS}.mlp.down"),
        Row("model.norm.weight", "backbone.norm.weight"),
        Ignore(f"{_THEIRS}.self_attn.rotary_emb.inv_freq", "rotary frequencies, computed from the config"),
        Ignore("model.rotary_emb.inv_freq", "rotary frequencies, computed from the config"),
    )

"""T5 of transformers: an `EncoderDecoder` whose positions are one table of relative biases for each of its two stacks.

Version 1.0 has a plain MLP and the word table as its output layer; 1.1 a gated MLP and an output layer of its own.
"""

from __future__ import annotations

from multimodal.weights.keymap import Ignore, Row, Table


def t5(*, gated: bool, tied: bool) -> Table:
    """The table of `T5ForConditionalGeneration`; `tied`: the output layer is the word table."""
    cross, ours = "decoder.block.{i}.layer.1", "decoder.blocks.{i}"
    words = "shared,encoder.embed_tokens,decoder.embed_tokens"
    own = [] if tied else [Row("lm_head.weight", "head.weight")]
    return Table(
        Row(f"{{{words}{',lm_head' if tied else ''}}}.weight", "embedding.words.weight"),
        *own,
        *_stack("encoder", mlp=1, gated=gated),
        *_stack("decoder", mlp=2, gated=gated),
        Row(f"{cross}.layer_norm.weight", f"{ours}.cross_branch.norm.weight"),
        *_attention(f"{cross}.EncDecAttention", f"{ours}.cross"),
        Ignore(
            "decoder.block.{i}.layer.1.EncDecAttention.relative_attention_bias.weight",
            "in the files first published; cross-attention knows no positions",
        ),
    )


def _stack(name: str, *, mlp: int, gated: bool) -> list[Row]:
    """The rows of the encoder or the decoder, whose MLP is its `mlp`-th sublayer."""
    theirs, ours = f"{name}.block.{{i}}.layer", f"{name}.blocks.{{i}}"
    dense = f"{theirs}.{mlp}.DenseReluDense"
    names = {"wi_0": "gate", "wi_1": "up", "wo": "down"} if gated else {"wi": "up", "wo": "down"}
    return [
        Row(f"{name}.block.0.layer.0.SelfAttention.relative_attention_bias.weight", f"{name}.position.table.weight"),
        Row(f"{theirs}.0.layer_norm.weight", f"{ours}.attention_branch.norm.weight"),
        *_attention(f"{theirs}.0.SelfAttention", f"{ours}.attention"),
        Row(f"{theirs}.{mlp}.layer_norm.weight", f"{ours}.mlp_branch.norm.weight"),
        *(Row(f"{dense}.{their}.weight", f"{ours}.mlp.{our}.weight") for their, our in names.items()),
        Row(f"{name}.final_layer_norm.weight", f"{name}.norm.weight"),
    ]


def _attention(theirs: str, ours: str) -> list[Row]:
    names = {"q": "q", "k": "k", "v": "v", "o": "out"}
    return [Row(f"{theirs}.{their}.weight", f"{ours}.{our}.weight") for their, our in names.items()]

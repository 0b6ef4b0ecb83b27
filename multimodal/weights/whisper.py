"""Whisper of transformers: `WhisperForConditionalGeneration`, whose output layer is the word table."""

from __future__ import annotations

from multimodal.weights.keymap import Row, Table, layer


def _stack(name: str, ours: str) -> list[Row]:
    """The rows of the encoder's or the decoder's blocks and last norm."""
    theirs, block = f"model.{name}.layers.{{i}}", f"{ours}.blocks.{{i}}"
    return [
        *_attention(f"{theirs}.self_attn", f"{block}.attention"),
        *layer(f"{theirs}.self_attn_layer_norm", f"{block}.attention_branch.norm"),
        *layer(f"{theirs}.fc1", f"{block}.mlp.up"),
        *layer(f"{theirs}.fc2", f"{block}.mlp.down"),
        *layer(f"{theirs}.final_layer_norm", f"{block}.mlp_branch.norm"),
        *layer(f"model.{name}.layer_norm", f"{ours}.norm"),
    ]


def _attention(theirs: str, ours: str) -> list[Row]:
    names = {"q_proj": "q", "k_proj": "k", "v_proj": "v", "out_proj": "out"}
    return [row for their, our in names.items() for row in layer(f"{theirs}.{their}", f"{ours}.{our}")]


WHISPER = Table(
    Row("{model.decoder.embed_tokens.weight,proj_out.weight}", "embedding.words.weight"),
    Row("model.decoder.embed_positions.weight", "embedding.placement.position.weight"),
    Row("model.encoder.embed_positions.weight", "encoder.stem.positions"),
    *layer("model.encoder.conv{n}", "encoder.stem.conv{n}"),
    *_stack("encoder", "encoder.backbone"),
    *_stack("decoder", "decoder"),
    *_attention("model.decoder.layers.{i}.encoder_attn", "decoder.blocks.{i}.cross"),
    *layer("model.decoder.layers.{i}.encoder_attn_layer_norm", "decoder.blocks.{i}.cross_branch.norm"),
)

"""BART and Marian of transformers: a post-norm `EncoderDecoder` whose output layer is the word table."""

from __future__ import annotations

from multimodal.weights.keymap import Ignore, Row, Table, layer


def bart(*, head: bool, sinusoidal: bool = False) -> Table:
    """The table of BART, or with `sinusoidal` positions Marian.

    Args:
        head: of `BartForConditionalGeneration`, which adds a bias to the logits; else of `BartModel`.
        sinusoidal: positions follow from a formula, and there is no norm of the embeddings.
    """
    body = [
        *_stack("encoder", "embedding.placement", sinusoidal),
        *_stack("decoder", "decoder_placement", sinusoidal),
        *_attention("decoder.layers.{i}.encoder_attn", "decoder.blocks.{i}.cross"),
        *layer("decoder.layers.{i}.encoder_attn_layer_norm", "decoder.blocks.{i}.cross_branch.norm"),
        Ignore("{encoder,decoder}.version", "a number that older versions stored"),
    ]
    words = [f"{name}.weight" for name in ("shared", "encoder.embed_tokens", "decoder.embed_tokens")]
    if not head:
        return Table(Row(f"{{{','.join(words)}}}", "embedding.words.weight"), *body)
    every = ",".join([*(f"model.{word}" for word in words), "lm_head.weight"])
    return Table(
        Row(f"{{{every}}}", "embedding.words.weight"),
        *Table(*body).under(theirs="model.").rows,
        Row("final_logits_bias", "output_bias", shape=(1, -1)),
    )


def _stack(name: str, placement: str, sinusoidal: bool) -> list[Row | Ignore]:
    """The rows of the encoder or the decoder, and of what its word vectors get before."""
    theirs, ours = f"{name}.layers.{{i}}", f"{name}.blocks.{{i}}"
    rows: list[Row | Ignore] = [Ignore(f"{name}.embed_positions.weight", "sinusoids, computed by their formula")]
    if not sinusoidal:
        rows = [Row(f"{name}.embed_positions.weight", f"{placement}.position.weight")]
        rows += layer(f"{name}.layernorm_embedding", f"{placement}.norm")
    return [
        *rows,
        *_attention(f"{theirs}.self_attn", f"{ours}.attention"),
        *layer(f"{theirs}.self_attn_layer_norm", f"{ours}.attention_branch.norm"),
        *layer(f"{theirs}.fc1", f"{ours}.mlp.up"),
        *layer(f"{theirs}.fc2", f"{ours}.mlp.down"),
        *layer(f"{theirs}.final_layer_norm", f"{ours}.mlp_branch.norm"),
    ]


def _attention(theirs: str, ours: str) -> list[Row]:
    names = {"q_proj": "q", "k_proj": "k", "v_proj": "v", "out_proj": "out"}
    return [row for their, our in names.items() for row in layer(f"{theirs}.{their}", f"{ours}.{our}")]

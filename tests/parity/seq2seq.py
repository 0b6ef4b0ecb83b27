"""What holds for each encoder-decoder (T5, BART, Marian): logits of padded rows, decoding with a cache, and back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from folders import exported, padded_rows, published
from torch import Tensor

from multimodal.models.encoder_decoder import EncoderDecoder

Equal = Callable[[Tensor, Tensor], None]


def both_logits(ours: EncoderDecoder, theirs: Any) -> tuple[Tensor, Tensor]:
    """Logits of the same padded sources and targets, ours and theirs, padding left out."""
    ids, keep = padded_rows(theirs.config.vocab_size, pad=0)
    targets, real = padded_rows(theirs.config.vocab_size, pad=0, t=6)
    expected = theirs(ids, attention_mask=keep.long(), decoder_input_ids=targets, decoder_attention_mask=real.long())
    if "logits" in expected:
        return ours(ids, targets, keep=keep, decoder_keep=real)[real], expected.logits[real]
    context = ours.encode(ids, keep=keep)
    equal_context = ours.decode(targets, context, context_keep=keep, decoder_keep=real)
    return equal_context[real], expected.last_hidden_state[real]


@torch.no_grad()
def assert_parity(theirs: Any, folder: Path, equal: Equal) -> EncoderDecoder:
    """Equal logits through a folder, and back through another one: the same file and the same logits. Ours."""
    ours = published(theirs, folder / "read")
    assert type(ours) is EncoderDecoder
    equal(*both_logits(ours, theirs))
    equal(*both_logits(ours, exported(ours, theirs, folder)))
    return ours


@torch.no_grad()
def assert_cache(ours: EncoderDecoder, theirs: Any, equal: Equal) -> None:
    """Targets read piece by piece, by rows of different length, give the logits of reading them whole."""
    ids, keep = padded_rows(theirs.config.vocab_size, pad=0)
    targets = torch.randint(4, theirs.config.vocab_size, (len(ids), 9))
    expected = theirs(ids, attention_mask=keep.long(), decoder_input_ids=targets).logits
    context, cache, found = ours.encode(ids, keep=keep), ours.decoder.new_cache(len(ids), 9), []
    for part in targets.split([4, 1, 1, 3], dim=1):
        found.append(ours.output(ours.decode(part, context, context_keep=keep, cache=cache)))
    equal(torch.cat(found, dim=1), expected)

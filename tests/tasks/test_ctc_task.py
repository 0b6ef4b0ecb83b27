"""The loss of CTC training written out, hybrid and between the blocks; what validation counts."""

import jiwer
import pytest
import torch
from torch.nn import functional as F

from multimodal.errors import ArgumentError, DataError
from multimodal.generation.ctc import best_path
from multimodal.losses import ctc_loss
from multimodal.presets.conformer import conformer
from multimodal.tasks.ctc import CtcObjectiveConfig, CtcTask
from multimodal.tokenizers.audio_features import frame_keep
from multimodal.tokenizers.text_settings import SpecialTokens
from multimodal.tokenizers.text_training import train_tokenizer

TOKENIZER = train_tokenizer(iter(["GO NO"]), "character", special=SpecialTokens(unk="<unk>"))
TEXTS = ["GO NO", "NO"]
PLAIN = {"hide": None, "smoothing": 0.0}


def batch(texts=TEXTS):
    encoded = TOKENIZER.batch(texts, special=False, length=1)
    wave = 0.1 * torch.randn(2, 16_000, generator=torch.Generator().manual_seed(0))
    samples = torch.tensor([16_000, 9_000])
    wave[1, 9_000:] = 0
    return {
        "wave": wave,
        "samples": samples,
        "ids": encoded.ids,
        "keep": encoded.keep,
        "texts": texts,
        "index": torch.arange(2),
        "failed": [],
    }


def task(objective=CtcObjectiveConfig(**PLAIN), **options):
    torch.manual_seed(0)
    sizes = {"dim": 32, "depth": 2, "heads": 2, "kernel": 5, "channels": 4, "mels": 20, "dropout": 0.0}
    model = conformer(TOKENIZER.vocabulary, **{**sizes, **options}).build(TOKENIZER)
    return CtcTask(model, objective=objective).eval()


def scored(made, given):
    mel = made.model.features(given["wave"])
    return made.model.score(mel, frame_keep(made.model.features, given["samples"], mel.shape[2]))


def ctc(made, logits, given):
    frames = scored(made, given).keep.sum(1)
    return ctc_loss(logits, frames, given["ids"], given["keep"], blank=made.model.blank)


def test_plain_ctc():
    made, given = task(), batch()
    torch.testing.assert_close(made.training_step(given, 0), ctc(made, scored(made, given).logits, given))


def test_between_the_blocks_it_counts_its_share():
    made, given = task(CtcObjectiveConfig(between=0.25, **PLAIN), between=True), batch()
    found = scored(made, given)
    expected = 0.75 * ctc(made, found.logits, given) + 0.25 * ctc(made, found.between[0], given)
    torch.testing.assert_close(made.training_step(given, 0), expected)


def test_hybrid_adds_the_next_token_from_start_to_end():
    made, given = task(CtcObjectiveConfig(attention=0.4, **PLAIN), decoder_depth=1), batch()
    found, losses = scored(made, given), []
    for row, text in enumerate(TEXTS):
        ids = TOKENIZER.encode(text, special=False).ids
        edge, length = made.model.blank, int(found.keep[row].sum())
        logits = made.model.decoder(torch.tensor([[edge, *ids]]), found.x[row : row + 1, :length])
        losses.append(F.cross_entropy(logits[0], torch.tensor([*ids, edge]), reduction="none"))
    expected = 0.6 * ctc(made, found.logits, given) + 0.4 * torch.cat(losses).mean()
    torch.testing.assert_close(made.training_step(given, 0), expected)


def test_of_a_text_that_is_too_long_for_the_decoder_the_start_is_learned():
    made, given = task(CtcObjectiveConfig(attention=0.4, **PLAIN), decoder_depth=1), batch()
    made.model.decoder.longest = 4
    found, edge = scored(made, given), made.model.blank
    losses = []
    for row, length in enumerate(found.keep.sum(1).tolist()):
        ids = given["ids"][row][given["keep"][row]].tolist()
        logits = made.model.decoder(torch.tensor([[edge, *ids][:4]]), found.x[row : row + 1, :length])
        losses.append(F.cross_entropy(logits[0], torch.tensor([*ids, edge][:4]), reduction="none"))
    expected = ctc(made, found.logits, given).lerp(torch.cat(losses).mean(), 0.4)
    torch.testing.assert_close(made.training_step(given, 0), expected)


def test_training_hides_parts_and_reaches_every_parameter():
    made, given = task(CtcObjectiveConfig(), between=True, decoder_depth=1).train(), batch()
    torch.manual_seed(0)
    first = made.training_step(given, 0)
    first.backward()
    silent = [name for name, p in made.model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # Softmax does not see a bias of the keys, batch norm none before it.
    assert all(name.endswith((".k.bias", "depthwise.bias")) for name in silent), silent
    torch.manual_seed(1)
    assert float(made.training_step(given, 0)) != float(first)


def test_validation_counts_words_and_letters():
    made, given = task(), batch()
    made.on_validation_epoch_start()
    made.validation_step(given, 0)
    found = {name: float(value) for name, value in made.report(dict(made.val_metrics.items())).items()}
    assert found["loss"] == pytest.approx(float(ctc(made, scored(made, given).logits, given)), rel=1e-4)
    heard = scored(made, given)
    rows = [row[keep].log_softmax(-1) for row, keep in zip(heard.logits, heard.keep, strict=True)]
    said = [TOKENIZER.decode([token.id for token in best_path(row, blank=made.model.blank)]) for row in rows]
    assert found["wer"] == pytest.approx(jiwer.wer(TEXTS, said)) and found["cer"] == pytest.approx(
        jiwer.cer(TEXTS, said)
    )


def test_texts_that_do_not_fit_are_told():
    with pytest.raises(DataError, match=r"'GO GO.*multimodal check"):
        task().training_step(batch(["GO " * 40] * 2), 0)


def test_wrong_arguments_are_refused():
    with pytest.raises(ArgumentError, match=r"attention is 1\.0"):
        CtcObjectiveConfig(attention=1.0)
    with pytest.raises(ArgumentError, match="no tokenizer"):
        CtcTask(conformer(5, dim=16, depth=1, heads=2).build())

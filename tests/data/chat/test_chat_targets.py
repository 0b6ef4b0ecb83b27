"""What is learned of a conversation: masks written out for each layout, cuts, and images in the middle of them."""

from __future__ import annotations

import numpy as np
import pytest
from chat_sets import CHATML, LLAMA_3, characters

from multimodal.data.chat.targets import expanded, fitted, learned, length
from multimodal.errors import ArgumentError, DataError
from multimodal.models.chat.messages import chat_of
from multimodal.tokenizers.chat import LLAMA_2, VICUNA
from multimodal.tokenizers.text_training import train_tokenizer

SYSTEM = {"role": "system", "content": "Be kind."}
TALK = [
    {"role": "user", "content": "<image>\nWhat?"},
    {"role": "assistant", "content": "A cat."},
    {"role": "user", "content": "Sure? A cat."},
    {"role": "assistant", "content": "Yes"},
]

# Pieces of each layout, in order; those in the second place of a pair are learned.
WRITTEN_OUT = {
    "vicuna": (
        VICUNA,
        [
            ("<s>", ""),
            ("Be kind. USER: <image>\nWhat? ASSISTANT:", " A cat.</s>"),
            ("USER: Sure? A cat. ASSISTANT:", " Yes</s>"),
        ],
    ),
    "llama 2": (
        LLAMA_2,
        [
            ("<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\n<image>\nWhat? [/INST]", " A cat. </s>"),
            ("<s>[INST] Sure? A cat. [/INST]", " Yes </s>"),
        ],
    ),
    "chatml": (
        CHATML,
        [
            ("<|im_start|>system\nBe kind.<|im_end|>\n", ""),
            ("<|im_start|>user\n<image>\nWhat?<|im_end|>\n<|im_start|>assistant\n", "A cat.<|im_end|>"),
            ("\n<|im_start|>user\nSure? A cat.<|im_end|>\n<|im_start|>assistant\n", "Yes<|im_end|>"),
        ],
    ),
    "llama 3": (
        LLAMA_3,
        [
            ("<s><|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|>", ""),
            ("<|start_header_id|>user<|end_header_id|>\n\n<image>\nWhat?<|eot_id|>", ""),
            ("<|start_header_id|>assistant<|end_header_id|>\n\n", "A cat.<|eot_id|>"),
            ("<|start_header_id|>user<|end_header_id|>\n\nSure? A cat.<|eot_id|>", ""),
            ("<|start_header_id|>assistant<|end_header_id|>\n\n", "Yes<|eot_id|>"),
        ],
    ),
}


def written_out(tokenizer, pieces):
    """Ids and mask of pieces, each of which is tokenized by itself: with a token for each character nothing joins."""
    ids, mask = [], []
    for pair in pieces:
        for said, text in zip((False, True), pair, strict=True):
            row = tokenizer.encode(text, special=False).ids
            ids += row
            mask += [said] * len(row)
    return ids, mask


def row_of(tokenizer, messages, media=("a.png",)):
    return learned(chat_of(messages, media), tokenizer, tokenizer.id_of("<image>"))


@pytest.mark.parametrize("name", WRITTEN_OUT)
def test_only_answers_and_their_end_are_learned(name):
    template, pieces = WRITTEN_OUT[name]
    tokenizer = characters(template)
    row = row_of(tokenizer, [SYSTEM, *TALK])
    ids, mask = written_out(tokenizer, pieces)
    if name == "vicuna":  # the template writes no <s>; this tokenizer adds none to text
        ids, mask = ids[1:], mask[1:]
    assert row.ids.tolist() == ids
    assert row.learned.tolist() == mask


@pytest.mark.parametrize("name", WRITTEN_OUT)
def test_what_follows_the_last_answer_is_left_out(name):
    tokenizer = characters(WRITTEN_OUT[name][0])
    whole = row_of(tokenizer, [*TALK, {"role": "user", "content": "<image>\nAnd this?"}], ("a.png", "b.png"))
    part = row_of(tokenizer, TALK)
    assert whole.ids.tolist() == part.ids.tolist()
    assert whole.learned.tolist() == part.learned.tolist()
    assert whole.images(tokenizer.id_of("<image>")) == 1


def test_pieces_of_several_characters():
    tokenizer = characters()
    text = ["USER: what is it ASSISTANT: a red cat", "a red cat"] * 20
    made = train_tokenizer(iter(text), vocabulary=300, special=tokenizer.settings.special)
    made = type(made)(made.tokenizer, tokenizer.settings)
    row = row_of(
        made, [{"role": "user", "content": "<image>\nwhat is it"}, {"role": "assistant", "content": "a red cat 😀"}]
    )
    learnt = row.ids[row.learned].tolist()
    assert len(learnt) < 12
    assert made.decode(learnt, skip_special=False) == " a red cat 😀</s>"
    assert made.decode(row.ids[~row.learned].tolist(), skip_special=False) == "USER: <image>\nwhat is it ASSISTANT:"


def test_a_template_that_only_the_last_answer_ends_is_learned_as_far_as_it_agrees():
    tokenizer = characters(VICUNA.replace("+ eos_token", "+ (eos_token if loop.last else ' ')"))
    row = row_of(tokenizer, TALK)
    said = tokenizer.decode(row.ids[row.learned].tolist(), skip_special=False)
    assert said == " A cat. Yes</s>"


def test_a_template_that_changes_answers_is_refused():
    tokenizer = characters(VICUNA.replace("'ASSISTANT: ' + message.content", "'ASSISTANT: ' + message.content | upper"))
    with pytest.raises(DataError, match="does not show answer 1 of 2 as it is"):
        row_of(tokenizer, TALK)


def test_no_answer_is_refused():
    with pytest.raises(ArgumentError, match="no answer to learn"):
        row_of(characters(), TALK[:1])


def test_an_image_becomes_as_many_placeholders_as_it_has_tokens():
    tokenizer = characters()
    image = tokenizer.id_of("<image>")
    row = row_of(tokenizer, TALK)
    wide = expanded(row, image, [5])
    place = row.ids.tolist().index(image)
    assert wide.ids.tolist() == [*row.ids[:place], *[image] * 5, *row.ids[place + 1 :]]
    assert wide.learned.tolist() == [*row.learned[:place], *[False] * 5, *row.learned[place + 1 :]]
    assert len(wide.ids) - 1 == length(row, [5])
    with pytest.raises(ArgumentError, match="1 place for images, and 2 were given"):
        expanded(row, image, [5, 5])


def reference_cut(row, image, tokens, longest):
    """`fitted`, one id at a time."""
    left, kept, used = list(tokens), 0, 0
    for place, id in enumerate(row.ids.tolist()):
        used += left.pop(0) if id == image else 1
        if used <= longest + 1:
            kept = place + 1
    places = [place for place in range(kept) if row.learned[place]]
    return None if not places or not places[-1] else places[-1] + 1


def test_what_is_too_long_is_cut_behind_whole_tokens_and_never_within_an_image():
    tokenizer = characters()
    image = tokenizer.id_of("<image>")
    second = {"role": "user", "content": "<image>\nAnd?"}
    row = row_of(tokenizer, [*TALK, second, TALK[1]], ("a.png", "b.png"))
    whole = length(row, [7, 9])
    for longest in range(2, whole + 3):
        cut = fitted(row, image, [7, 9], longest)
        expected = reference_cut(row, image, [7, 9], longest)
        if expected is None:
            assert cut is None
            continue
        assert cut is not None
        assert np.array_equal(cut.ids, row.ids[:expected])
        assert cut.learned[-1]
        count = cut.images(image)
        wide = expanded(cut, image, [7, 9][:count])
        assert len(wide.ids) - 1 <= longest
    assert fitted(row, image, [7, 9], None) is row
    assert fitted(row, image, [7, 9], whole) is row

"""A language model's methods: the text that follows, and how likely a text is; in any batch, and with clear errors."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_text_models import CHAT, bert, bytelevel, gpt, llama, randomized

from multimodal.backbone.lora import LoraConfig, attach
from multimodal.errors import ArgumentError
from multimodal.generation.config import BeamConfig, GenerationConfig, SamplingConfig
from multimodal.models.text.generation import check_helpers
from multimodal.models.text.options import settings
from multimodal.tokenizers.text_settings import SpecialTokens

PROMPTS = ["a cat", "", "the dog ran to", "x"]


@pytest.fixture(scope="module")
def model():
    return gpt()


def greedy(model, ids, count):
    """Written out: no cache, one token after the other."""
    row = list(ids)
    for _ in range(count):
        with torch.no_grad():
            row.append(int(model(torch.tensor([row]))[0, -1].argmax()))
        if row[-1] in model.config.generation.end or (model.tokenizer is not None and row[-1] == 0):
            break
    return row[len(ids) :]


def test_generate_is_greedy_and_each_prompt_gets_what_it_gets_alone(model):
    found = model.generate(PROMPTS, max_new_tokens=6, batch_size=3)
    for prompt, text in zip(PROMPTS, found, strict=True):
        ids = bytelevel().encode(prompt).ids or (0,)
        expected = [id for id in greedy(model, ids, 6) if id != 0]
        assert text == bytelevel().decode(expected)
        assert model.generate(prompt, max_new_tokens=6) == text
    assert [texts[0].text for texts in model.complete(PROMPTS, max_new_tokens=6)] == found
    assert {one.finish for texts in model.complete(PROMPTS, max_new_tokens=6) for one in texts} <= {"end", "length"}


def test_ids_in_and_out():
    model = llama()
    prompts = [[3, 4, 5], [7]]
    assert model.generate(prompts, max_new_tokens=5) == [greedy(model, ids, 5) for ids in prompts]
    assert model.generate(torch.tensor([3, 4, 5]), max_new_tokens=5) == greedy(model, prompts[0], 5)
    with pytest.raises(ArgumentError, match="LanguageModel has no tokenizer"):
        model.generate("a")
    with pytest.raises(ArgumentError, match="50 is not a token id of this model; they go from 0 to 49"):
        model.generate([3, 50])
    with pytest.raises(ArgumentError, match="has no tokenizer"):
        model.stream([3, 4])
    with pytest.raises(ArgumentError, match="'a' is neither text nor a token id"):
        model.generate([["a", 1]])


def test_streaming_gives_the_same_text_and_leaves_the_model_as_it_was(model):
    whole = model.generate("a cat", max_new_tokens=12)
    model.train()
    pieces = []
    for piece in model.stream("a cat", max_new_tokens=12):
        assert model.training and model.backbone.blocks[0].training
        pieces.append(piece)
    assert "".join(pieces) == whole
    abandoned = model.stream("a cat", max_new_tokens=12)
    next(abandoned)
    abandoned.close()
    assert model.training and "forward" not in vars(model.backbone.blocks[0].mlp.up)
    model.eval()


def test_sampling_is_repeatable_and_independent_of_the_batch(model):
    options = {"temperature": 1.0, "top_k": 20, "seed": 3, "max_new_tokens": 8}
    found = model.generate(PROMPTS, **options)
    assert found == model.generate(PROMPTS, batch_size=1, **options)
    assert found != model.generate(PROMPTS, **{**options, "seed": 4})
    assert model.generate("a", temperature=0, max_new_tokens=5) == model.generate("a", max_new_tokens=5)


def test_a_draft_changes_nothing(model):
    plain = model.generate(PROMPTS, max_new_tokens=10)
    other = randomized(model.config.build(bytelevel()))
    for draft in ("lookup", model, other):
        assert model.generate(PROMPTS, max_new_tokens=10, draft=draft) == plain
        assert "".join(model.stream(PROMPTS[0], max_new_tokens=10, draft=draft)) == plain[0]
    short = randomized(gpt(max_length=9))  # reads less than the prompts and what follows
    assert model.generate(PROMPTS, max_new_tokens=10, draft=short) == plain
    assert model.generate(PROMPTS, max_new_tokens=10, draft=short, truncate=True) == plain


def test_drafts_and_prefixes_that_do_not_fit(model):
    with pytest.raises(ArgumentError, match="draft is 'look'"):
        model.generate("a", draft="look")
    with pytest.raises(ArgumentError, match="draft is a TextEncoder; it must be a smaller LanguageModel"):
        model.generate("a", draft=bert())
    with pytest.raises(ArgumentError, match="vocabulary has 50 tokens and the model's 257"):
        model.generate("a", draft=llama())
    with pytest.raises(ArgumentError, match="vocabulary has 50 tokens and the model's 257"):
        model.stream("a", draft=llama())
    with pytest.raises(ArgumentError, match="prefix is of type str; it must be what `read_prefix` gave"):
        check_helpers(model, None, "be good")
    with pytest.raises(ArgumentError, match="A prefix is one text, and a list of 2 was given"):
        model.read_prefix(["a", "b"])
    with pytest.raises(ArgumentError, match="A prefix is one text, and a list of 0 was given"):
        model.read_prefix([])


def test_a_prefix_is_the_same_as_its_text(model, tmp_path):
    prefix = model.read_prefix("be good. ")
    prefix.save(tmp_path / "p")
    assert model.generate(["a cat", "x"], prefix=type(prefix).load(tmp_path / "p"), max_new_tokens=6) == model.generate(
        ["be good. a cat", "be good. x"], max_new_tokens=6
    )
    with pytest.raises(ArgumentError, match="another model"):
        randomized(gpt(max_length=32)).generate("a", prefix=prefix)


def test_messages_go_through_the_chat_template(model):
    messages = [{"role": "user", "content": "hi"}]
    expected = model.generate("<user>hi<assistant>", max_new_tokens=5)
    assert model.generate(messages, max_new_tokens=5) == expected
    assert model.generate([messages, messages], max_new_tokens=5) == [expected, expected]
    silent = gpt()
    silent.tokenizer = bytelevel(chat_template=None)
    with pytest.raises(ArgumentError, match="chat template"):
        silent.generate(messages)
    assert CHAT


def test_the_text_goes_on_so_what_ends_texts_is_left_out():
    model = gpt()
    tokenizer = bytelevel().tokenizer
    from tokenizers import processors

    tokenizer.post_processor = processors.TemplateProcessing(  # pyright: ignore
        single="$A <|endoftext|>", pair=None, special_tokens=[("<|endoftext|>", 0)]
    )
    plain = model.generate("a cat", max_new_tokens=4)
    model.tokenizer = type(model.tokenizer)(tokenizer, model.tokenizer.settings)
    assert model.tokenizer.encode("a").ids[-1] == 0
    assert model.generate("a cat", max_new_tokens=4) == plain


def test_stop_and_n_best(model):
    text = model.generate("a cat", max_new_tokens=12)
    stop = text[4:6]
    assert model.generate("a cat", max_new_tokens=12, stop=stop) == text[: text.index(stop)]
    best = model.generate("a cat", beams=3, n_best=2, max_new_tokens=4)
    assert isinstance(best, list) and len(best) == 2
    assert model.generate(["a cat", "x"], beams=3, n_best=2, max_new_tokens=4)[0] == best
    with pytest.raises(ArgumentError, match="cannot be streamed"):
        model.stream("a cat", beams=3)
    with pytest.raises(ArgumentError, match="Only one prompt"):
        model.stream(["a", "b"])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, GenerationConfig(end=(0,))),
        ({"temperature": 0.5}, GenerationConfig(end=(0,), sampling=SamplingConfig(temperature=0.5))),
        ({"seed": 1}, GenerationConfig(end=(0,))),
        ({"top_p": 0.9, "seed": 1}, GenerationConfig(end=(0,), sampling=SamplingConfig(top_p=0.9, seed=1))),
        ({"beams": 3}, GenerationConfig(end=(0,), beams=BeamConfig(width=3))),
        ({"beams": 1}, GenerationConfig(end=(0,))),
        ({"stop": "x"}, GenerationConfig(end=(0,), stop=("x",))),
        ({"max_new_tokens": None, "stop": ["x", "y"]}, GenerationConfig(end=(0,), stop=("x", "y"))),
        ({"config": GenerationConfig(end=(5,), max_new_tokens=3)}, GenerationConfig(end=(5,), max_new_tokens=3)),
    ],
)
def test_options(options, expected):
    assert settings(GenerationConfig(), bytelevel(), options) == expected


def test_options_over_a_checkpoints_own():
    searching = GenerationConfig(end=(2,), beams=BeamConfig(width=4, length_penalty=2.0))
    sampling = GenerationConfig(end=(2,), sampling=SamplingConfig(top_k=5))
    assert settings(searching, None, {}) == searching
    assert settings(searching, None, {"beams": 2}).beams == BeamConfig(width=2, length_penalty=2.0)
    assert settings(searching, None, {"n_best": 3}).beams == BeamConfig(width=4, length_penalty=2.0, n_best=3)
    assert settings(searching, None, {"temperature": 2.0}) == GenerationConfig(
        end=(2,), sampling=SamplingConfig(temperature=2.0)
    )
    assert settings(searching, None, {"beams": 1}).beams is None
    assert settings(sampling, None, {"seed": 4}).sampling == SamplingConfig(top_k=5, seed=4)
    assert settings(sampling, None, {"temperature": 0}).sampling is None
    assert settings(sampling, None, {"beams": 2}) == GenerationConfig(end=(2,), beams=BeamConfig(width=2))
    assert settings(sampling, None, {"repetition_penalty": 2}).rules.repetition_penalty == 2.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temprature": 1.0}, r"temprature is not an option of generation\. Did you mean 'temperature'"),
        ({"temperature": -1.0}, r"temperature is -1; it must be above 0"),
        ({"temperature": 0, "top_p": 0.5}, "so top_p has no meaning"),
        ({"top_p": 0.5, "beams": 2}, "exclude each other"),
        ({"n_best": 2}, "belong to beam search"),
        ({"beams": 2, "n_best": 3}, "n_best is 3; it must be from 1 to the number of beams, 2"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"stop": ""}, "stop is"),
    ],
)
def test_wrong_options(options, message, model):
    with pytest.raises(ArgumentError, match=message):
        model.generate("a", **options)


def test_prompts_that_do_not_fit(model):
    with pytest.raises(ArgumentError, match=r"The prompt has 70 tokens.*up to 64.*truncate"):
        model.generate("x" * 70)
    assert isinstance(model.generate("x" * 70, truncate=True, max_new_tokens=4), str)
    assert model.complete(["x" * 60], max_new_tokens=50)[0][0].finish in ("context", "end")
    nothing = gpt()
    nothing.tokenizer = bytelevel(special=SpecialTokens(eos="<|endoftext|>"))
    with pytest.raises(ArgumentError, match="Prompt 2 of 2 is empty"):
        nothing.generate(["a", ""])
    assert model.generate("\ud83d", max_new_tokens=2) == model.generate("\ufffd", max_new_tokens=2)
    assert model.generate([], max_new_tokens=2) == []
    with pytest.raises(ArgumentError, match="int is no prompt"):
        model.generate(3)


def test_scores_are_the_log_softmax_written_out(model):
    texts = ["a cat", "x", "the dog ran"]
    found = model.score(texts, batch_size=2)
    for text, one in zip(texts, found, strict=True):
        ids = [0, *bytelevel().encode(text).ids]
        with torch.no_grad():
            logprobs = model(torch.tensor([ids]))[0].log_softmax(-1)
        expected = [float(logprobs[i, id]) for i, id in enumerate(ids[1:])]
        assert one.ids == tuple(ids[1:]) and one.logprobs == pytest.approx(expected, abs=1e-5)
        assert one.logprob == pytest.approx(sum(expected), abs=1e-4)
        assert one.perplexity == pytest.approx(math.exp(-sum(expected) / len(expected)), rel=1e-4)
    assert found[0].tokens == ("a", "Ġ", "c", "a", "t")
    assert model.score("x")[0].logprobs == pytest.approx(found[1].logprobs, abs=1e-5)


def test_what_is_given_is_not_scored(model):
    ids = bytelevel().encode("a cat").ids
    whole = model.score([list(ids)])[0]
    assert whole.ids == ids[1:], "nothing stands before the first"
    part = model.score(["cat"], given="a ")[0]
    assert part.tokens == ("c", "a", "t") and part.logprobs == pytest.approx(whole.logprobs[1:], abs=1e-5)
    with pytest.raises(ArgumentError, match="Text 1 of 1 has no token to score"):
        model.score([""])
    with pytest.raises(ArgumentError, match="has 65 tokens to read, and the model reads up to 64"):
        model.score(["x" * 65])
    assert len(model.score(["x" * 64])[0].logprobs) == 64


def test_adapters(model):
    model = gpt()
    before = model.generate("a cat", max_new_tokens=5)
    attach(model, LoraConfig(rank=2, targets=("q", "v", "mlp.up")))
    assert model.generate("a cat", max_new_tokens=5) == before
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".b.weight"):
                parameter.normal_()
    assert model.generate("a cat", max_new_tokens=5) != before

"""Answers, whatever they are asked with and whatever was read before: each as if it were the only question ever."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import tiny_models
import tiny_sounds
import torch
from tiny_text_models import bytelevel, gpt
from tiny_vision_language import hearing, picture, seeing
from tokenizers import Tokenizer

from multimodal.errors import ArgumentError
from multimodal.media import MediaError
from multimodal.models.chat.answers import prompt_of
from multimodal.models.chat.memory import ChatMemory
from multimodal.models.chat.tiles import TilesConfig
from multimodal.models.chat.views import Views
from multimodal.tokenizers.text import TextTokenizer

A, B, C = (picture(seed) for seed in range(3))
TILES = TilesConfig(canvases=((32, 64), (64, 32)))
SYSTEM = {"role": "system", "content": "Be brief."}
MIXED = [
    (A, "What is it?"),
    (B, "What?"),
    "No picture at all",
    ([A, B], "Which is larger?"),
    (A, "Is it red or blue?"),
    ([A, C], "Which?"),
    ([A, B], "And now?"),
    [SYSTEM, {"role": "user", "content": [{"type": "image", "image": A}, {"type": "text", "text": "Who?"}]}],
    "Nor here",
    (A, "What is it?"),
]


class Spy:
    """How many tokens `model.hidden` read, images included, and how many views were encoded."""

    def __init__(self, model):
        self.tokens, self.views, hidden, encode = 0, 0, model.hidden, model.encode

        def counted(ids, images=None, **options):
            keep = options.get("keep")
            self.tokens += int(keep.sum()) if keep is not None else ids.numel()
            return hidden(ids, images, **options)

        def encoded(views):
            self.views += len(views.x)
            return encode(views)

        model.hidden, model.encode = counted, encoded

    def spent(self):
        found, self.tokens, self.views = (self.tokens, self.views), 0, 0
        return found


def answers(model, chats, **options):
    options = {"max_new_tokens": 6, **options}
    return [one for found in model.complete(chats, **options) for one in found]


def same(found, expected):
    """Equal tokens for equal reasons, and as likely."""
    assert [one.ids for one in found] == [one.ids for one in expected]
    assert [(one.text, one.finish) for one in found] == [(one.text, one.finish) for one in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def plainly(model, chat, new=6):
    """Greedy decoding without a cache: everything is read anew for each token."""
    prompt = prompt_of(model, chat)
    ids = list(prompt.ids)
    views = Views.of(prompt.seen)
    found = []
    with torch.no_grad():
        for _ in range(new):
            found.append(int(model(torch.tensor([ids]), views)[0, -1].argmax()))
            if found[-1] == model.tokenizer.eos_id:
                break
            ids.append(found[-1])
    return tuple(found)


@pytest.mark.parametrize("kind", ["gpt", "llama", "prefix", "tiles"])
def test_a_batch_is_each_question_alone_and_plain_greedy_decoding(kind):
    parts = {"gpt": {}, "llama": {"text": "llama"}, "prefix": {"attention": "prefix"}, "tiles": {"tiles": TILES}}
    model = seeing(max_length=400, **parts[kind])
    alone = [answers(model, [chat])[0] for chat in MIXED]
    assert [one.ids for one in alone] == [plainly(model, chat) for chat in MIXED]
    for batch_size in (16, 3):
        same(answers(model, MIXED, batch_size=batch_size), alone)
    assert alone[0].logprobs != alone[1].logprobs, "what is seen matters"
    assert model.chat(MIXED, max_new_tokens=6) == [one.text for one in alone]
    assert model.chat(MIXED[0], max_new_tokens=6) == alone[0].text


def test_an_image_that_many_ask_about_is_read_once():
    model = seeing()
    questions = [(A, f"Question {number}?") for number in range(5)]
    lengths = [len(prompt_of(model, chat).ids) for chat in questions]
    spy = Spy(model)
    answers(model, questions)
    tokens, views = spy.spent()
    shared = lengths[0] - len("0? ASSISTANT:")
    assert views == 1 and tokens == shared + sum(lengths) - 5 * shared


def test_beams_and_several_answers():
    model = seeing()
    chats = MIXED[:5]
    options = {"beams": 3, "n_best": 2, "max_new_tokens": 4}
    alone = [model.complete([chat], **options)[0] for chat in chats]
    together = model.complete(chats, **options)
    for found, expected in zip(together, alone, strict=True):
        same(found, expected)
    texts = model.chat(chats, **options)
    assert texts == [[one.text for one in found] for found in alone]
    assert model.chat(chats[0], **options) == texts[0]


def test_a_seed_gives_the_same_whatever_the_batch():
    model = seeing()
    options = {"seed": 3, "temperature": 1.5}
    together = answers(model, MIXED, **options)
    same(answers(model, MIXED, batch_size=2, **options), together)
    same(answers(model, MIXED[:1], **options), together[:1])
    assert together[0].ids != together[-1].ids, "a question that is asked twice is answered twice"
    other = answers(model, [(A, "What is it?")], seed=4, temperature=1.5)
    assert other[0].ids != together[0].ids


@pytest.mark.parametrize("attention", ["causal", "prefix"])
def test_what_was_read_is_not_read_again_and_changes_nothing(attention):
    model = seeing(attention=attention)
    spy, memory, messages, read = Spy(model), ChatMemory(), [], 0
    content = [{"type": "image", "image": A}, {"type": "text", "text": "What is it?"}]
    for turn in range(3):
        messages = [*messages, {"role": "user", "content": content}]
        expected = model.complete([messages], max_new_tokens=6)
        spy.spent()
        same(model.complete([messages], memory=memory, max_new_tokens=6)[0], expected[0])
        length = len(prompt_of(model, messages).ids)
        tokens, views = spy.spent()
        assert views == (turn == 0) and tokens <= length - read
        read, content = length, f"More?{turn}"
        messages = [*messages, {"role": "assistant", "content": expected[0][0].text}]


SEQUENCES = {
    "another question": [(A, "What?"), (A, "Who is there?"), (A, "What?")],
    "the same again": [(A, "What?"), (A, "What?")],
    "a shorter one": [(A, "What is it?"), (A, "What")],
    "another image": [(A, "What?"), (B, "What?"), (A, "What?")],
    "one more behind it": [(A, "What?"), ([A, B], "What?"), (A, "What?")],
    "another behind it": [([A, B], "What?"), ([A, C], "What?"), ([B, C], "What?")],
    "none": [(A, "What?"), "What?", (A, "What?")],
    "an image in place of text": ["What?", (A, "What?")],
    "another size": [(A, "What?"), (picture(0, (90, 30)), "What?")],
}


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize("parts", [{}, {"attention": "prefix"}, {"tiles": TILES}], ids=["causal", "prefix", "tiles"])
def test_a_memory_of_something_else_changes_nothing(sequence, parts):
    model, memory = seeing(max_length=400, **parts), ChatMemory()
    for chat in SEQUENCES[sequence]:
        same(answers(model, [chat], memory=memory), answers(model, [chat]))


def test_a_memory_after_beams_and_after_a_stream():
    model, memory = seeing(), ChatMemory()
    answers(model, [(A, "What?")], memory=memory, beams=3)
    spy = Spy(model)
    same(answers(model, [(A, "What?")], memory=memory), answers(model, [(A, "What?")]))
    spy.spent()
    assert list(model.stream((A, "What else?"), memory=memory, max_new_tokens=6))
    assert spy.spent()[1] == 0
    same(answers(model, [(A, "What else?")], memory=memory), answers(model, [(A, "What else?")]))
    stream = model.stream((A, "What now?"), memory=memory, max_new_tokens=6)
    next(stream)
    stream.close()  # nobody listens to the end
    same(answers(model, [(A, "What now?")], memory=memory), answers(model, [(A, "What now?")]))


@pytest.mark.parametrize("part", ["projector.up.weight", "language.backbone.norm.weight", "features.encoder.tokenizer"])
def test_a_memory_from_before_the_weights_changed_is_not_used(part):
    model, memory = seeing(), ChatMemory()
    before = answers(model, [(A, "What?")], memory=memory)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith(part):
                parameter.mul_(-1.5)
    after = answers(model, [(A, "What?")], memory=memory)
    same(after, answers(model, [(A, "What?")]))
    assert after[0].logprobs != before[0].logprobs


def test_a_model_that_was_made_in_inference_mode_can_talk():
    with torch.inference_mode():
        model = seeing()
    talk = model.conversation(A)
    said = [talk.ask(question, max_new_tokens=3) for question in ("What?", "And?")]
    assert said[0] == seeing().chat((A, "What?"), max_new_tokens=3)
    assert said[1] == seeing().chat(talk.messages[:3], max_new_tokens=3)


def test_a_memory_from_before_statistics_changed_is_not_used():
    model, memory = seeing(encoder=tiny_models.wrapped(), layers=(-1,)), ChatMemory()
    before = answers(model, [(A, "What?")], memory=memory)
    model.features.encoder.model.bn1.running_mean.add_(3.0)
    after = answers(model, [(A, "What?")], memory=memory)
    same(after, answers(model, [(A, "What?")]))
    assert after[0].logprobs != before[0].logprobs


def test_a_placeholder_that_the_model_says_is_no_image():
    """With a table that has a row for it, nothing keeps a model from saying it."""
    plain = seeing()
    model = replace(plain.config, placeholder=178).build(plain.tokenizer)
    model.load_state_dict(plain.state_dict())
    model.tokenizer = replace_token(plain.tokenizer, 178)
    memory, messages = ChatMemory(), [{"role": "user", "content": [{"type": "image", "image": A}]}]
    said = answers(model.eval(), [messages], memory=memory)[0]
    assert 178 in said.ids, "the answer of this model"
    for more in ([{"type": "image", "image": B}], "Why?"):
        longer = [*messages, {"role": "assistant", "content": said.text}, {"role": "user", "content": more}]
        same(answers(model, [longer], memory=memory), answers(model, [longer]))


def replace_token(tokenizer, id):
    """The same, where the token with `id` is called <image>."""
    plain = json.loads(tokenizer.plain())
    vocabulary = plain["model"]["vocab"]
    old = next(token for token, number in vocabulary.items() if number == id)
    del vocabulary[old]
    vocabulary["<image>"] = id
    plain["added_tokens"] = [{**one, "id": id} if one["content"] == "<image>" else one for one in plain["added_tokens"]]
    return TextTokenizer(Tokenizer.from_str(json.dumps(plain)), tokenizer.settings)


def test_a_prompt_that_ends_with_its_image():
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    model, memory = seeing(template=template), ChatMemory()
    chats = [[{"role": "user", "content": [{"type": "image", "image": image}]}] for image in (A, B, A)]
    alone = [answers(model, [chat])[0] for chat in chats]
    same(answers(model, chats), alone)
    same([answers(model, [chat], memory=memory)[0] for chat in [*chats, chats[-1]]], [*alone, alone[-1]])


def test_pieces_of_a_stream_are_the_answer():
    model = seeing()
    for chat in MIXED[:4]:
        for options in ({}, {"seed": 1, "temperature": 2.0}, {"stop": "\ufffd"}):
            options = {"max_new_tokens": 12, **options}
            assert "".join(model.stream(chat, **options)) == model.chat(chat, **options)
    with pytest.raises(ArgumentError, match="cannot be streamed"):
        model.stream(MIXED[0], beams=2)
    with pytest.raises(ArgumentError, match="must end with the user's"):
        model.stream([SYSTEM])  # at once, not at the first piece


def test_recordings():
    model = hearing()
    low, high = tiny_sounds.tone(200, 0.4), tiny_sounds.tone(2000, 1.1)
    chats = [(low, "What is it?"), (high, "What?"), ([low, high], "Which?"), ((low, 16_000), "Who?"), "None"]
    alone = [answers(model, [chat])[0] for chat in chats]
    same(answers(model, chats), alone)
    assert [one.ids for one in alone] == [plainly(model, chat) for chat in chats]


def test_every_kind_of_image(tmp_path):
    model = seeing()
    A.save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    sources = [tmp_path / "a.png", str(tmp_path / "a.png"), data, A, np.asarray(A)]
    found = answers(model, [(source, "What?") for source in sources])
    same(found, [found[0]] * len(sources))


def test_training_is_left_as_it_was():
    model = seeing().train()
    model.features.eval()
    expected = seeing().chat((A, "What?"), max_new_tokens=4)
    assert model.chat((A, "What?"), max_new_tokens=4) == expected
    stream = model.stream((A, "What?"), max_new_tokens=4)
    next(stream)
    assert model.training and model.language.training and not model.features.training
    stream.close()
    with pytest.raises(MediaError):
        model.chat((b"", "What?"))
    assert model.language.training and not model.features.training


def test_nothing_to_answer():
    assert seeing().chat([]) == [] and seeing().complete([]) == []


@pytest.mark.parametrize(
    ("chats", "options", "message"),
    [
        ((A, "What?"), {"max_tokens": 3}, "max_tokens is not an option"),
        ((A, "What?"), {"batch_size": 0}, "batch_size is 0"),
        ([(A, "What?"), "Who?"], {"memory": ChatMemory()}, "memory is that of one conversation, and 2 were given"),
        ({"role": "user", "content": "Who?"}, {}, "dict is not a chat"),
        ([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}], {}, "Message 2 is from the user"),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], {}, "ends with the assistant's"),
        ([SYSTEM], {}, "ends with the system's"),
        ((A, "<image> and <image>"), {}, "have 2 places for images"),
        ([{"role": "user", "content": [{"type": "audio", "audio": "a.wav"}]}], {}, "has a recording, and this model"),
        ((A, "long " * 50), {}, "The prompt has .* which leaves no room for a new one: the model reads up to 256"),
        ([(A, "What?"), ([A] * 20, "Which?")], {}, "Prompt 2 of 2 has .* images take most of them, so show fewer"),
    ],
)
def test_what_cannot_be_answered_is_said_in_one_sentence(chats, options, message):
    with pytest.raises(ArgumentError, match=message):
        seeing().chat(chats, **options)


def test_too_many_recordings_are_called_recordings():
    tone = tiny_sounds.tone(300, 0.4)
    with pytest.raises(ArgumentError, match="recordings take most of them, so play fewer or shorter"):
        hearing().chat(([tone] * 20, "Which?"))


def test_an_image_for_a_model_that_hears():
    with pytest.raises(ArgumentError, match="has an image, and this model takes a recording"):
        hearing().chat([{"role": "user", "content": [{"type": "image", "image": A}]}])
    with pytest.raises(ArgumentError, match="has an image"):
        hearing().chat((tiny_sounds.tone(300), "<image> what?"))


def test_images_that_cannot_be_read(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    for source in (tmp_path / "broken.png", tmp_path / "absent.png"):
        with pytest.raises(MediaError, match=source.name):
            seeing().chat([(A, "What?"), (source, "What?")])


def test_tokenizers_that_do_not_serve():
    model = seeing()
    model.tokenizer = bytelevel()
    with pytest.raises(ArgumentError, match="placeholder is 257, and the tokenizer has no token with that id"):
        model.chat((A, "What?"))
    settings = seeing().tokenizer
    model.tokenizer = type(settings)(settings.tokenizer, replace(settings.settings, chat_template=None))
    with pytest.raises(ArgumentError, match="no chat template"):
        model.chat((A, "What?"))
    dropping = "{% for m in messages %}{{ m.role }}{% endfor %}"
    model.tokenizer = type(settings)(settings.tokenizer, replace(settings.settings, chat_template=dropping))
    with pytest.raises(ArgumentError, match="left 0 places for them"):
        model.chat((A, "What?"))
    model.tokenizer = None
    with pytest.raises(ArgumentError, match="tokenizer"):
        model.chat((A, "What?"))


def test_an_image_in_a_text_only_model():
    with pytest.raises(ArgumentError):
        gpt().generate([{"role": "user", "content": [{"type": "image", "image": A}]}])

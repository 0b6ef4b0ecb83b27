"""Conversations as people and data give them, against texts and ids written out; what cannot be one is named."""

from __future__ import annotations

import pytest
from tiny_text_models import bytelevel, wordpiece
from tokenizers import AddedToken, Tokenizer, processors

from multimodal.errors import ArgumentError, DataError
from multimodal.models.chat.layout import chat_text, encode_chat, expand
from multimodal.models.chat.messages import Chat, chat_of, check_roles, read_chat, several_chats
from multimodal.tokenizers.chat import LLAMA_2, VICUNA
from multimodal.tokenizers.text import TextTokenizer
from multimodal.tokenizers.text_settings import SpecialTokens, TextSettings

PARTS = """{% for m in messages %}[{{ m['role'] }}]{% for p in m['content'] %}
{%- if p['type'] == 'image' %}<image>{% elif p['type'] == 'text' %}|{{ p['text'] }}{% endif %}
{%- endfor %}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"""
ASKED = {"role": "user", "content": "Who?"}
SAID = {"role": "assistant", "content": "Anna."}
RULE = {"role": "system", "content": "Be brief."}


def tokenizer(template=VICUNA, token="<image>", post=None):
    base = bytelevel()
    copy = Tokenizer.from_str(base.plain())
    copy.add_special_tokens([AddedToken(token, special=True, normalized=False)])
    if post is not None:
        copy.post_processor = post  # pyright: ignore
    special = SpecialTokens(bos="<|endoftext|>", eos="<|endoftext|>", extra=(token,))
    return TextTokenizer(copy, TextSettings(special=special, chat_template=template))


def text(given, template=VICUNA, token="<image>", **options):
    return chat_text(tokenizer(template, token), read_chat(given), token, **options)


def image(source="a.png"):
    return {"type": "image", "image": source}


def words(content):
    return {"type": "text", "text": content}


@pytest.mark.parametrize(
    ("given", "expected", "media"),
    [
        ("Who?", "USER: Who? ASSISTANT:", []),
        (("a.png", "Who?"), "USER: <image>\nWho? ASSISTANT:", ["a.png"]),
        ((["a.png", "b.png"], "Who?"), "USER: <image><image>\nWho? ASSISTANT:", ["a.png", "b.png"]),
        (([], "Who?"), "USER: Who? ASSISTANT:", []),
        (("a.png", "Here <image> is who?"), "USER: Here <image> is who? ASSISTANT:", ["a.png"]),
        ([RULE, ASKED], "Be brief. USER: Who? ASSISTANT:", []),
        ([{"role": "user", "content": [image(), words("Who?")]}], "USER: <image>\nWho? ASSISTANT:", ["a.png"]),
        ([{"role": "user", "content": [image(), words(" and?")]}], "USER: <image> and? ASSISTANT:", ["a.png"]),
        ([{"role": "user", "content": [words("Who? "), image()]}], "USER: Who? <image> ASSISTANT:", ["a.png"]),
        (
            [{"role": "user", "content": (image(), {"type": "image", "path": "b.png"}, words("Same?"))}, SAID, ASKED],
            "USER: <image><image>\nSame? ASSISTANT: Anna.<|endoftext|>USER: Who? ASSISTANT:",
            ["a.png", "b.png"],
        ),
        ([{"role": "user", "content": []}], "USER:  ASSISTANT:", []),
    ],
)
def test_every_form_of_a_chat(given, expected, media):
    assert text(given) == expected
    assert list(read_chat(given).media) == media


def test_media_beside_the_messages_stand_at_their_places_in_order():
    content = [{"type": "image"}, words("and <image>?"), image("own.png"), {"type": "image"}]
    chat = chat_of([{"role": "user", "content": content}, SAID, {"role": "user", "content": "<image>Who?"}], "abcd")
    assert chat.media == ("a", "b", "own.png", "c", "d") and chat.kinds == ["image"] * 5
    expected = "USER: <image>\nand <image>?<image><image> ASSISTANT: Anna.<|endoftext|>USER: <image>Who? ASSISTANT:"
    assert chat_text(tokenizer(), chat, "<image>") == expected
    assert read_chat(chat) is chat


def test_recordings_stand_where_images_would():
    chat = read_chat(("a.wav", "Who?"), hears=True)
    assert chat.kinds == ["audio"]
    assert chat_text(tokenizer(token="<audio>"), chat, "<audio>") == "USER: <audio>\nWho? ASSISTANT:"
    assert read_chat([{"role": "user", "content": [{"type": "audio", "audio": "a"}]}]).media == ("a",)


def test_a_model_may_call_the_place_otherwise():
    assert text(("a.png", "Who?"), token="<|img|>") == "USER: <|img|>\nWho? ASSISTANT:"


def test_templates_that_ask_for_parts_get_parts():
    given = [RULE, {"role": "user", "content": [image(), words("Who?")]}]
    assert text(given, PARTS) == "[system]|Be brief.[user]<image>|Who?[assistant]"
    assert text(("a.png", "Who?"), PARTS) == text(given[1:], PARTS) == "[user]<image>|Who?[assistant]"
    assert text(("a.png", "Who <image> is?"), PARTS) == "[user]|Who <image>| is?[assistant]"


def test_a_complete_conversation_is_not_opened_again():
    assert text([ASKED, SAID], answered=True) == "USER: Who? ASSISTANT: Anna.<|endoftext|>"
    assert text([ASKED], LLAMA_2) == "<|endoftext|>[INST] Who? [/INST]"


def test_texts_begin_once():
    begin = processors.TemplateProcessing(single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)])
    both = processors.TemplateProcessing(
        single="<|endoftext|> $A <image>", special_tokens=[("<|endoftext|>", 0), ("<image>", 257)]
    )
    plain = tokenizer().encode("USER: Who?", special=False).ids
    for post in (begin, both):
        found = tokenizer(post=post)
        assert encode_chat(found, "USER: Who?").ids == (0, *plain)
        assert encode_chat(found, "<|endoftext|>USER: Who?").ids == (0, *plain), "the template wrote it already"
        ended = encode_chat(found, "USER: Who?<|endoftext|>")
        assert ended.ids == (0, *plain, 0), "an end that belongs to the text stays"
        assert len(ended.ids) == len(ended.offsets) == len(ended.special_mask)
    assert encode_chat(tokenizer(), "USER: Who?").ids == plain


def test_placeholders_are_repeated_for_each_token():
    assert expand([1, 9, 2, 9, 9], 9, [2, 1, 3]) == [1, 9, 9, 2, 9, 9, 9, 9]
    assert expand([1, 2], 9, []) == [1, 2]
    with pytest.raises(ArgumentError, match="The text has 1 place for images, and 2 were given"):
        expand([1, 9], 9, [2, 2])
    with pytest.raises(ArgumentError, match="The text has 2 places for images, and 1 was given"):
        expand([9, 9], 9, [2])


@pytest.mark.parametrize(
    ("given", "count", "single"),
    [
        ("Who?", 1, True),
        (("a.png", "Who?"), 1, True),
        ([ASKED], 1, True),
        (Chat((), ()), 1, True),
        ([("a.png", "Who?"), "Who?", [ASKED]], 3, False),
        ([], 0, False),
        (iter(["Who?", "What?"]), 2, False),
    ],
)
def test_one_chat_or_several(given, count, single):
    found, one = several_chats(given)
    assert (len(found), one) == (count, single)


@pytest.mark.parametrize("given", [3, None, ASKED, b"Who?"])
def test_what_is_no_chat(given):
    with pytest.raises(ArgumentError, match="is not a chat: give"):
        several_chats(given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, "A int is not a chat"),
        ([], "A list is not a chat"),
        (("a.png",), "A chat of 1 things was given; it must be"),
        (("a.png", "b.png", "Who?"), "A chat of 3 things was given"),
        (("Who?", ["a.png"]), "it must be \\(image, question\\)"),
        (("a.png", "<image> or <image>?"), "have 2 places for images \\(<image>\\), and 1 was given; they must be as"),
        ((["a.png", "b.png"], "<image>?"), "have 1 place for images \\(<image>\\), and 2 were given"),
        ("What is in <image>?", "have 1 place for images \\(<image>\\), and 0 were given"),
        ([{"role": "user", "content": [words("<image>")]}], "have 1 place for images"),
        ([{"role": "user", "content": [{"type": "image"}]}, {"role": "assistant"}], "content of message 2 is None"),
        ([{"role": "user", "content": [{"type": "image"}]}, SAID], "have 1 place for images"),
        ([{"role": "usr", "content": "Who?"}], "role of message 1 is 'usr'; .* Did you mean 'user'"),
        ([ASKED, {"content": "Who?"}], "role of message 2 is None"),
        ([{"role": "user"}], "content of message 1 is None; it must be a text or a list of parts"),
        ([{"role": "user", "content": 3}], "content of message 1 is 3"),
        ([{"role": "user", "content": [{"type": "video", "video": "a"}]}], "Message 1 has the part .*'video'"),
        ([ASKED, SAID, {"role": "user", "content": ["Who?"]}], "Message 3 has the part 'Who"),
        ([{"role": "user", "content": [{"type": "text"}]}], "Message 1 has the part"),
    ],
)
def test_what_is_wrong_with_a_chat_is_named(given, message):
    with pytest.raises(ArgumentError, match=message):
        read_chat(given)


@pytest.mark.parametrize(
    ("roles", "answered", "message"),
    [
        ("", False, "is empty; it must end with the user's"),
        ("s", False, "ends with the system's message"),
        ("ua", False, "ends with the assistant's message; it must end with the user's, which is then answered"),
        ("a", False, "Message 1 is from the assistant, where one from the user belongs"),
        ("uu", False, "Message 2 is from the user, where one from the assistant belongs"),
        ("sau", False, "Message 2 is from the assistant"),
        ("usa", True, "Message 2 is from the system, where one from the assistant belongs: after a system message"),
        ("ssu", False, "Message 2 is from the system, where one from the user belongs"),
        ("u", True, "has no turn of the assistant, so there is nothing to learn from"),
        ("s", True, "has no turn of the assistant"),
    ],
)
def test_roles_out_of_order(roles, answered, message):
    names = {"s": "system", "u": "user", "a": "assistant"}
    with pytest.raises(ArgumentError, match=message):
        check_roles([{"role": names[role]} for role in roles], answered=answered)


@pytest.mark.parametrize(("roles", "answered"), [("u", False), ("suau", False), ("ua", True), ("suau", True)])
def test_roles_in_order(roles, answered):
    names = {"s": "system", "u": "user", "a": "assistant"}
    check_roles([{"role": names[role]} for role in roles], answered=answered)


def test_templates_that_do_not_serve():
    with pytest.raises(ArgumentError, match="has no chat template"):
        text("Who?", None)
    with pytest.raises(ArgumentError, match="has 1 image, and the chat template left 0 places for them"):
        text(("a.png", "Who?"), "{% for m in messages %}{{ m.role }}{% endfor %}")
    with pytest.raises(ArgumentError, match="has 1 image, and the chat template left 2 places"):
        text(("a.png", "Who?"), "{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}")
    with pytest.raises(ArgumentError, match="no images here"):
        text(("a.png", "Who?"), "{{ raise_exception('no images here') }}")
    with pytest.raises(DataError, match="damaged"):
        text("Who?", "{% for m in %}")
    assert wordpiece().chat_template is None

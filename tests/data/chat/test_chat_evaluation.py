"""Evaluation of answers: with the images, with other ones and with none; what is told and what is stored."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
import torch
from PIL import Image
from tiny_sounds import tone
from tiny_text_models import bytelevel
from tiny_vision_language import hearing, picture, seeing

from multimodal.data.chat import asking
from multimodal.data.chat.asking import Asked
from multimodal.data.chat.evaluate import evaluate_chat
from multimodal.data.chat.questions import ChatQuestion, questions_of
from multimodal.data.chat.samples import ChatSample
from multimodal.data.images.samples import Skipped
from multimodal.errors import ArgumentError, DataError
from multimodal.generation.rows import Generated
from multimodal.metrics import exact_scores
from multimodal.models.chat.messages import chat_of
from multimodal.models.chat.views import Seen
from multimodal.models.vision_language import VisionLanguageModel

COLOURS = {"red": (250, 10, 10), "green": (10, 250, 10), "blue": (10, 10, 250)}


def sample(media, *turns, where="here", system=None):
    """A conversation whose first question shows `media`: question, answer, question, answer ..."""
    messages = [{"role": "system", "content": system}] if system else []
    for place, text in enumerate(turns):
        shown = "<image>" * len(media) + "\n" if place == 0 and media else ""
        messages.append({"role": ("user", "assistant")[place % 2], "content": shown + text})
    return ChatSample(chat_of(messages, media), where)


@pytest.fixture
def coloured(tmp_path):
    """Thirty questions about ten red, green and blue pictures each, all a little different, sorted by colour."""
    found = []
    for name, colour in COLOURS.items():
        for shade in range(10):
            path = tmp_path / f"{name}{shade}.png"
            Image.new("RGB", (8, 8), tuple(min(255, value + shade % 5 * (value < 100)) for value in colour)).save(path)
            found.append(sample([str(path)], "Which colour?", f"{name}.", where=f"row {len(found)}"))
    return found


class Looking(VisionLanguageModel):
    """Says the colour of the first picture; "nothing" of a grey one."""

    asked: list

    def complete(self, chats, **options):
        self.asked.append([chat.media for chat in chats])
        return [[said(self.says(chat))] for chat in chats]

    def says(self, chat):
        means = chat.media[0].x[0].float().mean((1, 2))
        return "nothing" if means.max() - means.min() < 50 else list(COLOURS)[int(means.argmax())]


class Guessing(Looking):
    def says(self, chat):
        return "red"


def said(text):
    return Generated(ids=(1,), logprobs=(0.0,), score=0.0, finish="end", text=text)


def acting(kind):
    model = seeing()
    model.__class__ = kind
    model.asked = []
    return model


def test_a_model_that_looks_is_better_than_without(coloured):
    found = evaluate_chat(acting(Looking), coloured)
    assert found.score == 1.0 and found.n == 30 and found.metric == "exact-1"
    assert found.figures["accuracy"].interval[0] > 0.8
    blank = found.blind["blank"]
    assert blank.figures["accuracy"].value == 0 and blank.lead.value == 1.0 and blank.lead.interval == (1.0, 1.0)
    shuffled = found.blind["shuffled"]
    assert shuffled.n == 30 and 0.1 < shuffled.figures["accuracy"].value < 0.6 and shuffled.lead.interval[0] > 0
    assert list(found.constant) == ["red"] and found.constant["red"].figures["accuracy"].value == pytest.approx(1 / 3)
    assert found.warnings == ()


def test_a_model_that_guesses_is_told_so(coloured):
    found = evaluate_chat(acting(Guessing), coloured)
    assert found.score == pytest.approx(1 / 3)
    first, second, third = found.warnings
    alike = "33.3% as they are, 33.3% {} (difference +0.0%, 95% interval +0.0% to +0.0%)."
    assert first == "The model answers as well without looking: " + alike.format("with shuffled images")
    assert second == "The model answers as well without looking: " + alike.format("with blank images")
    assert third == "One answer to everything is as good: " + alike.format("by 'red' always")


def test_a_lead_is_that_of_both_answers_to_each_question(coloured):
    """A fifth of the questions is answered by looking: the paired interval against the definition."""

    class Peeping(Looking):
        def says(self, chat):
            right = super().says(chat)
            return right if right == "blue" and len(self.asked) == 1 else "red"

    found = evaluate_chat(acting(Peeping), coloured)
    blank = found.blind["blank"]
    own, other = ["red"] * 20 + ["blue"] * 10, ["red"] * 30
    wanted = [[one.answers[-1]] for one in coloured]
    assert found.score == pytest.approx(2 / 3) and blank.figures["accuracy"].value == pytest.approx(1 / 3)
    assert blank.lead == exact_scores(own, wanted).above(exact_scores(other, wanted))
    assert 0 < blank.lead.interval[0] < 1 / 3


def test_every_question_gets_another_image_once_each_where_possible(coloured):
    model = acting(Looking)
    evaluate_chat(model, coloured)
    own, shuffled, blank = model.asked
    for (mine,), (theirs,), (none,) in zip(own, shuffled, blank, strict=True):
        assert not torch.equal(mine.x, theirs.x)
        assert none.x.shape == mine.x.shape and bool((none.x == 128).all()) and none.tokens == mine.tokens
    assert len({one.key for (one,) in shuffled}) > 10


def test_shuffled_images_fit_where_they_are_put():
    """Of an image with more tokens there is no room; one of the same content is no other."""

    def asked(values, tokens, length, group):
        x = (torch.full((1, 3, 2, 2), value, dtype=torch.uint8) for value in values)
        question = ChatQuestion(chat_of([{"role": "user", "content": "?"}], ()), ("x",), "here", 1, group)
        return Asked(question, tuple(map(Seen, x, tokens)), length)

    both = [asked([1], [4], 18, 0), asked([2], [9], 19, 1), asked([3, 4], [4, 4], 12, 2)]
    for seed in range(5):
        one, two, three = asking._others(both, 20, random.Random(seed))
        assert one[0].tokens == 4 and one[0].x[0, 0, 0, 0] in (3, 4)
        assert two[0].tokens == 4
        assert [int(x.x[0, 0, 0, 0]) for x in three] and not {int(x.x[0, 0, 0, 0]) for x in three} & {3, 4}
        assert sum(x.tokens for x in three) - 8 <= 7
    same = [asked([5], [4], 8, 0), asked([5], [4], 8, 1)]
    assert asking._others(same, 20, random.Random(0)) == [None, None]
    turns = [asked([1], [4], 6, 0), asked([1, 2], [4, 4], 12, 0), asked([3], [4], 7, 1), asked([3], [4], 9, 1)]
    for seed in range(5):
        first, second, third, fourth = asking._others(turns, 20, random.Random(seed))
        assert first[0] is second[0] and [x.x[0, 0, 0, 0] for x in second] == [3, 3]
        assert third == fourth and third[0].x[0, 0, 0, 0] in (1, 2)


def test_answers_do_not_depend_on_what_is_asked_together(coloured, monkeypatch):
    whole = evaluate_chat(acting(Looking), coloured)
    monkeypatch.setattr(asking, "TOGETHER", 7)
    model = acting(Looking)
    parts = evaluate_chat(model, coloured)
    assert [len(asked) for asked in model.asked[::3]] == [6] * 5
    assert [one.answer for one in parts.answers] == [one.answer for one in whole.answers]
    assert [one.where for one in parts.answers] == [one.where for one in coloured]
    assert parts.figures == whole.figures and parts.blind["shuffled"].lead.interval[0] > 0


def test_a_whole_model_answers_as_chat_does(tmp_path):
    paths = []
    for seed in range(4):
        picture(seed).save(path := tmp_path / f"{seed}.png")
        paths.append(str(path))
    samples = [sample([path], "what is it", "a cat") for path in paths] + [sample([], "what is a dog", "an animal")]
    model = seeing()
    found = evaluate_chat(model, samples, max_new_tokens=5, batch_size=2)
    questions = [(path, "what is it") for path in paths] + ["what is a dog"]
    assert [one.answer for one in found.answers] == model.chat(questions, max_new_tokens=5)
    blank = model.chat((Image.new("RGB", (48, 40), (128,) * 3), "what is it"), max_new_tokens=5)
    assert all(one.blind["blank"] == blank for one in found.answers[:4]) and found.answers[4].blind == {}
    assert found.blind["blank"].n == found.blind["shuffled"].n == 4
    assert found.decoding["max_new_tokens"] == 5 and found.decoding["sampling"] is None
    assert found.prompt == "USER: <image>\nwhat is it ASSISTANT:"
    assert any("answers were cut off before their end" in sentence for sentence in found.warnings)
    drawn = evaluate_chat(model, samples, max_new_tokens=5, temperature=2.0, seed=3)
    assert drawn.decoding["sampling"]["temperature"] == 2.0


def test_a_model_that_hears(tmp_path):
    import soundfile

    for pitch in (300, 900):
        soundfile.write(tmp_path / f"{pitch}.wav", tone(pitch), 16_000)
    messages = [{"role": "user", "content": "<audio>\nhow high?"}, {"role": "assistant", "content": "high"}]
    samples = [ChatSample(chat_of(messages, [str(tmp_path / f"{pitch}.wav")]), "here") for pitch in (300, 900)]
    found = evaluate_chat(hearing(), samples, max_new_tokens=3)
    assert found.word == "recording" and found.n == 2 and set(found.blind) == {"shuffled", "blank"}


def test_every_answer_counts_and_what_came_before_is_said_as_it_stands():
    talk = sample(["a.png"], "how many?", "two", "which colour?", "red", "thanks", where="row 3", system="be brief")
    first, second = questions_of([talk])
    assert (first.text, first.wanted, first.turn) == ("how many?", ("two",), 1)
    assert (second.text, second.wanted, second.turn) == ("which colour?", ("red",), 2)
    assert first.where == second.where == "row 3" and first.group == second.group
    assert list(second.chat.messages) == list(talk.chat.messages[:4]), "with the answer that is wanted there"
    assert list(first.chat.messages) == list(talk.chat.messages[:2])
    first, second = questions_of([talk], instruction="One word.", system="be kind")
    assert (first.text, second.text) == ("how many?\nOne word.", "which colour?\nOne word.")
    assert second.chat.messages[0]["content"] == [{"type": "text", "text": "be kind"}]
    assert len(second.chat.messages) == 4 and second.chat.messages[1] == talk.chat.messages[1]
    assert first.chat.media == second.chat.media == ("a.png",)
    assert questions_of([sample([], "a", "b")], system="s")[0].chat.messages[0]["role"] == "system"
    later = chat_of(
        [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "hello"},
            {"role": "user", "content": "<image>\nand this?"},
            {"role": "assistant", "content": "a b"},
        ],
        ["b.png"],
    )
    assert [one.chat.media for one in questions_of([ChatSample(later, "here")])] == [(), ("b.png",)]


def test_answers_of_several_people_are_one_question():
    several = [sample(["a.png"], "colour?", answer) for answer in ("red", "dark red", "red")]
    others = [sample(["b.png"], "colour?", "blue"), sample(["a.png"], "shape?", "round")]
    found = questions_of([several[0], others[0], several[1], others[1], several[2]])
    assert [one.wanted for one in found] == [("red", "dark red", "red"), ("blue",), ("round",)]
    again = questions_of([sample(["a.png"], "colour?", "red", "sure?", answer) for answer in ("yes", "no")])
    assert [(one.turn, one.wanted) for one in again] == [(1, ("red", "red")), (2, ("yes", "no"))]


def test_questions_of_one_conversation_and_about_the_same_images_belong_together():
    talks = [
        sample(["a.png"], "colour?", "red", "shape?", "round"),
        sample(["b.png"], "colour?", "red"),
        sample(["a.png"], "size?", "large"),
        sample([], "hi", "hello", "who?", "me"),
        sample([], "hi", "hello", "where?", "here"),
        sample([], "hi", "hello", "where?", "there"),
        sample(["a.png", "b.png"], "same?", "no"),
    ]
    found = {(one.text, one.chat.media): one.group for one in questions_of(talks)}
    a, b = ("a.png",), ("b.png",)
    assert found["colour?", a] == found["shape?", a] == found["size?", a]
    assert found["hi", ()] == found["who?", ()]
    assert len({found["colour?", a], found["colour?", b], found["hi", ()], found["where?", ()]}) == 4
    assert found["same?", (*a, *b)] not in (found["colour?", a], found["colour?", b])


class Talking(Looking):
    """Says in a second turn what the conversation has as the first answer."""

    def says(self, chat):
        return chat.messages[1]["content"][0]["text"] if len(chat.messages) > 2 else super().says(chat)


def test_a_conversation_is_asked_turn_by_turn(coloured):
    talks = [
        sample(
            one.media, "Which colour?", one.answers[0], "Really?", "red" if number % 2 else one.answers[0], where="w"
        )
        for number, one in enumerate(coloured)
    ]
    model = acting(Talking)
    found = evaluate_chat(model, talks)
    assert found.n == 60 and found.groups == 30 and [one.turn for one in found.answers] == [1, 2] * 30
    scores = [one.score for one in found.answers]
    assert all(scores[::2]) and [bool(one) for one in scores[1::2]] == [
        number % 2 == 0 or number < 10 for number in range(30)
    ]
    for first, second in zip(found.answers[::2], found.answers[1::2], strict=True):
        assert second.blind["blank"] == first.wanted[0], "what was said before is that of the data"
    own, shuffled, _ = model.asked
    assert own[::2] == own[1::2]
    assert all(one is other for (one,), (other,) in zip(shuffled[::2], shuffled[1::2], strict=True))
    wanted = [one.wanted for one in found.answers]
    expected = replace(
        exact_scores([one.answer for one in found.answers], wanted), groups=tuple(i // 2 for i in range(60))
    )
    assert found.figures == expected.figures()
    assert "60 questions, exact-1; in parentheses the 95% interval of a bootstrap over 30 conversations" in str(found)
    plain = found.plain()
    assert (plain["n"], plain["groups"], plain["answers"][1]["turn"]) == (60, 30, 2)


def test_one_conversation_says_nothing_of_others(coloured):
    found = evaluate_chat(acting(Looking), [sample(coloured[0].media, "Which?", "red", "And?", "green", "So?", "red")])
    assert found.n == 3 and found.groups == 1 and found.figures["accuracy"].interval == (0.0, 1.0)
    assert found.blind["blank"].lead.interval == (-1.0, 1.0)
    assert found.warnings[0].startswith("All questions are of one conversation, or about the same: what the score is")
    assert not any("without looking" in sentence for sentence in found.warnings)


def test_the_turns_of_a_conversation_go_together_and_their_image_is_encoded_once(tmp_path):
    talks = []
    for seed in range(3):
        picture(seed).save(path := tmp_path / f"{seed}.png")
        talks.append(sample([str(path)], "what is it", "a cat", "where?", "here", "why?", "so"))
    model, encoded = seeing(), []
    encode = model.encode
    model.encode = lambda views: (encoded.append(len(views.x)), encode(views))[1]
    found = evaluate_chat(model, talks, max_new_tokens=4)
    assert sum(encoded) == 3 + 3 + 1, (
        "of three conversations as they are, with each other's images, and with the one blank"
    )
    model.encode = encode
    messages = []
    for number, (question, answer) in enumerate((("what is it", "a cat"), ("where?", "here"), ("why?", "so"))):
        image = [{"type": "image", "image": tmp_path / "0.png"}] if number == 0 else []
        messages.append({"role": "user", "content": [*image, {"type": "text", "text": question}]})
        assert found.answers[number].answer == model.chat(messages, max_new_tokens=4)
        messages.append({"role": "assistant", "content": answer})


def test_what_cannot_be_asked_is_named_and_left_out(coloured, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    samples = [
        sample([str(tmp_path / "bad.png")], "colour?", "red", where="row a"),
        *coloured[:3],
        sample([coloured[0].media[0]], "x" * 300, "red", where="row b"),
        sample([str(tmp_path / "none.png")], "colour?", "red", where="row c"),
    ]
    model = acting(Looking)
    found = evaluate_chat(model, samples, skipped=[Skipped("row z", "no JSON")])
    assert found.n == 3 and {one.path for one in found.skipped} == {"row a", "row b", "row c", "row z"}
    reasons = {one.path: one.reason for one in found.skipped}
    assert "bad.png" in reasons["row a"] and "the model reads up to 256" in reasons["row b"]
    assert any(one.startswith("4 questions could not be asked; the first: row z: no JSON.") for one in found.warnings)
    with pytest.raises(DataError, match=r"None of 1 questions could be asked. The first: row a: .*bad.png"):
        evaluate_chat(model, samples[:1])
    played = [{"role": "user", "content": "<audio>"}, {"role": "assistant", "content": "x"}]
    recording = ChatSample(chat_of(played, ["a.wav"]), "row d")
    with pytest.raises(DataError, match="row d"):
        evaluate_chat(model, [recording])


def test_questions_that_show_nothing_or_the_same_are_no_blindness_test(coloured):
    model = seeing()
    found = evaluate_chat(model, [sample([], "what is a dog", "an animal")], max_new_tokens=2)
    assert found.blind == {} and "No question shows anything, so nothing is said of whether" in " ".join(found.warnings)
    found = evaluate_chat(acting(Looking), coloured[:1])
    assert set(found.blind) == {"blank"}
    assert any("1 of 1 questions were not asked with another image" in sentence for sentence in found.warnings)


def test_a_draw_of_the_questions_is_the_same_each_time(coloured):
    ten = evaluate_chat(acting(Looking), coloured, limit=10)
    again = evaluate_chat(acting(Looking), coloured, limit=10)
    assert ten.n == 10 and ten.answers == again.answers and ten.blind == again.blind
    assert len({one.answer for one in ten.answers}) == 3, "not the first ones, which are all red"
    assert evaluate_chat(acting(Looking), coloured, limit=99).n == 30


def test_yes_no_and_captions(coloured):
    yes = [sample(one.media, "Is it red?", "Yes" if i < 10 else "No") for i, one in enumerate(coloured)]

    class Sure(Looking):
        def says(self, chat):
            return "Yes, it is." if super().says(chat) == "red" else "No."

    found = evaluate_chat(acting(Sure), yes, metric="yes-no")
    assert found.score == 1 and found.figures["f1"].value == 1 and list(found.constant) == ["no"]
    with pytest.raises(ArgumentError, match=r"'yes-no' cannot score these data: Question 1 wants 'red\.', which"):
        evaluate_chat(model := acting(Sure), coloured, metric="yes-no")
    assert model.asked == [], "refused before anything was asked"
    told = evaluate_chat(acting(Looking), coloured[:6], metric="caption")
    assert list(told.figures) == ["chrf", "bleu"] and told.constant == {} and set(told.blind) == {"shuffled", "blank"}


def test_everything_is_stored(coloured, tmp_path):
    found = evaluate_chat(acting(Looking), coloured, instruction="One word.")
    found.save(tmp_path / "runs" / "result.json", {"model": "m", "data": "d"})
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["result.json"]
    stored = json.loads((tmp_path / "runs" / "result.json").read_text())
    assert (stored["model"], stored["data"], stored["metric"]) == ("m", "d", "exact-1")
    assert stored["n"] == 30 and stored["score"] == 1.0
    assert stored["interval"] == stored["figures"]["accuracy"]["interval"]
    assert set(stored["blind"]) == {"shuffled", "blank"} and stored["blind"]["blank"]["lead"]["value"] == 1.0
    assert stored["prompt"] == "USER: <image>\nWhich colour?\nOne word. ASSISTANT:" and "USER: " in stored["template"]
    assert stored["decoding"]["max_new_tokens"] == 256 and stored["versions"]["torch"]
    assert len(stored["answers"]) == 30
    first = stored["answers"][0]
    assert first["wanted"] == ["red."] and first["answer"] == "red" and first["score"] == 1 and first["media"]
    assert set(first["blind"]) == {"shuffled", "blank"}
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        found.save(tmp_path / "file" / "result.json")


def test_the_table_shows_what_is_reached_in_other_ways(coloured):
    told = str(evaluate_chat(acting(Guessing), coloured))
    first, columns, figures, *_ = told.splitlines()
    assert first.startswith("30 questions, exact-1; in parentheses the 95% interval")
    assert columns.split() == ["own", "images", "shuffled", "blank", "always", "'red'"]
    assert figures.split() == ["accuracy", "33.3%", "(16.7%", "to", "50.0%)", "33.3%", "33.3%", "33.3%"]
    assert told.count("warning: ") == 3


def test_what_is_refused(coloured):
    model = acting(Looking)
    with pytest.raises(ArgumentError, match=r"metric is 'exakt'; it must be one of .* Did you mean 'exact'"):
        evaluate_chat(model, coloured, metric="exakt")
    with pytest.raises(ArgumentError, match="limit is 0"):
        evaluate_chat(model, coloured, limit=0)
    with pytest.raises(ArgumentError, match="n_best has no meaning"):
        evaluate_chat(model, coloured, n_best=2, beams=2)
    with pytest.raises(ArgumentError, match="temperatur is not an option"):
        evaluate_chat(model, coloured, temperatur=1)
    with pytest.raises(DataError, match="no conversation to evaluate on"):
        evaluate_chat(model, [])
    model.tokenizer = bytelevel(chat_template=None)
    with pytest.raises(ArgumentError, match="has no chat template"):
        evaluate_chat(model, coloured)

"""Evaluation of answers: with the images, with other ones and with none; what is told and what is stored."""

from __future__ import annotations

import json
import random

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
from multimodal.models.chat_messages import chat_of
from multimodal.models.views import Seen
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

    def asked(values, tokens, length):
        x = (torch.full((1, 3, 2, 2), value, dtype=torch.uint8) for value in values)
        question = ChatQuestion(chat_of([{"role": "user", "content": "?"}], ()), ("x",), "here")
        return Asked(question, tuple(map(Seen, x, tokens)), length)

    both = [asked([1], [4], 18), asked([2], [9], 19), asked([3, 4], [4, 4], 12)]
    for seed in range(5):
        one, two, three = asking._others(both, 20, random.Random(seed))
        assert one[0].tokens == 4 and one[0].x[0, 0, 0, 0] in (3, 4)
        assert two[0].tokens == 4
        assert [int(x.x[0, 0, 0, 0]) for x in three] and not {int(x.x[0, 0, 0, 0]) for x in three} & {3, 4}
        assert sum(x.tokens for x in three) - 8 <= 7
    same = [asked([5], [4], 8), asked([5], [4], 8)]
    assert asking._others(same, 20, random.Random(0)) == [None, None]


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


def test_the_last_answer_counts_and_what_came_before_is_said():
    talk = sample(["a.png"], "how many?", "two", "which colour?", "red", "thanks", where="row 3", system="be brief")
    (one,) = questions_of([talk])
    assert one.text == "which colour?" and one.wanted == ("red",) and one.where == "row 3"
    assert [message["role"] for message in one.chat.messages] == ["system", "user", "assistant", "user"]
    (told,) = questions_of([talk], instruction="One word.", system="be kind")
    assert told.text == "which colour?\nOne word."
    assert told.chat.messages[0]["content"] == [{"type": "text", "text": "be kind"}]
    assert len(told.chat.messages) == 4 and told.chat.media == ("a.png",)
    assert questions_of([sample([], "a", "b")], system="s")[0].chat.messages[0]["role"] == "system"
    later = chat_of(
        [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "hello"},
            {"role": "user", "content": "<image>\nand this?"},
        ],
        ["b.png"],
    )
    assert questions_of([ChatSample(later, "here")])[0].chat.media == ()


def test_answers_of_several_people_are_one_question():
    several = [sample(["a.png"], "colour?", answer) for answer in ("red", "dark red", "red")]
    others = [sample(["b.png"], "colour?", "blue"), sample(["a.png"], "shape?", "round")]
    found = questions_of([several[0], others[0], several[1], others[1], several[2]])
    assert [one.wanted for one in found] == [("red", "dark red", "red"), ("blue",), ("round",)]


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

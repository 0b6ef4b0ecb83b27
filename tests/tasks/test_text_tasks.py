"""Tasks on labelled text: losses and metrics against the definitions, and against what the models' own methods say."""

import pytest
import torch
from tiny_text_models import KINDS, TAGS, bytelevel, gpt, randomized, wordpiece
from torch.nn import functional as F

from multimodal.data.text.question_data import WholeQuestions, whole_questions
from multimodal.data.text.question_windows import QuestionConfig, question_windows
from multimodal.data.text.rows import Answer, ChoiceQuestion, LabeledText, Question, TaggedWords
from multimodal.data.text.task_batches import ChoiceConfig, ClassificationConfig, TaggingConfig
from multimodal.errors import ArgumentError
from multimodal.losses import IGNORE
from multimodal.metrics import answer_f1, entity_scores, exact_match
from multimodal.models.text_heads import TextClassifierConfig
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tasks.question_answering import QuestionAnsweringTask
from multimodal.tasks.text_classification import TextClassificationTask, TextObjectiveConfig
from multimodal.tasks.token_tagging import TokenTaggingTask


def items(*samples):
    return [(sample, (0, place)) for place, sample in enumerate(samples)]


def counted(task, *batches):
    metrics = dict(task.val_metrics.items())
    with torch.no_grad():
        for batch in batches:
            task.eval().count(batch, metrics)
    return {name: float(value) for name, value in task.report(metrics).items()}


REVIEWS = items(
    LabeledText("the cat sat", None, 0), LabeledText("a dog", "ran to paris", 2), LabeledText("mat", None, 1)
)


def test_classes_of_texts_and_pairs():
    model = KINDS["text classifier"]()
    batch = ClassificationConfig().build(wordpiece())(REVIEWS)
    logits = model(batch["ids"], keep=batch["keep"], types=batch["types"])
    plain = F.cross_entropy(logits, batch["target"])
    task = TextClassificationTask(model)
    assert task.training_step(batch, 0).item() == pytest.approx(plain.item(), rel=1e-5)
    found = counted(task, batch)
    assert found["loss"] == pytest.approx(plain.item(), rel=1e-5)
    assert found["accuracy"] == pytest.approx((logits.argmax(1) == batch["target"]).float().mean().item())
    smooth = TextClassificationTask(model, objective=TextObjectiveConfig(smoothing=0.2)).training_step(batch, 0)
    assert smooth.item() == pytest.approx(
        F.cross_entropy(logits, batch["target"], label_smoothing=0.2).item(), rel=1e-5
    )


def test_a_language_model_goes_on_predicting():
    model = KINDS["text classifier on a language model"]()
    batch = ClassificationConfig(next_tokens=True).build(bytelevel())(REVIEWS)
    logits = model(batch["ids"], keep=batch["keep"])
    body = model.encoder(batch["ids"])
    ids, keep = batch["ids"], batch["keep"]
    following = F.cross_entropy(body[:, :-1][keep[:, 1:]], ids[:, 1:][keep[:, 1:]])
    by_hand = F.cross_entropy(logits, batch["target"]) + 0.5 * following
    task = TextClassificationTask(model, objective=TextObjectiveConfig(language=0.5))
    assert task.training_step(batch, 0).item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_a_language_models_loss_needs_a_language_model():
    with pytest.raises(ArgumentError, match="language is the weight"):
        TextClassificationTask(KINDS["text classifier"](), objective=TextObjectiveConfig(language=0.5))


def test_several_labels_a_text_are_refused():
    config = TextClassifierConfig(encoder=gpt().config, classes=3, output="sigmoid")
    with pytest.raises(ArgumentError, match="sigmoid"):
        TextClassificationTask(randomized(config.build()))


def test_choices_that_are_not_there_are_never_chosen():
    model = KINDS["multiple choice"]()
    samples = [
        ChoiceQuestion("where is the cat", ("on a mat", "in paris", "anna"), 1),
        ChoiceQuestion("who ran", ("a dog", "the house"), 0),
    ]
    batch = ChoiceConfig().build(wordpiece())(items(*samples))
    task = TextClassificationTask(model)
    alone = [ChoiceConfig().build(wordpiece())(items(sample)) for sample in samples]
    logits = [model(one["ids"], keep=one["keep"], types=one["types"])[0] for one in alone]
    losses = [F.cross_entropy(row, torch.tensor(sample.label)) for row, sample in zip(logits, samples, strict=True)]
    expected = (sum(losses) / 2).item()
    assert task.training_step(batch, 0).item() == pytest.approx(expected, rel=1e-4)
    assert counted(task, batch)["loss"] == pytest.approx(expected, rel=1e-4)
    with pytest.raises(ArgumentError, match="smoothing"):
        TextClassificationTask(model, objective=TextObjectiveConfig(smoothing=0.1))


SENTENCES = (
    TaggedWords(("anna", "lives", "in", "paris"), (1, 0, 0, 3)),
    TaggedWords(("the", "dogs", "ran", "to", "anna", "stone", "of", "paris"), (0, 0, 0, 0, 1, 2, 0, 3)),
)


@pytest.mark.parametrize("longest", [None, 7])
def test_tags_and_entities_with_words_that_were_cut_off(longest):
    model = KINDS["tagger"]()
    batch = TaggingConfig(max_length=longest).build(wordpiece())(items(*SENTENCES))
    logits = model(batch["ids"], keep=batch["keep"])
    plain = F.cross_entropy(logits.flatten(0, 1), batch["targets"].flatten(), ignore_index=IGNORE)
    task = TokenTaggingTask(model)
    assert task.training_step(batch, 0).item() == pytest.approx(plain.item(), rel=1e-5)

    tags = []
    for number, sentence in enumerate(SENTENCES):
        chosen = ["O"] * len(sentence.words)
        for place in (batch["words"][number] >= 0).nonzero().flatten().tolist():
            chosen[int(batch["words"][number, place])] = TAGS[int(logits[number, place].argmax())]
        tags.append(chosen)
    right = [[TAGS[tag] for tag in sentence.tags] for sentence in SENTENCES]
    scores = entity_scores(tags, right)[""]
    found = counted(task, batch)
    assert [found[name] for name in ("precision", "recall", "f1")] == pytest.approx(
        [scores.precision, scores.recall, scores.f1]
    )
    assert scores.support == 4


def test_entities_are_right_when_all_tags_are():
    model = KINDS["tagger"]()
    collate = TaggingConfig().build(wordpiece())
    batches = [collate(items(sentence)) for sentence in SENTENCES]
    for batch in batches:
        task = TokenTaggingTask(model)
        task._logits = lambda batch: F.one_hot(batch["targets"].clamp(min=0), 5).float() * 20
        assert counted(task, batch)["f1"] == 1.0
    wrong = TokenTaggingTask(model)
    wrong._logits = lambda batch: F.one_hot(torch.zeros_like(batch["ids"]), 5).float()
    assert counted(wrong, *batches)["f1"] == 0.0


def test_tags_that_mark_no_entities_are_scored_by_word():
    model = KINDS["tagger"]()
    model.labels = ("NOUN", "VERB", "DET", "ADP", "O")
    task = TokenTaggingTask(model)
    batch = TaggingConfig().build(wordpiece())(items(*SENTENCES))
    assert set(counted(task, batch)) == {"loss", "accuracy"}


CONTEXT = "the cat sat on a mat and the dog ran to paris where anna lives in a big red house of stone . "
QUESTIONS = [
    Question("1", "where is the cat", CONTEXT * 2, (Answer("on a mat", 12),)),
    Question("2", "who lives", CONTEXT, (Answer("anna", CONTEXT.index("anna")),)),
    Question("3", "what ran", "a dog ran .", ()),
]


def test_the_loss_of_windows():
    model = KINDS["question answerer"]()
    config = QuestionConfig(max_length=24)
    batch = config.build(wordpiece())(items(*question_windows(QUESTIONS, wordpiece(), config)))
    assert len(batch["ids"]) > 3, "a context must need several windows"
    logits = model(batch["ids"], keep=batch["keep"], types=batch["types"])
    by_hand = (F.cross_entropy(logits[..., 0], batch["start"]) + F.cross_entropy(logits[..., 1], batch["end"])) / 2
    assert QuestionAnsweringTask(model).training_step(batch, 0).item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_validation_answers_as_the_model_does():
    model = KINDS["question answerer"]()
    config = QuestionConfig(max_length=model.longest)
    batch = whole_questions(config, wordpiece(), items(*QUESTIONS))
    task = QuestionAnsweringTask(model, longest_answer=30)
    found = counted(task, batch)
    exact, f1 = [], []
    for question in QUESTIONS:
        given = model.answer(question.question, question.context)[0].text
        right = [answer.text for answer in question.answers] or [""]
        exact.append(max(exact_match(given, one) for one in right))
        f1.append(max(answer_f1(given, one) for one in right))
    assert found["exact"] == pytest.approx(sum(exact) / 3)
    assert found["f1"] == pytest.approx(sum(f1) / 3) and found["f1"] > 0


def test_questions_that_leave_no_room_for_their_context_count_as_wrong():
    long = Question("4", "where is the cat " * 9, CONTEXT, (Answer("paris", CONTEXT.index("paris")),))
    batch = whole_questions(QuestionConfig(max_length=24), wordpiece(), items(long))
    found = counted(QuestionAnsweringTask(KINDS["question answerer"]()), batch)
    assert found["exact"] == found["f1"] == 0.0


def test_lightning_moves_whole_questions_and_leaves_the_questions_alone():
    from lightning.fabric.utilities.apply_func import move_data_to_device

    batch = whole_questions(QuestionConfig(max_length=24), wordpiece(), items(*QUESTIONS))
    moved = move_data_to_device(batch, torch.device("meta"))
    assert isinstance(moved, WholeQuestions) and moved.questions == QUESTIONS
    assert all(value.is_meta for value in moved.tensors().values())


def test_the_right_answer_scores_one():
    model = KINDS["question answerer"]()
    batch = whole_questions(QuestionConfig(max_length=64), wordpiece(), items(QUESTIONS[1]))
    task = QuestionAnsweringTask(model, optimizer=OptimizerConfig(lr=1e-3))

    def knowing(windows):
        logits = torch.zeros(*windows["ids"].shape, 2)
        for row, (start, end) in enumerate(zip(windows["start"], windows["end"], strict=True)):
            logits[row, start, 0] = logits[row, end, 1] = 20.0
        return logits

    task._logits = knowing
    found = counted(task, batch)
    assert found["exact"] == found["f1"] == 1.0

"""`multimodal evaluate`: the table, the file, and what is refused."""

from __future__ import annotations

import json

import pytest
from commands import ends
from tiny_text_models import gpt
from tiny_vision_language import picture, seeing

from multimodal.checkpoint import save
from multimodal.cli import evaluate, main
from multimodal.metrics import ANSWER_METRICS

SHORT = ["--device", "cpu", "--dtype", "float32", "--max-new-tokens", "3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(save(seeing(), tmp_path_factory.mktemp("models") / "seeing"))


@pytest.fixture
def data(tmp_path):
    """Two questions of the test part, about images in a folder of their own; four to train on."""
    (tmp_path / "pictures").mkdir()
    rows = []
    for number in range(6):
        picture(number).save(tmp_path / "pictures" / f"{number}.png")
        turns = [("user", f"<image>\nIs it {number}?"), ("assistant", "no")]
        messages = [{"role": role, "content": text} for role, text in turns]
        split = "test" if number < 2 else "train"
        rows.append({"image": f"{number}.png", "messages": messages, "split": split})
    (tmp_path / "chat.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return tmp_path / "chat.jsonl"


def run(capsys, *words, status=0):
    """What `multimodal evaluate` prints: (stdout, stderr)."""
    found = main(["evaluate", *map(str, words)])
    out, err = capsys.readouterr()
    assert found == status, err
    return out, err


def test_the_table_and_the_file(folder, data, capsys, tmp_path):
    words = [folder, data, "--images", tmp_path / "pictures", "--instruction", "Say.", *SHORT]
    out, _ = run(capsys, *words, "--metric", "yes-no", "--out", tmp_path / "result.json")
    head, first, columns, *rows = out.splitlines()
    assert head == f"{folder} on {data}, test" and first.startswith("2 questions, yes-no-1; ")
    assert columns.split() == ["own", "images", "shuffled", "blank", "always", "'no'"]
    assert [row.split()[0] for row in rows[:6]] == ["accuracy", "precision", "recall", "f1", "yes", "unclear"]
    assert "warning: The model answers as well without looking" in out
    stored = json.loads((tmp_path / "result.json").read_text())
    assert (stored["model"], stored["data"], stored["split"], stored["n"]) == (folder, str(data), "test", 2)
    asked = [(tmp_path / "pictures" / f"{number}.png", f"Is it {number}?\nSay.") for number in range(2)]
    assert [one["answer"] for one in stored["answers"]] == seeing().chat(asked, max_new_tokens=3)
    assert stored["answers"][1]["question"] == "Is it 1?\nSay." and stored["prompt"].endswith("Say. ASSISTANT:")


def test_json_and_another_split(folder, data, capsys, tmp_path):
    words = [folder, data, "--images", tmp_path / "pictures", "--split", "train", "--limit", 3, "--json", *SHORT]
    out, _ = run(capsys, *words)
    found = json.loads(out)
    assert found["n"] == 3 and found["split"] == "train" and found["metric"] == "exact-1"


def test_every_question_of_a_conversation_is_asked(folder, data, capsys, tmp_path):
    row = json.loads(data.read_text().splitlines()[0])
    more = [("user", "Is it more?"), ("assistant", "yes")]
    row["messages"] += [{"role": role, "content": text} for role, text in more]
    data.write_text(f"{json.dumps(row)}\n")
    out, _ = run(capsys, folder, data, "--images", tmp_path / "pictures", "--json", *SHORT)
    found = json.loads(out)
    assert (found["n"], found["groups"]) == (2, 1)
    assert [(one["turn"], one["question"], one["wanted"]) for one in found["answers"]] == [
        (1, "Is it 0?", ["no"]),
        (2, "Is it more?", ["yes"]),
    ]


def test_the_metrics_are_those_there_are():
    assert set(evaluate.METRICS) == set(ANSWER_METRICS)


def test_what_is_refused(folder, data, capsys, tmp_path):
    given = ["evaluate", folder, str(data), "--images", str(tmp_path / "pictures")]
    ends(capsys, [*given, "--metric", "exakt"], 2, "--metric is 'exakt'", "Did you mean 'exact'")
    ends(capsys, [*given, "--split", "val"], 2, "--split is 'val'", "has no such part; it has train, test")
    ends(capsys, [*given, "--limit", "0"], 2, "--limit is 0")
    ends(capsys, [*given, "--out", str(tmp_path)], 2, "which is a folder")
    ends(capsys, [*given, "--metric", "yes-no", "--temperature", "-1"], 2, "temperature is -1")
    ends(capsys, given[:3], 1, "holds no conversation that can be used", "file not found")
    ends(capsys, ["evaluate", folder, str(tmp_path / "none.jsonl")], 1, "none.jsonl")
    reader = str(save(gpt(), tmp_path / "gpt"))
    ends(capsys, ["evaluate", reader, *given[2:]], 2, "is of the class LanguageModel; evaluate needs a Vision")

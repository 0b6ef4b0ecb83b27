"""`multimodal generate`: what it prints where, for whom, and what it refuses."""

from __future__ import annotations

import io
import json
import sys

import pytest
from tiny_text_models import bert, gpt, llama, t5

from multimodal.checkpoint import save
from multimodal.cli import main
from multimodal.generation.rows import Step
from multimodal.models.text import generation


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(save(gpt(), tmp_path_factory.mktemp("models") / "gpt"))


@pytest.fixture(scope="module")
def translator(tmp_path_factory):
    return str(save(t5(), tmp_path_factory.mktemp("models") / "t5"))


class Terminal(io.StringIO):
    """Stands in for stdout: remembers what was there at each flush."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def flush(self):
        self.seen.append(self.getvalue())

    def isatty(self):
        return True


def run(capsys, *words, status=0):
    """What `multimodal generate` prints: (stdout, stderr)."""
    found = main(["generate", "--dtype", "float32", "--device", "cpu", *map(str, words)])
    out, err = capsys.readouterr()
    assert found == status, err
    return out, err


def refused(capsys, *words, status=2):
    out, err = run(capsys, *words, status=status)
    assert out == "" and err.startswith("multimodal generate: ") and err.count("\n") == 1
    return err


def test_one_prompt_streams(folder, capsys, monkeypatch):
    expected = gpt().generate("a cat", max_new_tokens=9)
    assert run(capsys, folder, "a cat", "--max-new-tokens", 9)[0] == expected + "\n"
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    main(["generate", folder, "a cat", "--dtype", "float32", "--device", "cpu", "--max-new-tokens", "9"])
    assert len(set(terminal.seen)) > 3, "written as it comes"


def test_options_reach_the_model(folder, capsys):
    model = gpt()
    drawn = {"temperature": 1.5, "top_k": 50, "top_p": 0.9, "min_p": 0.01, "seed": 3, "max_new_tokens": 7}
    words = [word for name, value in drawn.items() for word in (f"--{name.replace('_', '-')}", value)]
    assert run(capsys, folder, "a cat", *words)[0] == model.generate("a cat", **drawn) + "\n"
    best = model.generate("a cat", beams=3, n_best=2, max_new_tokens=4)
    out, _ = run(capsys, folder, "a cat", "--beams", 3, "--n-best", 2, "--max-new-tokens", 4)
    assert out == "".join(f"{text}\n" for text in best)
    whole = model.generate("a cat", max_new_tokens=9)
    out, _ = run(capsys, folder, "a cat", "--max-new-tokens", 9, "--stop", "nowhere", "--stop", whole[3:5])
    assert out == whole[: whole.index(whole[3:5])] + "\n"
    messages = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}]
    out, _ = run(capsys, folder, "hi", "--chat", "--system", "be kind", "--max-new-tokens", 5)
    assert out == model.generate(messages, max_new_tokens=5) + "\n"
    out, _ = run(capsys, folder, "x" * 80, "--truncate", "--max-new-tokens", 3)
    assert out == model.generate("x" * 80, truncate=True, max_new_tokens=3) + "\n"


def test_a_draft_changes_nothing(folder, capsys):
    plain, _ = run(capsys, folder, "a cat", "--max-new-tokens", 9)
    for draft in ("lookup", folder):
        assert run(capsys, folder, "a cat", "--max-new-tokens", 9, "--draft", draft)[0] == plain


def test_several_prompts_from_everywhere(folder, capsys, tmp_path, monkeypatch):
    (tmp_path / "prompts.txt").write_bytes("one\r\n\n  \nzwei é\n".encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from stdin\n")))
    prompts = ["a", "from stdin", "one", "zwei é"]
    words = ["--max-new-tokens", 4, "--batch-size", 3]
    out, _ = run(capsys, folder, "a", "-", "--file", tmp_path / "prompts.txt", "--json", *words)
    records = [json.loads(line) for line in out.split("\n")[:-1]]
    assert [record["prompt"] for record in records] == prompts
    found = gpt().complete(prompts, max_new_tokens=4)
    for record, texts in zip(records, found, strict=True):
        (one,) = record["completions"]
        assert one["text"] == texts[0].text and one["finish"] == texts[0].finish
        assert one["tokens"] == len(texts[0].ids) and one["logprob"] == pytest.approx(texts[0].score, abs=1e-4)
    out, _ = run(capsys, folder, "a", "one", *words)
    assert out == "".join(f"{text}\n" for text in gpt().generate(["a", "one"], max_new_tokens=4))


def test_a_text_that_ends_with_the_room_says_so(folder, capsys):
    reads = gpt().config.embedding.max_length
    out, err = run(capsys, folder, "a cat", "--max-new-tokens", 1000)
    assert out == gpt().generate("a cat", max_new_tokens=1000) + "\n"
    assert err == f"The text ends where the model can read no further: at {reads} tokens, the prompt's included.\n"
    _, err = run(capsys, folder, "a cat", "dog", "--max-new-tokens", reads - 4)
    assert err.startswith("1 of 2 texts end where the model can read no further")
    assert run(capsys, folder, "a cat", "--max-new-tokens", 4)[1] == ""


def test_scoring(folder, capsys):
    out, _ = run(capsys, folder, "a cat", "x", "--score")
    head, *lines = out.splitlines()
    assert head.split("\t") == ["perplexity", "logprob", "tokens", "text"]
    scores = gpt().score(["a cat", "x"])
    for line, text, score in zip(lines, ["a cat", "x"], scores, strict=True):
        assert line == f"{score.perplexity:.4g}\t{score.logprob:.4f}\t{len(text)}\t{text}"
    record = json.loads(run(capsys, folder, "a cat", "--score", "--json")[0])
    assert record["text"] == "a cat" and record["tokens"] == ["a", "Ġ", "c", "a", "t"]
    assert record["perplexity"] == pytest.approx(scores[0].perplexity, rel=1e-4) and len(record["logprobs"]) == 5


def test_translating(translator, capsys):
    expected = t5().generate(["a cat", "x"])
    assert run(capsys, translator, "a cat")[0] == expected[0] + "\n"
    assert run(capsys, translator, "a cat", "x")[0] == "".join(f"{text}\n" for text in expected)
    assert "--score needs a LanguageModel" in refused(capsys, translator, "a", "--score")
    assert "--chat needs a LanguageModel" in refused(capsys, translator, "a", "--chat")


def test_interrupted(folder, capsys, monkeypatch):
    def stream(*_, **__):
        yield Step(0, 1, 0.0, "so ", None)
        yield Step(0, 2, 0.0, "far", None)
        raise KeyboardInterrupt

    monkeypatch.setattr(generation, "stream_text", stream)
    out, err = run(capsys, folder, "a", status=130)
    assert out == "so far\n" and err == "multimodal generate: Stopped.\n"


def test_a_terminal_is_not_commanded(folder, capsys, monkeypatch):
    step = Step(0, 1, 0.0, "a\x1b[2Jb\x9b👩‍🔬\n", "end")
    monkeypatch.setattr(generation, "stream_text", lambda *_, **__: iter([step]))
    assert run(capsys, folder, "a")[0] == "a\x1b[2Jb\x9b👩‍🔬\n\n"
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    assert main(["generate", folder, "a"]) == 0
    assert terminal.getvalue() == "a\ufffd[2Jb\ufffd👩‍🔬\n\n"


def test_what_is_refused(folder, capsys, tmp_path, monkeypatch):
    assert "There is no prompt: give a text" in refused(capsys, folder)
    assert "stdin, which can be read only once" in refused(capsys, folder, "-", "-")
    assert "--system is a message of a conversation" in refused(capsys, folder, "a", "--system", "x")
    assert "--top-p has no meaning with --score" in refused(capsys, folder, "a", "--score", "--top-p", 0.5)
    assert "--batch-size is 0" in refused(capsys, folder, "a", "--batch-size", 0)
    assert "temperature is -1; it must be above 0, or 0 for always" in refused(capsys, folder, "a", "--temperature", -1)
    assert "has 70 tokens, which leaves no room" in refused(capsys, folder, "x" * 70)
    (tmp_path / "blank.txt").write_text("\n \n")
    assert "all its lines are blank" in refused(capsys, folder, "--file", tmp_path / "blank.txt")
    assert "does not exist" in refused(capsys, folder, "--file", tmp_path / "none.txt", status=1)
    assert "is a TextEncoder; generate needs" in refused(capsys, save(bert(), tmp_path / "bert"), "a")
    assert "has no tokenizer" in refused(capsys, save(llama(), tmp_path / "llama"), "a")

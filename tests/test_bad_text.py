"""Texts, prompts and model folders that cannot be used, given to the text models: one sentence, a code, bounded time.

What each reader refuses in detail is tested beside it; here it is what a person sees who calls a model or a command.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import ends
from safetensors.torch import load_file, save_file
from tiny_text_models import KINDS, bytelevel, gpt, t5

import multimodal as mm
from multimodal.cli import main
from multimodal.data.text.corpus_data import CorpusData
from multimodal.errors import ArgumentError, DataError
from multimodal.generation.config import BeamConfig, SamplingConfig
from multimodal.hub import save_transformers
from multimodal.tokenizers import chat_sandbox

PLACE = ["--device", "cpu", "--dtype", "float32", "--max-new-tokens", "2"]
LONG = "a" * 1_000_000  # on one line

USES: dict[str, Callable[[Any, Any], Any]] = {  # what may be asked of each kind with any text
    "gpt": lambda model, text: (
        model.generate(text, max_new_tokens=2, truncate=True),
        list(model.stream(text, max_new_tokens=2)),
    ),
    "t5": lambda model, text: model.generate(text, max_new_tokens=2, truncate=True),
    "bert": lambda model, text: (model.embed(text).tolist(), model.fill_mask(f"{text} [MASK]", top=1)[0].text),
    "text classifier": lambda model, text: model.predict(text)[0].probabilities,
    "tagger": lambda model, text: [(one.start, one.end) for row in model.tag([text, [text, "a"]]) for one in row],
    "question answerer": lambda model, text: [(one.start, one.end) for one in model.answer(text, f"{text} a")],
    "multiple choice": lambda model, text: model.choose(text, [text, "a"]).probabilities,
}


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {kind: KINDS[kind]() for kind in USES}


@pytest.fixture
def ours(tmp_path) -> Path:
    return mm.save(gpt(), tmp_path / "ours")


@pytest.fixture
def theirs(tmp_path) -> Path:
    """As transformers writes it."""
    save_transformers(gpt(), tmp_path / "theirs")
    return tmp_path / "theirs"


def edit(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize("kind", USES)
def test_any_string_is_a_text(kind, models):
    ask = USES[kind]
    if kind != "t5":  # whose tokenizer here has nothing to put around a text
        ask(models[kind], "")
    for text in ("\n", "\x00\x1b[2J", "ñandú 猫 👩‍🔬"):
        ask(models[kind], text)
    assert ask(models[kind], "a\ud800b \udfff") == ask(models[kind], "a\ufffdb \ufffd")


def test_bytes_that_are_not_utf8(models):
    assert models["gpt"].generate(b"a\xff", max_new_tokens=2) == models["gpt"].generate("a\ufffd", max_new_tokens=2)
    assert torch.equal(models["bert"].embed(b"a\xff b"), models["bert"].embed("a\ufffd b"))


def test_a_megabyte_on_one_line(models):
    start = time.perf_counter()
    gpt_, bert = models["gpt"], models["bert"]
    assert gpt_.generate(LONG, truncate=True, max_new_tokens=2) == gpt_.generate("a" * 62, max_new_tokens=2)
    with pytest.raises(ArgumentError, match=r"has 1,000,000 tokens, which leaves no room.*up to 64.*truncate"):
        gpt_.generate(LONG)
    with pytest.raises(ArgumentError, match=r"has 1,000,000 tokens to read, and the model reads up to 64"):
        gpt_.score([LONG])
    with pytest.raises(ArgumentError, match=r"has 1,000,000 tokens, and at most 64 are taken\. Shorten it, or let it"):
        models["t5"].generate(LONG)
    words = "a " * 500_000
    assert torch.equal(bert.embed(words), bert.embed("a " * 62))  # and [CLS], [SEP]
    assert models["text classifier"].predict(words)[0].probabilities
    assert time.perf_counter() - start < 30


def test_what_has_no_room_or_no_tokens(models):
    with pytest.raises(ArgumentError, match=r"The question has 73 tokens.*shorten the question"):
        models["question answerer"].answer("a " * 70, "a mat")
    with pytest.raises(ArgumentError, match="no token to score"):
        models["gpt"].score([""])
    with pytest.raises(ArgumentError, match="no memory for the keys and values of 1 x 1,000,000,000,000,001"):
        models["t5"].generate("a", max_new_tokens=10**15)  # without positions there is no limit but this one
    with pytest.raises(ArgumentError, match=r"max_tokens is not an option of generation\. Did you mean 'max_new_to"):
        models["gpt"].generate("a", max_tokens=3)
    with pytest.raises(ArgumentError, match=r"do_sample is not an option of generation\. The options are max_new_"):
        models["gpt"].generate("a", do_sample=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SamplingConfig(temperature=float("inf")), "temperature is inf; it must be above 0"),
        (lambda: BeamConfig(width=10**6), "the number of beams is 1000000; it must be from 1 to 1,000"),
        (lambda: BeamConfig(length_penalty=float("nan")), "length_penalty is nan; it must be a number from -20 to 20"),
    ],
)
def test_settings_that_would_end_in_nonsense(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_characters_that_a_vocabulary_lacks_are_named(tmp_path):
    data = tmp_path / "text.txt"
    data.write_text("the cat sat on the mat. " * 40)
    tokenizer = CorpusData(str(data), tokenizer="character", length=8, batch_size=2).tokenizer
    with pytest.raises(
        ArgumentError, match=r"cannot be tokenized: the vocabulary lacks 'C', 'f', 'é', and has no token"
    ):
        tokenizer.encode("the Café")


def test_a_corpus_that_is_not_utf8_is_named(tmp_path, capsys):
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1"))
    with pytest.raises(DataError, match="no text to train on"):
        CorpusData(str(tmp_path / "latin.txt"), tokenizer="character", length=8)
    assert "latin.txt: not UTF-8 (byte 3)" in capsys.readouterr().err


# Folders of transformers ---------------------------------------------------------------------------------------------


def spoiled(folder: Path) -> None:
    edit_weights(folder, lambda tensors: tensors["transformer.h.1.ln_1.weight"].fill_(float("nan")))


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-99])


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def config(**fields: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "config.json", **fields)


def generation(**fields: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "generation_config.json", **fields)


def tokens(**fields: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "tokenizer_config.json", **fields)


def written(name: str, text: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_text(text)


THEIRS: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "NaN": (spoiled, ("'transformer.h.1.ln_1.weight' holds NaN or infinity",)),
    "a tensor is missing": (
        lambda folder: edit_weights(folder, lambda tensors: tensors.pop("transformer.ln_f.bias")),
        ("expected under 'transformer.ln_f.bias'",),
    ),
    "a tensor too many": (
        lambda folder: edit_weights(folder, lambda tensors: tensors.update({"transformer.ln_g.bias": torch.ones(1)})),
        ("'transformer.ln_g.bias'", "transformer.ln_f.bias"),
    ),
    "weights cut short": (cut, ("model.safetensors cannot be read",)),
    "weights of zero bytes": (written("model.safetensors", ""), ("model.safetensors cannot be read",)),
    "a pickle": (pickled, ("as a pickle (pytorch_model.bin), which can run code",)),
    "code": (config(auto_map={"AutoModel": "x.Y"}), ("auto_map", "no code of a model is ever run")),
    "another family": (config(model_type="gpt_2"), ("model_type is 'gpt_2'", "openai-gpt, llama", "mean 'gpt2'")),
    "another class": (config(architectures=["GPT2ForSequenceClassification"]), ("architectures", "GPT2LMHeadModel")),
    "no width": (config(n_embd="wide"), ("n_embd is 'wide'; it must be a whole number from 1",)),
    "endless depth": (config(n_layer=10**12), ("cannot be built: depth is 1000000000000; it must be from 0",)),
    "endless width": (config(n_embd=10**12, n_head=1), ("cannot be built",)),
    "a rate of 150%": (config(resid_pdrop=1.5), ("resid_pdrop is 1.5; it must be between 0 and 1",)),
    "a rate that is no number": (config(embd_pdrop=float("nan")), ("embd_pdrop is nan; it must be finite",)),
    "eps below 0": (config(layer_norm_epsilon=-1), ("layer_norm_epsilon is -1; it must be a number from 0",)),
    "config of another form": (written("config.json", "[]"), ("config.json must hold a JSON object",)),
    "nested without end": (written("config.json", "[" * 100_000), ("config.json is not JSON",)),
    "stop is a number": (generation(stop_strings=3), ("stop_strings is 3; it must be a text or a list of texts",)),
    "endless beams": (generation(num_beams=10**12), ("the number of beams is 1000000000000",)),
    "no generation config": (written("generation_config.json", "{"), ("generation_config.json is not JSON",)),
    "no tokenizer": (written("tokenizer.json", "{}"), ("tokenizer.json is not a file of the tokenizers library",)),
    "added tokens": (tokens(added_tokens_decoder=3), ("added_tokens_decoder is 3; it must give tokens by their ids",)),
    "added token at another id": (
        tokens(added_tokens_decoder={"9": {"content": "<new>"}}),
        ("'<new>' should have id 9 and gets 257",),
    ),
    "special token": (tokens(bos_token=["<s>"]), ("bos_token is ['<s>']; it must be the text of a token",)),
    "a special token too many": (tokens(mask_token="<mask>"), ("ids up to 257 and the model 257 embeddings",)),
}


@pytest.mark.parametrize("case", THEIRS)
def test_a_folder_of_transformers_that_cannot_be_used(case, theirs, capsys):
    change, parts = THEIRS[case]
    change(theirs)
    ends(
        capsys,
        ["generate", str(theirs), "hi", *PLACE],
        1,
        str(theirs) if "special token too" not in case else "",
        *parts,
    )


def test_a_sound_folder_of_transformers(theirs, capsys):
    assert main(["generate", str(theirs), "hi", *PLACE]) == 0
    out, err = capsys.readouterr()
    assert out == gpt().generate("hi", max_new_tokens=2) + "\n" and err == ""


ESCAPES = {
    "reaches out": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "reads a file": "{% include '/etc/passwd' %}",
    "never ends": "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}",
    "fills the memory": "{{ 'a' * 10 ** 10 }}",
    "is damaged": "{% if %}",
}


@pytest.mark.parametrize("case", ESCAPES)
def test_a_chat_template_in_a_folder(case, theirs, capsys, monkeypatch):
    monkeypatch.setattr(chat_sandbox, "STEPS", 5000)  # time, under the type checker
    (theirs / "chat_template.jinja").write_text(ESCAPES[case])
    ends(capsys, ["generate", str(theirs), "hi", "--chat", *PLACE], 1, "The chat template")
    model = mm.load(theirs, device="cpu", dtype="float32")
    with pytest.raises(DataError, match="The chat template"):  # also after it has become a folder of ours
        mm.load(mm.save(model, theirs.parent / "again"), device="cpu").generate([{"role": "user", "content": "hi"}])


# Folders of ours -----------------------------------------------------------------------------------------------------


def inner(*place: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(plain: dict[str, Any]) -> None:
        for name in place[:-1]:
            plain = plain[name]
        plain[place[-1]] = value

    return change


OURS = {
    "endless depth": (inner("backbone", "depth", value=10**12), "depth is 1000000000000; it must be from 0 to 10,000"),
    "heads below 0": (inner("backbone", "block", "attention", "heads", value=-1), "heads is -1"),
    "a class that is a list": (inner("backbone", "block", "mlp", "type", value=[]), "mlp has type []"),
    "a rate that is no number": (inner("embedding", "dropout", value=float("nan")), "dropout is nan"),
    "positions before the first": (inner("embedding", "first_position", value=-1), "first_position is -1"),
}


@pytest.mark.parametrize("case", OURS)
def test_a_folder_of_ours_that_was_edited(case, ours, capsys):
    change, part = OURS[case]
    plain = json.loads((ours / "config.json").read_text())
    change(plain["config"])
    (ours / "config.json").write_text(json.dumps(plain))
    ends(capsys, ["generate", str(ours), "hi", *PLACE], 1, str(ours / "config.json"), part)


def test_nested_without_end(ours, capsys):
    (ours / "config.json").write_text('{"format":' + "[" * 100_000)
    ends(capsys, ["generate", str(ours), "hi", *PLACE], 1, "config.json")


def test_a_decoder_that_begins_with_no_token(tmp_path, capsys):
    folder = mm.save(t5(), tmp_path / "t5")
    plain = json.loads((folder / "config.json").read_text())
    plain["config"]["start"] = 257
    plain["config"]["encoder"]["position"]["max_distance"] = 128
    (folder / "config.json").write_text(json.dumps(plain))
    ends(capsys, ["generate", str(folder), "hi", *PLACE], 1, "start is 257; it must be a token id, from 0 to 256")
    plain["config"] |= {"start": 0}
    plain["config"]["encoder"]["position"]["max_distance"] = 0
    (folder / "config.json").write_text(json.dumps(plain))
    ends(capsys, ["generate", str(folder), "hi", *PLACE], 1, "max_distance 0")


# The command ---------------------------------------------------------------------------------------------------------

WRONG_WORDS = {
    ("--temp", "1"): "--temp is not an option. Did you mean '--temperature'?",
    ("--beams", "0"): "the number of beams is 0; it must be from 1 to 1,000",
    ("--beams", "100000"): "the number of beams is 100000",
    ("--max-new-tokens", "ten"): "--max-new-tokens is 'ten'; it must be a whole number",
    ("--top-p", "nan"): "top_p is nan",
    ("--stop", ""): "stop is ('',)",
    ("--chat",): "has no chat template",
    ("--draft", "nowhere"): "no folder 'nowhere'",
}


@pytest.mark.parametrize("words", WRONG_WORDS, ids=" ".join)
def test_wrong_words(words, tmp_path, capsys):
    model = gpt()
    model.tokenizer = bytelevel(chat_template=None)
    folder = mm.save(model, tmp_path / "m")
    ends(capsys, ["generate", str(folder), "hi", *PLACE[:4], *words], 2, WRONG_WORDS[words])


def test_a_draft_that_is_no_language_model(ours, tmp_path, capsys):
    other = mm.save(t5(), tmp_path / "t5")
    ends(capsys, ["generate", str(ours), "hi", *PLACE, "--draft", str(other)], 2, "is a EncoderDecoder; it must be a L")


def test_models_that_are_not_there(capsys):
    hub = "There is no folder 'ORG/NAME'. Did you mean 'hf:ORG/NAME'"
    ends(capsys, ["generate", "ORG/NAME", "hi"], 2, hub)
    ends(capsys, ["generate", "hg:ORG/NAME", "hi"], 2, "'hg:' is none of these")


def test_long_and_broken_prompts(ours, tmp_path, capsys):
    (tmp_path / "prompts.txt").write_bytes(b"caf\xe9\n" + LONG.encode())
    words = ["generate", str(ours), "--file", str(tmp_path / "prompts.txt"), "--json", *PLACE]
    ends(capsys, words, 2, "has 1,000,000 tokens", "(truncate)")
    assert main([*words, "--truncate"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [len(record["prompt"]) for record in records] == [4, len(LONG)] and records[0]["prompt"] == "caf\ufffd"
    ends(capsys, ["generate", str(ours), "--score", "a", LONG, *PLACE[:4]], 2, "Text 2 of 2 has 1,000,000 tokens")


def test_words_may_stand_behind_options(ours, capsys):
    assert main(["generate", str(ours), "--score", "hi", *PLACE[:4]]) == 0
    assert capsys.readouterr().out.splitlines()[1].endswith("\thi")
    assert main(["generate", str(ours), *PLACE, "--", "--hi"]) == 0
    assert capsys.readouterr().out == gpt().generate("--hi", max_new_tokens=2) + "\n"

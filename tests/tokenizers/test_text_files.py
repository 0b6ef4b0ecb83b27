"""Which files are read, what stands beside them, and what is said of damaged and foreign ones."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from texts import CORPUS, plain_ids, sentencepiece

from multimodal.errors import ArgumentError, DataError
from multimodal.tokenizers.text import SpecialTokens, TextTokenizer
from multimodal.tokenizers.text_files import load_tokenizer
from multimodal.tokenizers.text_sentencepiece import load_marian, read_model
from multimodal.tokenizers.text_training import train_tokenizer


@pytest.fixture
def saved(tmp_path) -> Path:
    """A small byte-level tokenizer.json, without a config."""
    trained = train_tokenizer(iter([CORPUS]), "bpe", vocabulary=300, special=SpecialTokens(bos="<s>", eos="</s>"))
    trained.save(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    return tmp_path


def config(folder: Path, **fields) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps(fields), encoding="utf-8")


def test_the_usual_spelling_tells_where_no_file_does(saved):
    alone = load_tokenizer(saved / "tokenizer.json")
    assert (alone.special.bos, alone.special.eos, alone.special.pad) == ("<s>", "</s>", None)
    assert plain_ids(alone, "a") == plain_ids(load_tokenizer(saved), "a")


def test_what_stands_beside(saved):
    (saved / "special_tokens_map.json").write_text('{"eos_token": {"content": "</s>"}, "pad_token": "[PAD]"}')
    (saved / "added_tokens.json").write_text('{"<new>": 300}')
    (saved / "chat_template.jinja").write_text("{{ messages[0].content }}{{ eos_token }}")
    config(saved, model_max_length=128, chat_template="not this", extra_special_tokens={"image_token": "<image>"})
    loaded = load_tokenizer(saved)
    assert loaded.special == SpecialTokens(eos="</s>", pad="[PAD]", extra=("<image>",))
    assert (loaded.id_of("<new>"), loaded.vocabulary, loaded.max_length) == (300, 303, 128)
    assert loaded.chat([{"role": "user", "content": "Hi"}]) == "Hi</s>"
    assert loaded.decode(loaded.encode("a<new>b<image>").ids) == "a<new>b", "only special tokens are left out"


def test_added_tokens_keep_their_rules(saved):
    mask = {"content": "<mask>", "lstrip": True, "rstrip": False, "normalized": False, "special": True}
    config(saved, added_tokens_decoder={"300": mask}, mask_token="<mask>")
    loaded = load_tokenizer(saved)
    assert loaded.mask_id == 300
    shown = [loaded.token_of(id) for id in loaded.encode("a <mask>b").ids]
    assert shown == ["a", "<mask>", "b"], "lstrip takes the space"
    config(saved, added_tokens_decoder={"400": mask})
    with pytest.raises(DataError, match="'<mask>' should have id 400 and gets 300"):
        load_tokenizer(saved)


def test_an_added_token_without_a_number(saved):
    (saved / "added_tokens.json").write_text('{"<new>": "last"}')
    with pytest.raises(DataError, match=r"added_tokens\.json gives '<new>' the id 'last'"):
        load_tokenizer(saved)


def test_a_template_among_several(saved):
    config(saved, chat_template=[{"name": "tools", "template": "x"}, {"name": "default", "template": "y"}])
    assert load_tokenizer(saved).chat_template == "y"
    config(saved, chat_template=[{"name": "tools", "template": "x"}])
    with pytest.raises(DataError, match=r"names \['tools'\] but no 'default'"):
        load_tokenizer(saved)


def test_ends_that_the_config_asks_for(saved):
    bos, eos = 0, 1
    config(saved, bos_token="<s>", eos_token="</s>", add_bos_token=True)
    assert plain_ids(load_tokenizer(saved), "a")[0] == bos and plain_ids(load_tokenizer(saved), "a")[-1] != eos
    config(saved, bos_token="<s>", eos_token="</s>", add_bos_token=True, add_eos_token=True)
    encoded = load_tokenizer(saved).encode("a", "b")
    assert [id for id in encoded.ids if id < 2] == [bos, eos, bos, eos]


def test_a_mask_takes_the_space_before_it(tmp_path):
    special = SpecialTokens(bos="<s>", pad="<pad>", eos="</s>", unk="<unk>", mask="<mask>")
    train_tokenizer(iter([CORPUS]), "bpe", vocabulary=300, special=special).tokenizer.model.save(str(tmp_path))
    loaded = load_tokenizer(tmp_path)
    assert [loaded.token_of(id) for id in loaded.encode("a <mask>").ids] == ["<s>", "a", "<mask>", "</s>"]
    assert load_tokenizer(tmp_path / "vocab.json").settings == load_tokenizer(tmp_path / "merges.txt").settings


def test_a_lower_casing_that_the_config_forbids(tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nA\n", encoding="utf-8")
    assert plain_ids(load_tokenizer(tmp_path), "A") == [2, 5, 3]
    config(tmp_path, do_lower_case=False)
    assert plain_ids(load_tokenizer(tmp_path / "vocab.txt"), "A") == [2, 6, 3]


def damage(folder: Path, name: str, contents: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(contents.encode() if isinstance(contents, str) else contents)
    return path


DAMAGED = {
    "tokenizer.json": ('{"version": "1.0"', "is not a file of the tokenizers library"),
    "vocab.txt": ("the\ndog\n", r"lacks \[UNK\], \[CLS\], \[SEP\]"),
    "spiece.model": (b"\xff\xff\xff not a protocol buffer", "is not a SentencePiece model"),
    "empty.model": (b"", "is not a SentencePiece model of pieces"),
    "vocab.txt.gz": (b"not gzip", "is not open_clip's vocabulary, or damaged"),
    "short.txt.gz": (gzip.compress(b"version\na b\nc\n"), "'c' is not a pair of tokens"),
    "few.txt.gz": (gzip.compress(b"version\nno such"), "it has 1 pairs and not 48,894"),
    "nothing.json": ("[]", "is not a file of the tokenizers library"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files(tmp_path, name):
    contents, complaint = DAMAGED[name]
    path = damage(tmp_path, name, contents)
    with pytest.raises(DataError, match=complaint) as caught:
        load_tokenizer(path)
    assert name in str(caught.value)


def no_charsmap(proto):
    proto.normalizer_spec.precompiled_charsmap = proto.normalizer_spec.precompiled_charsmap[:-7]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (no_charsmap, "is damaged: .*charsmap"),
        (lambda proto: setattr(proto.trainer_spec, "unk_id", 10**6), "its unknown token, 1000000, is none of its"),
        (lambda proto: setattr(proto.trainer_spec, "unk_id", -1), "its unknown token, -1, is none of its pieces"),
    ],
)
def test_damaged_sentencepiece_models(tmp_path, change, complaint):
    sentencepiece(tmp_path / "spiece.model", "unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    proto = read_model(tmp_path / "spiece.model")
    change(proto)
    (tmp_path / "spiece.model").write_bytes(proto.SerializeToString())
    with pytest.raises(DataError, match=complaint):
        load_tokenizer(tmp_path)


def test_what_the_library_did_not_foresee(tmp_path, capfd):
    """A panic of the library below is no Exception."""
    train_tokenizer(iter([CORPUS]), "wordpiece", vocabulary=200).save(tmp_path)
    whole = json.loads((tmp_path / "tokenizer.json").read_text())
    prefixed = {**whole["model"], "continuing_subword_prefix": "\u2581"}
    damage(
        tmp_path, "tokenizer.json", json.dumps({**whole, "model": {**prefixed, "type": "BPE", "merges": [["a", "b"]]}})
    )
    with pytest.raises(DataError, match="is not a file of the tokenizers library, or damaged"):
        load_tokenizer(tmp_path)
    template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x", "type_id": 0}}], "pair": []}
    damage(tmp_path, "tokenizer.json", json.dumps({**whole, "post_processor": {**template, "special_tokens": {}}}))
    with pytest.raises((DataError, ArgumentError), match=r"cannot be tokenized|or damaged"):
        load_tokenizer(tmp_path).encode("a")


@pytest.mark.parametrize(
    ("vocabulary", "merges", "complaint"),
    [
        ("{", "", r"vocab\.json is not readable JSON"),
        ('["a"]', "", "holds a JSON list"),
        ('{"a": "0"}', "", "must give each token its id"),
        ('{"a": 0}', "a b c", "'a b c' is not a pair of tokens"),
        ('{"a": 0}', "a b", r"merges\.txt does not belong to vocab\.json"),
        ('{"a": 0}', b"\xff\xfe", r"merges\.txt is not readable text"),
        ('{"a": 0}', None, r"merges\.txt is missing"),
    ],
)
def test_damaged_pairs(tmp_path, vocabulary, merges, complaint):
    damage(tmp_path, "vocab.json", vocabulary)
    if merges is not None:
        damage(tmp_path, "merges.txt", merges)
    with pytest.raises(DataError, match=complaint):
        load_tokenizer(tmp_path / "vocab.json")


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("eos_token", 3, "eos_token is 3; it must be the text of a token"),
        ("model_max_length", "long", "model_max_length is 'long'"),
        ("extra_special_tokens", "x", "must be a list of tokens"),
        ("added_tokens_decoder", {"5": "x"}, "must be a token"),
        ("known_vocabulary", "x", "known_vocabulary is 'x'; it must be a number"),
        ("chat_template", 5, "chat_template is a int"),
    ],
)
def test_damaged_settings(saved, field, value, complaint):
    config(saved, **{field: value})
    with pytest.raises(DataError, match=complaint):
        load_tokenizer(saved)


def test_tiktoken_files(tmp_path):
    special = SpecialTokens(eos="<|endoftext|>")
    bad = damage(tmp_path, "bad.tiktoken", "YQ== 0\n*** 1\n")
    with pytest.raises(DataError, match=r"bad\.tiktoken, line 2: not a token"):
        load_tokenizer(bad, special=special)
    with pytest.raises(DataError, match="not a whole tiktoken file"):
        load_tokenizer(damage(tmp_path, "few.tiktoken", "YQ== 0\n"), special=special)
    with pytest.raises(ArgumentError, match="names no special tokens: give special="):
        load_tokenizer(bad)
    with pytest.raises(DataError, match="cannot be read"):
        load_tokenizer(tmp_path / "no.tiktoken", special=special)


def test_places_without_a_tokenizer(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        load_tokenizer(tmp_path / "nowhere")
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(DataError, match=r"Looked for: tokenizer\.json, .*spiece\.model.* It holds: model\.safetensors"):
        load_tokenizer(tmp_path)
    with pytest.raises(DataError, match=r"tokenizer\.json does not exist"):
        TextTokenizer.load(tmp_path)
    with pytest.raises(ArgumentError, match=r"special is for \.tiktoken files"):
        load_tokenizer(tmp_path, special=SpecialTokens())
    damage(tmp_path, "source.spm", b"")
    with pytest.raises(DataError, match=r"source\.spm is not a SentencePiece model"):
        load_marian(tmp_path)

"""`multimodal wer`: every form of file, what belongs together, doubts on stderr."""

from __future__ import annotations

import json

import pytest

from multimodal import cli
from multimodal.data.speech.transcripts import read_utterances
from multimodal.errors import DataError

SAID = ["the cat sat", "hello world", "yes"]
HEARD = ["the cat sat", "hello word", "yes"]


def write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def forms(folder, name, texts, audio="file"):
    """The same utterances in every form, with ids but for the first."""
    ids = ["u1", "u2", "u3"]
    rows = list(zip(ids, texts, strict=True))
    return {
        "txt": write(folder / f"{name}.txt", texts),
        "ids": write(folder / f"{name}_ids.txt", [f"{i}\t{text}" for i, text in rows]),
        "tsv": write(folder / f"{name}_plain.tsv", [f"{i}\t{text}" for i, text in rows]),
        "trn": write(folder / f"{name}.trn", [f"{text} ({i})" for i, text in rows]),
        "jsonl": write(folder / f"{name}.jsonl", [json.dumps({"id": i, "text": text}) for i, text in rows]),
        "manifest": write(folder / f"{name}_m.jsonl", [json.dumps({audio: f"a/{i}.wav", "text": t}) for i, t in rows]),
        "csv": write(folder / f"{name}.csv", ["id,text", *(f"{i},{text}" for i, text in rows)]),
    }


@pytest.mark.parametrize("form", ["txt", "ids", "tsv", "trn", "jsonl", "manifest", "csv"])
def test_every_form_gives_the_same(form, tmp_path):
    said, heard = forms(tmp_path, "said", SAID), forms(tmp_path, "heard", HEARD)
    given = read_utterances(said[form], heard[form])
    assert (given.references, given.hypotheses) == (tuple(SAID), tuple(HEARD))
    assert (given.missing, given.extra) == ((), ())
    mixed = read_utterances(said["manifest"], heard[form])
    assert mixed.hypotheses == tuple(HEARD), "ids agree without folder and ending, else by order"


def test_ids_say_what_belongs_together(tmp_path):
    said = write(tmp_path / "said.trn", ["a b (1)", "c (2)", "d (3)"])
    heard = write(tmp_path / "heard.trn", ["c (2)", "x (9)", "a b (1)"])
    given = read_utterances(said, heard)
    assert given.hypotheses == ("a b", "c", "")
    assert (given.missing, given.extra) == (("3",), ("9",))


def test_the_score_is_told_with_its_normaliser(tmp_path, capsys):
    said, heard = write(tmp_path / "a.txt", SAID), write(tmp_path / "b.txt", HEARD)
    assert cli.main(["wer", str(said), str(heard), "--worst", "1"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("WER 16.67%")
    assert "normaliser basic-1" in out
    assert "REF  hello world\nHYP  hello word\n           S" in out


def test_json_has_everything_and_is_strict(tmp_path, capsys):
    said = write(tmp_path / "a.jsonl", [json.dumps({"id": 1, "text": "", "speaker": "ann"})])
    heard = write(tmp_path / "b.jsonl", [json.dumps({"id": 1, "text": "hm"})])
    assert cli.main(["wer", str(said), str(heard), "--json", "--normalizer", "letters"]) == 0
    told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert (told["wer"], told["insertions"], told["normalizer"]) == (None, 1, "letters-1")
    assert told["speakers"] == {"ann": None}
    assert told["worst"][0]["alignment"] == [["", "hm"]]
    assert "no word" in told["warnings"][0]


def test_missing_hypotheses_count_and_are_warned_of(tmp_path, capsys):
    said = write(tmp_path / "a.trn", ["one two (1)", "three four (2)"])
    heard = write(tmp_path / "b.trn", ["one two (1)"])
    assert cli.main(["wer", str(said), str(heard)]) == 0
    captured = capsys.readouterr()
    assert "WER 50.00%" in captured.out
    assert "1 of 2 references have no hypothesis" in captured.err


@pytest.mark.parametrize(
    ("ours", "theirs", "told"),
    [
        (("a.txt", ["x", "y"]), ("b.txt", ["x"]), "has 2 utterances and .* 1; without ids"),
        (("a.trn", ["x (1)", "y (1)"]), ("b.trn", ["x (1)"]), "the id '1' more than once"),
        (("a.trn", ["x (1)"]), ("b.trn", ["x (2)"]), "No id of .* is in"),
        (("a.trn", ["x"]), ("b.trn", ["x (2)"]), "line 1 does not end with an id"),
        (("a.txt", []), ("b.txt", ["x"]), "holds no utterance"),
        (("a.jsonl", ["{"]), ("b.txt", ["x"]), "not JSON; every row must be readable"),
        (("a.csv", ["id,words", "1,x"]), ("b.txt", ["x"]), "no column for the reference"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(ours, theirs, told, tmp_path):
    said, heard = (write(tmp_path / name, lines) for name, lines in (ours, theirs))
    with pytest.raises(DataError, match=told):
        read_utterances(said, heard)


def test_what_transcribe_wrote_as_json_is_found_by_its_names(tmp_path):
    said = write(tmp_path / "said.csv", ["file,text", "wav/a.wav,one", "wav/b.wav,two"])
    (tmp_path / "heard").mkdir()
    write(tmp_path / "heard" / "a.json", ['{"source": "wav/a.wav",', '"text": "won"}'])
    write(tmp_path / "heard" / "b.json", ['{"source": "wav/b.wav", "text": "two"}'])
    assert read_utterances(said, tmp_path / "heard").hypotheses == ("won", "two")
    rows = ['{"source": "/x/b.wav", "text": "two"}', '{"source": "/x/a.wav", "text": "won"}']
    assert read_utterances(said, write(tmp_path / "heard.jsonl", rows)).hypotheses == ("won", "two")
    write(tmp_path / "heard" / "b.json", ["[]"])
    with pytest.raises(DataError, match=r"b\.json holds no text"):
        read_utterances(said, tmp_path / "heard")


def test_an_unknown_normaliser_is_a_wrong_argument(tmp_path, capsys):
    said = write(tmp_path / "a.txt", SAID)
    assert cli.main(["wer", str(said), str(said), "--normalizer", "basik"]) == 2
    assert "Did you mean 'basic'" in capsys.readouterr().err


def test_a_part_of_a_table_beside_a_folder_of_texts(tmp_path, capsys):
    parts = ["train", "test", "test"]
    rows = [
        json.dumps({"file": f"{part}/u{i}.wav", "text": text, "split": part})
        for i, (part, text) in enumerate(zip(parts, SAID, strict=True))
    ]
    said, heard = write(tmp_path / "manifest.jsonl", rows), tmp_path / "heard" / "test"
    heard.mkdir(parents=True)
    for i, text in enumerate(HEARD):
        write(heard / f"u{i}.txt", text.split())  # a segment a line
    assert cli.main(["wer", str(said), str(tmp_path / "heard"), "--split", "test", "--json"]) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert (found["words"], found["substitutions"], found["deletions"]) == (3, 1, 0)
    assert "1 hypotheses have no reference" in told.err
    assert cli.main(["wer", str(said), str(heard), "--split", "tets"]) == 1
    assert "its splits are train, test. Did you mean 'test'?" in capsys.readouterr().err
    assert cli.main(["wer", str(heard), str(heard), "--split", "test"]) == 1
    assert "is no table" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"a folder without \.txt or \.json files"):
        read_utterances(tmp_path / "empty", heard)

"""The scripts data/*/prepare.py, against made-up archives instead of the real ones."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from prepare_scripts import DATA, archive, checksum, script, zipped

from multimodal.data.chat.read import read_chats
from multimodal.data.images.read import read_labeled_images
from multimodal.data.pairs.read import read_pairs
from multimodal.data.text.questions import read_questions
from multimodal.data.text.readers import read_labeled_texts, read_tagged_words, read_translations
from multimodal.data.text.sources import read_texts

NAMES = sorted(path.parent.name for path in DATA.glob("*/prepare.py"))


def jpeg(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), (shade, shade, shade)).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def source(tmp_path) -> Path:
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


def only(out: Path) -> list[str]:
    """What lies beside `out` and in it."""
    return sorted([path.name for path in out.parent.iterdir()] + [path.name for path in out.iterdir()])


def test_digits(tmp_path, capsys):
    out = tmp_path / "digits"
    assert script("digits").main([str(out)]) == 0
    assert capsys.readouterr().out == f"The data are in {out}\n"
    images = read_labeled_images(out)
    assert images.labels == tuple("0123456789")
    assert (len(images.splits["train"]), len(images.splits["test"])) == (1437, 360)


def test_scenes(tmp_path, capsys):
    out = tmp_path / "scenes"
    words = ["--train", "5", "--val", "2", "--test", "3", "--size", "32"]
    assert script("scenes").main([str(out), *words]) == 0
    assert capsys.readouterr().out == f"The data are in {out}\n"
    splits = read_pairs(out).splits
    assert {split: len(pairs) for split, pairs in splits.items()} == {"train": 5, "val": 2, "test": 3}
    assert script("scenes").main([str(out), *words]) == 0  # is left as it is
    assert script("scenes").main([str(out), *words, "--seed", "1"]) == 1
    assert "something other than these scenes" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        script("scenes").main([str(out), "--size", "0"])
    assert "size is 0" in capsys.readouterr().err


def test_scenes_with_questions(tmp_path, capsys):
    words = ["--train", "5", "--val", "2", "--test", "3", "--size", "32", "--questions"]
    assert script("scenes").main([str(tmp_path / "scenes"), *words]) == 0
    out = tmp_path / "questions"
    assert capsys.readouterr().out == f"The data are in {out}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["questions", "scenes"]
    splits = read_chats(out / "chat.jsonl").splits
    counts = {split: len({sample.media for sample in samples}) for split, samples in splits.items()}
    assert counts == {"train": 5, "val": 2, "test": 3}
    before = (out / "chat.jsonl").read_bytes()
    assert script("scenes").main([str(tmp_path / "scenes"), *words]) == 0  # both are left as they are
    assert (out / "chat.jsonl").read_bytes() == before
    with pytest.raises(SystemExit, match="2"):
        script("scenes").main([str(tmp_path / "questions"), *words])
    assert "OUT is called questions" in capsys.readouterr().err


def test_imagenette(source, tmp_path, monkeypatch):
    module = script("imagenette")
    members = {
        f"imagenette2-160/{split}/{number}/{split}_{i}.JPEG": jpeg(i)
        for split in ("train", "val")
        for i, number in enumerate(module.CLASSES)
    }
    checksum = archive(source / "imagenette2-160.tgz", {**members, "imagenette2-160/noisy_imagenette.csv": b"x"})
    monkeypatch.setattr(module, "SOURCE", source.as_uri())
    monkeypatch.setitem(module.ARCHIVES, "160", ("imagenette2-160.tgz", checksum))
    out = tmp_path / "out" / "images"
    assert module.main([str(out)]) == 0
    assert only(out) == ["images", "train", "val"]
    images = read_labeled_images(out)
    assert images.labels == tuple(sorted(module.CLASSES.values()))
    assert {split: len(samples) for split, samples in images.splits.items()} == {"train": 10, "val": 10}
    assert (out / "train" / "golf ball" / "train_8.JPEG").read_bytes() == jpeg(8)


def test_oxford_pet(source, tmp_path, monkeypatch):
    module = script("oxford_pet")
    names = ["Abyssinian_1", "Abyssinian_2", "american_bulldog_10", "american_bulldog_11"]
    photos = {f"images/{name}.jpg": jpeg(i) for i, name in enumerate(names)} | {"images/Abyssinian_1.mat": b"x"}
    lists = {
        "annotations/trainval.txt": b"Abyssinian_2 1 1 1\namerican_bulldog_10 2 2 1\n",
        "annotations/test.txt": b"Abyssinian_1 1 1 1\namerican_bulldog_11 2 2 1\n",
    }
    monkeypatch.setattr(module, "SOURCE", source.as_uri())
    for name, members in (("images.tar.gz", photos), ("annotations.tar.gz", lists)):
        monkeypatch.setitem(module.ARCHIVES, name, archive(source / name, members))
    out = tmp_path / "out" / "images"
    assert module.main([str(out)]) == 0
    assert only(out) == ["images", "test", "train"]
    images = read_labeled_images(out)
    assert images.labels == ("Abyssinian", "american bulldog")
    assert [Path(sample.path).name for sample in images.splits["test"]] == [
        "Abyssinian_1.jpg",
        "american_bulldog_11.jpg",
    ]
    assert (out / "train" / "american bulldog" / "american_bulldog_10.jpg").read_bytes() == jpeg(2)


def test_cifar10(source, tmp_path, monkeypatch):
    module = script("cifar10")
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)  # n h w c
    records = [bytes([i % 2]) + picture.transpose(2, 0, 1).tobytes() for i, picture in enumerate(pictures)]
    names = [*module.FILES["train"], *module.FILES["test"]]
    members = {f"cifar-10-batches-bin/{name}": records[2 * i] + records[2 * i + 1] for i, name in enumerate(names)}
    members["cifar-10-batches-bin/batches.meta.txt"] = b"airplane\nautomobile\n\n"
    monkeypatch.setattr(module, "CHECKSUM", archive(source / "cifar.tar.gz", members))
    monkeypatch.setattr(module, "URL", (source / "cifar.tar.gz").as_uri())
    out = tmp_path / "out" / "images"
    assert module.main([str(out)]) == 0
    assert only(out) == ["images", "test", "train"]
    images = read_labeled_images(out)
    assert images.labels == ("airplane", "automobile")
    assert (len(images.splits["train"]), len(images.splits["test"])) == (10, 2)
    assert np.array_equal(np.asarray(Image.open(out / "train" / "automobile" / "00003.png")), pictures[3])


def test_an_incomplete_cifar_batch_is_refused_and_leaves_nothing(source, tmp_path, monkeypatch, capsys):
    module = script("cifar10")
    members = {f"cifar-10-batches-bin/{name}": b"x" * 100 for name in module.FILES["train"]}
    members["cifar-10-batches-bin/batches.meta.txt"] = b"airplane\n"
    monkeypatch.setattr(module, "CHECKSUM", archive(source / "cifar.tar.gz", members))
    monkeypatch.setattr(module, "URL", (source / "cifar.tar.gz").as_uri())
    assert module.main([str(tmp_path / "out" / "images")]) == 1
    assert "does not hold whole images" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["cifar-10-binary.tar.gz"]


def test_tinyshakespeare(source, tmp_path, monkeypatch, capsys):
    module = script("tinyshakespeare")
    (source / "input.txt").write_text("To be\n")
    monkeypatch.setattr(module, "URL", (source / "input.txt").as_uri())
    monkeypatch.setattr(module, "CHECKSUM", checksum(b"To be\n"))
    out = tmp_path / "out" / "text"
    assert module.main([str(out)]) == 0
    assert capsys.readouterr().out == f"The data are in {out}\n"
    assert only(out) == ["text", "tinyshakespeare.txt"]
    assert list(read_texts(out)) == ["To be\n"]


def test_wikitext103(source, tmp_path, monkeypatch):
    module = script("wikitext103")
    first = " = Valkyria = \n \n Text with a = sign . \n \n = = Plot = = \n \n = not a title = here \n"
    second = " \n \n = X = \n \n More . \n = Inside = \n"
    names = {split: f"wikitext-103-raw/{name}" for split, name in module.FILES.items()}
    members = {
        names["train"]: f" \n{first}{second}".encode(),
        names["val"]: first.encode(),
        names["test"]: second.encode(),
    }
    monkeypatch.setattr(module, "CHECKSUM", zipped(source / "x.zip", members))
    monkeypatch.setattr(module, "URL", (source / "x.zip").as_uri())
    out = tmp_path / "out" / "text"
    assert module.main([str(out)]) == 0
    assert only(out) == ["test.jsonl", "text", "train.jsonl", "val.jsonl"]
    rows = [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()]
    assert [row["title"] for row in rows] == ["Valkyria", "X"]
    assert list(read_texts(out / "train.jsonl")) == [first.strip() + "\n", second.strip() + "\n"]


def test_sst2(source, tmp_path, monkeypatch):
    module = script("sst2")
    rows = b'sentence\tlabel\na "fine film \t1\nbad \t0\n'
    members = {"SST-2/train.tsv": rows, "SST-2/dev.tsv": rows, "SST-2/test.tsv": b"index\tsentence\n0\tx\n"}
    monkeypatch.setattr(module, "CHECKSUM", zipped(source / "x.zip", members))
    monkeypatch.setattr(module, "URL", (source / "x.zip").as_uri())
    out = tmp_path / "out" / "text"
    assert module.main([str(out)]) == 0
    assert only(out) == ["text", "train.tsv", "val.tsv"]
    data = read_labeled_texts(out)
    assert data.labels == ("0", "1")
    assert [(sample.text, sample.label) for sample in data.splits["val"]] == [('a "fine film ', 1), ("bad ", 0)]


def test_sentence_polarity(source, tmp_path, monkeypatch):
    module = script("sentence_polarity")
    members = {
        "rt-polaritydata/rt-polarity.neg": b"d\xe9j\xe0 vu\r\ndull\x85so dull\n",
        "rt-polaritydata/rt-polarity.pos": b"good\n",
    }
    monkeypatch.setattr(module, "CHECKSUM", archive(source / "x.tar.gz", members))
    monkeypatch.setattr(module, "URL", (source / "x.tar.gz").as_uri())
    out = tmp_path / "out" / "text"
    assert module.main([str(out)]) == 0
    assert only(out) == ["neg.txt", "pos.txt", "text"]
    data = read_labeled_texts(out)
    assert data.labels == ("neg", "pos")
    assert [sample.text for sample in data.splits["train"]] == ["déjà vu", "dull so dull", "good"]


def test_wnut17(source, tmp_path, monkeypatch):
    module = script("wnut17")
    files = {}
    for split, (name, _) in module.FILES.items():
        (source / name).write_text(f"{Path(split).stem}\tO\nRick\tB-person\n\n")
        files[split] = (name, checksum((source / name).read_bytes()))
    monkeypatch.setattr(module, "FILES", files)
    monkeypatch.setattr(module, "SOURCE", source.as_uri())
    out = tmp_path / "out" / "text"
    assert module.main([str(out)]) == 0
    assert only(out) == ["test.conll", "text", "train.conll", "val.conll"]
    data = read_tagged_words(out)
    assert data.labels == ("B-person", "O")
    assert [samples[0].words[0] for samples in data.splits.values()] == ["train", "val", "test"]  # pyright: ignore


@pytest.mark.parametrize(("name", "parts"), [("squad", ["train", "val"]), ("xquad", ["de", "en", "es"])])
def test_squad_and_xquad(name, parts, source, tmp_path, monkeypatch):
    module = script(name)
    asked = {"id": "a", "question": "Who?", "answers": [{"text": "Anna", "answer_start": 0}]}
    text = json.dumps({"data": [{"paragraphs": [{"context": "Anna did.", "qas": [asked]}]}]})
    files = {here: (there, checksum(text.encode())) for here, (there, _) in module.FILES.items()}
    for there, _ in files.values():
        (source / there).write_text(text)
    monkeypatch.setattr(module, "FILES", files)
    monkeypatch.setattr(module, "SOURCE", source.as_uri())
    out = tmp_path / "out" / "text"
    assert module.main([str(out)]) == 0
    assert only(out) == sorted(["text", *(f"{part}.json" for part in parts)])
    for part in parts:
        assert [len(samples) for samples in read_questions(out / f"{part}.json").splits.values()] == [1]


def test_multi30k(source, tmp_path, monkeypatch):
    module = script("multi30k")
    sums = {}
    for name in module.CHECKSUMS:
        data = gzip.compress(f"{name}\nline\n".encode())
        (source / f"{name}.gz").write_bytes(data)
        sums[name] = checksum(data, "md5").removeprefix("md5:")
    monkeypatch.setattr(module, "CHECKSUMS", sums)
    monkeypatch.setattr(module, "SOURCE", source.as_uri())
    out = tmp_path / "out" / "text"
    assert module.main([str(out), "--languages", "en", "fr"]) == 0
    assert only(out) == ["test.en", "test.fr", "text", "train.en", "train.fr", "val.en", "val.fr"]
    data = read_translations(out, source_name="en", target_name="fr")
    assert [len(samples) for samples in data.splits.values()] == [2, 2, 2]
    assert data.splits["test"][0].target == "test_2016_flickr.fr"  # pyright: ignore


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("digits", "scenes")])
def test_without_network_one_sentence_and_nothing_left(name, tmp_path, capsys):
    assert script(name).main([str(tmp_path / "out" / "images")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "could not be downloaded" in err
    assert err.count("\n") == 1
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_set_states_its_source_size_and_licence(name):
    text = (DATA / name / "README.md").read_text(encoding="utf-8")
    for word in ("Source:", "Licence:", "Size:", f"python data/{name}/prepare.py"):
        assert word in text
    assert f"[{name}]({name}/README.md)" in (DATA / "README.md").read_text(encoding="utf-8")


def test_a_script_runs_from_the_command_line():
    done = subprocess.run([sys.executable, DATA / "digits" / "prepare.py", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "OUT" in done.stdout

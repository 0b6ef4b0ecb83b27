"""The script data/fsdd/prepare.py, against a made-up archive."""

from __future__ import annotations

import importlib.util
import io
import json
import tarfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from multimodal.data.images.read import read_labeled_images
from multimodal.data.images.samples import SOUNDS

SCRIPT = Path(__file__).parents[1] / "data" / "fsdd" / "prepare.py"
NAMES = [f"{digit}_{speaker}_{number}.wav" for digit in (0, 7) for speaker in ("ann", "bob") for number in (4, 5, 12)]


@pytest.fixture
def module(tmp_path, monkeypatch) -> ModuleType:
    """The script, with another archive and its checksum."""
    spec = importlib.util.spec_from_file_location("prepare_fsdd", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with tarfile.open(tmp_path / "source.tar.gz", "w:gz") as archive:
        for i, name in enumerate([*NAMES, "../README.md"]):
            file = io.BytesIO()
            soundfile.write(file, np.full(800 + i, 0.1), 8000, format="WAV", subtype="PCM_16")
            path = f"free-spoken-digit-dataset-{module.COMMIT}/recordings/{name}".replace("recordings/../", "")
            info = tarfile.TarInfo(path)
            info.size = len(file.getvalue())
            archive.addfile(info, io.BytesIO(file.getvalue()))
    with tarfile.open(tmp_path / "source.tar.gz") as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    monkeypatch.setattr(module, "URL", (tmp_path / "source.tar.gz").as_uri())
    recordings = tmp_path / "unpacked" / f"free-spoken-digit-dataset-{module.COMMIT}" / "recordings"
    monkeypatch.setattr(module, "CONTENT", module.content(recordings))
    return module


def test_the_official_split_and_one_without_each_speaker(module, tmp_path, capsys):
    out = tmp_path / "out" / "audio"
    assert module.main([str(out)]) == 0
    assert [path.name for path in out.parent.iterdir()] == ["audio"]
    assert sorted(path.name for path in out.iterdir()) == [
        *("chat.jsonl", "manifest.jsonl", "recordings", "without_ann.jsonl", "without_bob.jsonl")
    ]
    first = json.loads((out / "manifest.jsonl").read_text().splitlines()[0])
    assert first == {
        "file": "recordings/0_ann_12.wav", "label": "0", "speaker": "ann", "split": "train", "seconds": 0.1
    }  # fmt: skip
    official = read_labeled_images(out / "manifest.jsonl", kind=SOUNDS)
    assert official.labels == ("0", "7")
    assert sorted(Path(one.path).name for one in official.splits["test"]) == [n for n in sorted(NAMES) if "_4." in n]
    held = read_labeled_images(out / "without_bob.jsonl", kind=SOUNDS)
    assert len(held.splits["test"]) == 6 and all("_bob_" in one.path for one in held.splits["test"])
    assert not any("_bob_" in one.path for one in held.splits["train"])


def test_the_questions_have_the_official_split_and_are_answered_by_words(module, tmp_path):
    out = tmp_path / "out" / "audio"
    assert module.main([str(out)]) == 0
    rows = [json.loads(line) for line in (out / "chat.jsonl").read_text().splitlines()]
    assert rows[-1] == {
        "messages": [
            {"role": "user", "content": "<audio>\nWhich digit is spoken?"},
            {"role": "assistant", "content": "seven"},
        ],
        "audios": ["recordings/7_bob_5.wav"],
        "split": "train",
        "speaker": "bob",
    }
    assert sorted(row["audios"][0] for row in rows) == [f"recordings/{name}" for name in sorted(NAMES)]
    assert {row["audios"][0] for row in rows if row["split"] == "test"} == {
        f"recordings/{name}" for name in NAMES if "_4." in name
    }


def test_a_copy_that_is_there_gives_the_same_and_one_without_recordings_is_refused(
    module, tmp_path, monkeypatch, capsys
):
    assert module.main([str(tmp_path / "a" / "audio")]) == 0
    monkeypatch.setattr(module, "URL", "file:///nowhere")
    source = next((tmp_path / "unpacked").iterdir())
    assert module.main([str(tmp_path / "b" / "audio"), "--from", str(source)]) == 0
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["audio"]
    for path in (tmp_path / "a" / "audio").glob("*.jsonl"):
        assert path.read_bytes() == (tmp_path / "b" / "audio" / path.name).read_bytes()
    assert module.main([str(tmp_path / "c" / "audio"), "--from", str(tmp_path)]) == 1
    assert "holds no folder recordings" in capsys.readouterr().err
    assert not list((tmp_path / "c").iterdir())


def test_other_recordings_are_refused(module, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "CONTENT", "0" * 64)
    assert module.main([str(tmp_path / "out" / "audio")]) == 1
    assert "damaged or not those expected" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_a_strange_name_is_refused(module, tmp_path):
    from multimodal.errors import DataError

    with pytest.raises(DataError, match=r"called 'ten\.wav'"):
        module.write_tables(tmp_path, ["ten.wav"])

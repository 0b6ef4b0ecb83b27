"""Files are found once, and opened without waiting or surprises."""

import os
import threading
from pathlib import Path

import pytest
from pictures import encoded, picture, refused

from multimodal.media import MediaError, find_images, is_junk, read_image


def test_things_that_are_not_files(tmp_path):
    assert "folder" in refused(tmp_path)
    assert "does not exist" in refused(tmp_path / "none.jpg")
    (tmp_path / "broken.jpg").symlink_to(tmp_path / "none.jpg")
    assert "link" in refused(tmp_path / "broken.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    assert "loop.jpg" in refused(tmp_path / "loop.jpg")
    assert "null" in refused("a\0b.jpg")
    assert "device" in refused("/dev/zero")
    os.mkfifo(tmp_path / "pipe.jpg")
    messages = []
    reader = threading.Thread(target=lambda: messages.append(refused(tmp_path / "pipe.jpg")), daemon=True)
    reader.start()
    reader.join(timeout=5)
    assert messages and "pipe" in messages[0]


def test_no_permission(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(picture(), "PNG"))

    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert "Permission denied" in refused(path)
    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(MediaError, match="Permission denied"):
        find_images(tmp_path)


# --- finding ---


def test_find_images(tmp_path):
    names = ["b/2.PNG", "b/1.jpg", "a.b/ü 猫.webp", "a/x.jpeg", "z.heic", "folder.jpg/y.tif"]
    other = ["notes.txt", ".DS_Store", "a/._x.jpeg", "a/Thumbs.db", "desktop.ini", ".hidden/c.jpg", "__MACOSX/d.jpg"]
    for name in names + other + ["@eaDir/e.jpg"]:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    root = tmp_path / "photos"
    found = [path.relative_to(root).as_posix() for path in find_images(root)]
    assert found == sorted(names)
    assert find_images(str(root)) == find_images(root)


def test_links_are_followed_once_and_never_replace_a_folder(tmp_path):
    root, outside = tmp_path / "photos", tmp_path / "outside"
    for folder in (root / "m", outside):
        folder.mkdir(parents=True)
        (folder / "x.jpg").write_bytes(b"x")
    (root / "m" / "up").symlink_to(root)  # a loop
    (root / "a").symlink_to(root / "m")  # sorts before the folder it points to
    (root / "o1").symlink_to(outside)
    (root / "o2").symlink_to(outside)
    (root / "self").symlink_to(root / "self")
    (root / "copy.jpg").symlink_to(outside / "x.jpg")  # a linked file is a file
    (root / "gone.jpg").symlink_to(outside / "gone.jpg")  # to be reported when it is read
    found = [path.relative_to(root).as_posix() for path in find_images(root)]
    assert found == ["copy.jpg", "gone.jpg", "m/x.jpg", "o1/x.jpg"]


def test_folders_that_cannot_be_listed(tmp_path):
    with pytest.raises(MediaError, match=r"none cannot be listed: No such file"):
        find_images(tmp_path / "none")
    (tmp_path / "a.jpg").write_bytes(b"x")
    with pytest.raises(MediaError, match=r"a\.jpg cannot be listed: Not a directory"):
        find_images(tmp_path / "a.jpg")


def test_junk():
    for name in (".DS_Store", "a/._b.jpg", "Thumbs.db", "THUMBS.DB", "x/desktop.ini", ".git", "__MACOSX"):
        assert is_junk(name)
    for name in ("a.jpg", ".hidden/a.jpg", "thumbs.jpg", "_a.jpg"):
        assert not is_junk(name)


def test_names_that_are_not_text_can_be_shown(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n.jpg")
    with pytest.raises(MediaError) as caught:
        read_image(path)
    str(caught.value).encode("utf-8")
    assert "\n" not in str(caught.value)

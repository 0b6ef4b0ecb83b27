"""What a model sees and hears, against pixels and windows cut by hand; blank and turned views."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import soundfile
import tiny_sounds
import torch
from tiny_vision_language import hearing, picture, seeing

from multimodal.errors import ArgumentError
from multimodal.media import MediaError
from multimodal.models.chat.tiles import TilesConfig
from multimodal.models.chat.views import Reader, Seen, Views
from multimodal.tokenizers.audio_features import SAMPLE_RATE

TILES = TilesConfig(canvases=((32, 64), (64, 32), (64, 64)))


def seen(*shape, seed=0, tokens=4, size=None, floats=False):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=draw) if floats else torch.randint(0, 256, shape, generator=draw).byte()
    return Seen(x, tokens, size)


def test_an_image_is_one_view_of_the_transforms_pixels():
    reader = seeing().reader
    found = reader.read(picture())
    assert torch.equal(found.x[0], reader.transform.read(picture()))
    assert (found.x.dtype, found.tokens, found.size, reader.hears) == (torch.uint8, 16, None, False)


def test_with_tiles_the_tokens_are_those_that_the_model_makes():
    model = seeing(tiles=TILES)
    for size in ((40, 48), (90, 30), (20, 70)):
        found = model.reader.read(picture(size=size))
        assert found.size == size and len(model.encode(Views.of([found]))) == found.tokens


@pytest.mark.parametrize("model", [seeing(), seeing(tiles=TILES), hearing()], ids=["one view", "tiles", "sound"])
def test_headers_tell_how_many_tokens_a_file_becomes(model, tmp_path):
    file = tmp_path / ("a.wav" if model.reader.hears else "a.png")
    if model.reader.hears:
        soundfile.write(file, tiny_sounds.tone(300, 1.3), SAMPLE_RATE)
    else:
        picture(0, (30, 90)).save(file)
    once = model.reader.read(file)
    assert model.reader.count(file) == once.tokens == len(model.encode(Views.of([once])))


def test_what_was_read_is_not_read_again():
    reader = seeing().reader
    once = reader.read(picture())
    assert reader.read(once) is once


def test_a_reader_can_be_sent_to_another_process():
    for model, source in ((seeing(), picture()), (hearing(), tiny_sounds.tone(300))):
        there = pickle.loads(pickle.dumps(model.reader)).read(source)
        assert torch.equal(there.x, model.reader.read(source).x)


@pytest.mark.parametrize(("seconds", "windows"), [(0.2, 1), (0.5, 1), (0.51, 2), (1.3, 3), (0.0001, 1)])
def test_a_recording_is_cut_into_windows(seconds, windows):
    reader = hearing().reader
    wave = tiny_sounds.tone(440, seconds)
    found = reader.read(wave)
    assert reader.hears and len(found.x) == windows and found.tokens == windows * reader.length
    step = SAMPLE_RATE // 2
    for number in range(windows):
        alone = reader.transform.read(wave[number * step : (number + 1) * step])
        torch.testing.assert_close(found.x[number], alone)


def test_the_parts_of_a_long_recording_are_read_one_after_the_other():
    model = hearing()
    wave = np.concatenate([tiny_sounds.tone(200, 0.5), tiny_sounds.tone(900, 0.5)])
    halves = [model.encode(Views.of([model.reader.read(half)])) for half in (wave[:8000], wave[8000:])]
    torch.testing.assert_close(model.encode(Views.of([model.reader.read(wave)])), torch.cat(halves))


def test_a_batch_of_views():
    some = [seen(1, 3, 4, 4), seen(3, 3, 4, 4, seed=1, tokens=9, size=(8, 12))]
    views = Views.of(some)
    assert torch.equal(views.x, torch.cat([one.x for one in some]))
    assert (views.counts, views.tokens, views.sizes) == ((1, 3), (4, 9), (None, (8, 12)))
    assert Views.of([]) is None
    moved = views.to("cpu", non_blocking=True)
    assert torch.equal(moved.x, views.x) and moved.counts == views.counts


def test_keys_are_equal_for_equal_content_alone():
    same = seen(1, 3, 4, 4), seen(1, 3, 4, 4)
    assert same[0].key == same[1].key
    assert same[0].key == Seen(same[0].x.transpose(2, 3).contiguous().transpose(2, 3), 4).key, "laid out otherwise"
    others = [seen(1, 3, 4, 4, seed=1), Seen(same[0].x.reshape(1, 3, 2, 8), 4), Seen(same[0].x, 4, (4, 5))]
    changed = same[0].x.clone()
    changed[0, 2, 3, 3] += 1
    others.append(Seen(changed, 4))
    assert len({one.key for one in (*others, same[0])}) == 5
    assert seen(2, 1, 3, 3, floats=True).key != seen(2, 1, 3, 3, floats=True, seed=1).key


def test_blank_views_show_nothing():
    views = Views.of([seen(1, 3, 4, 4), seen(2, 3, 4, 4, seed=1)])
    blank = views.blank()
    assert (blank.x == 128).all() and blank.x.shape == views.x.shape and blank.x.dtype == torch.uint8
    assert (blank.counts, blank.tokens, blank.sizes) == (views.counts, views.tokens, views.sizes)
    heard = Views.of([seen(1, 1, 4, 6, floats=True)])
    assert (heard.blank().x == 0).all() and heard.blank().x.dtype == torch.float32


def test_rows_of_views_are_those_of_their_placeholders():
    views = Views.of([seen(1, 3, 4, 4, tokens=2), seen(1, 3, 4, 4, tokens=1), seen(1, 3, 4, 4, tokens=3)])
    placed = torch.tensor([[0, 1, 1, 0, 1], [0, 0, 0, 0, 0], [1, 1, 0, 1, 0]]).bool()
    assert views.rows(placed) == (0, 0, 2)


def test_turned_views_are_the_next_of_another_text_that_differs_and_fits():
    a, b, c = (seen(1, 3, 4, 4, seed=seed) for seed in range(3))
    large, larger = (seen(2, 3, 4, 4, seed=seed, size=(4, 8)) for seed in (5, 6))
    other_size = seen(2, 3, 4, 4, seed=7, size=(4, 7))
    turned, others = Views.of([a, large, b, a, other_size, larger, c]).turned(range(7))
    found = turned.x.split(list(turned.counts))
    for part, expected in zip(found, (b, larger, a, c, other_size, large, a), strict=True):
        assert torch.equal(part, expected.x)
    assert others == (True, True, True, True, False, True, True)


def test_views_of_the_same_text_are_no_others():
    a, b, c = (seen(1, 3, 4, 4, seed=seed) for seed in range(3))
    turned, others = Views.of([a, b, a, c]).turned((0, 0, 1, 2))
    assert others == (True,) * 4 and torch.equal(turned.x, torch.cat([one.x for one in (c, c, c, a)]))
    turned, others = Views.of([a, b, b, a]).turned((0, 0, 1, 1))
    assert others == (False,) * 4 and torch.equal(turned.x, torch.cat([one.x for one in (a, b, b, a)]))


def test_a_batch_of_one_image_cannot_be_turned():
    for some in ([seen(1, 3, 4, 4)], [seen(1, 3, 4, 4)] * 3):
        views = Views.of(some)
        turned, others = views.turned(range(len(some)))
        assert torch.equal(turned.x, views.x) and not any(others)


def test_what_cannot_be_read(tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG no")
    for model in (seeing(), hearing(), seeing(tiles=TILES)):
        for source in (broken, tmp_path / "absent.png", b""):
            with pytest.raises(MediaError):
                model.reader.read(source)
    with pytest.raises(MediaError, match=r"broken\.png"):
        seeing().reader.read(broken)


def test_a_recording_that_is_too_long_is_refused_and_not_cut(monkeypatch):
    monkeypatch.setattr("multimodal.models.chat.views.LONGEST", 1.0)
    model = hearing()
    assert model.reader.read(tiny_sounds.tone(300, 1.0)).tokens == 2 * model.reader.length
    with pytest.raises(MediaError, match=r"longer than 1 s, which is the most that is heard"):
        model.reader.read(tiny_sounds.tone(300, 1.1))


def test_recordings_have_no_tiles():
    with pytest.raises(ArgumentError, match="tiles are of images"):
        Reader(tiny_sounds.TRANSFORM, tiles=TILES, length=4, grid=(1, 4))

"""Settings by flat name, their ranges, the command line's table, and defaults from the data."""

import pytest

from multimodal.cli.finetune_settings import SETTINGS
from multimodal.config import from_plain, to_plain
from multimodal.errors import ArgumentError
from multimodal.finetuning.defaults import defaults
from multimodal.finetuning.settings import FinetuneConfig, kinds, options, override
from multimodal.tokenizers.image_transform import ImageTransformConfig


def test_every_setting_has_one_flat_name_and_survives_json():
    config = override(FinetuneConfig(), {"lr": 0.01, "mixup": 0.3, "resize": "pad", "betas": (0.8, 0.9), "seed": 4})
    assert config.optimizer.lr == 0.01 and config.loss.mixup == 0.3 and config.adapt.resize == "pad"
    assert config.optimizer.betas == (0.8, 0.9) and config.seed == 4
    assert from_plain(FinetuneConfig, to_plain(config)) == config


def test_the_command_line_has_every_setting_with_its_type():
    assert list(SETTINGS) and set(SETTINGS) == set(options())
    for name, (kind, choices, text) in SETTINGS.items():
        wanted = kinds()[name]
        assert text
        if choices:
            assert tuple(wanted.__args__) == choices, name
        elif kind is tuple:
            assert wanted == tuple[float, float], name
        else:
            assert wanted is kind, name


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("learning_rat", 1.0, "learning_rat is not a setting"),
        ("epoch", 3, "Did you mean 'epochs'"),
        ("epochs", 0, "epochs is 0; it must be at least 1"),
        ("epochs", 1.5, "epochs is 1.5; it must be of type int"),
        ("method", "lora2", "one of 'full', 'linear', 'lora'"),
        ("dropout", 1.5, "dropout is 1.5; it must lie between 0 and 1"),
        ("scale", 0.0, "scale is 0.0"),
        ("val_fraction", 1.0, "val_fraction is 1.0"),
        ("randaugment", 31, "randaugment is 31"),
        ("accumulate", 64, "accumulate is 64"),
        ("lr", -1.0, "lr is -1.0"),
        ("clip", -1.0, "clip is -1.0"),
    ],
)
def test_a_wrong_setting_is_named_with_its_rule(name, value, words):
    with pytest.raises(ArgumentError, match=r"^[^\n]*$") as found:
        override(FinetuneConfig(), {name: value})
    assert words in str(found.value)


def chosen(**changed):
    arguments = {"images": 600, "pretrained": True, "method": "full", "median_side": 300}
    return defaults(transform=ImageTransformConfig(), **{**arguments, **changed})


def test_small_sets_are_seen_more_often_and_steps_stay_in_bounds():
    few, many = chosen(images=100), chosen(images=100_000)
    assert few.loop.epochs > many.loop.epochs >= 5
    assert few.loop.batch_size < many.loop.batch_size


def test_pretrained_weights_move_slower_and_less_near_the_input():
    pretrained, fresh = chosen(), chosen(pretrained=False)
    assert pretrained.optimizer.lr < fresh.optimizer.lr
    assert pretrained.optimizer.layer_decay < 1 == fresh.optimizer.layer_decay
    assert fresh.loop.epochs > pretrained.loop.epochs


def test_symbols_are_neither_mirrored_nor_cut():
    digits, photos = chosen(median_side=8), chosen()
    assert digits.augment.flip == 0 and digits.adapt.resize == "squash"
    assert photos.augment.flip == 0.5 and photos.adapt.resize == "crop"

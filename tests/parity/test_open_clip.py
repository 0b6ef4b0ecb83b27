"""open_clip's models here: equal embeddings of pictures and of texts, equal logits, and back again bit for bit.

Every parameter is random, so that two swapped ones show. The models are tiny; which of open_clip's architectures are
expressible at full size is checked without memory, and so are the numbers of parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from clip_folders import (
    LETTERS,
    OWN,
    TEXTS,
    VISION,
    config,
    load,
    random_model,
    register,
    theirs_of,
    use_tiny_timm,
    write,
)
from PIL import Image
from torch import Tensor

from multimodal.errors import ArgumentError, DataError
from multimodal.hub.open_clip_config import read_model
from multimodal.hub.open_clip_export import save_open_clip
from multimodal.models.image_encoder import ImageEncoderConfig
from multimodal.models.open_clip_towers import OpenClipImageConfig, OpenClipTextConfig
from multimodal.models.towers import EndPoolConfig, ImageTowerConfig, PaddedPoolConfig, TextTowerConfig
from multimodal.presets import clip, siglip

Equal = Callable[[Tensor, Tensor], None]
SIGLIP: dict[str, Any] = {
    "tokenizer_kwargs": {"clean": "canonicalize"},
    "no_causal_mask": True,
    "proj_bias": True,
    "pool_type": "last",
    "norm_kwargs": {"eps": 1e-6},
}
CLIPA: dict[str, Any] = {
    "tokenizer_kwargs": {"strip_sep_token": True},
    "pool_type": "last",
    "no_causal_mask": True,
}
MAP = {"timm_model_name": "tiny_siglip", "timm_pool": "map", "timm_proj": "none"}
TOKEN = {"timm_pool": "token", "timm_proj": None}
CUSTOM = {"qk_norm": True, "scale_attn_inner": True, "scale_fc": True}
EXPRESSED: dict[str, dict[str, Any]] = {
    "ViT-B-32": config(text=OWN),
    "ViT-B-32-quickgelu": config(quick_gelu=True),
    "ViT-L-14: more layers, another width of heads": config({"layers": 3, "width": 48, "head_width": 8}),
    "ViT-g-14: another ratio of the MLP": config({"mlp_ratio": 4.3637}, {"mlp_ratio": 3.7362}),
    "patches that do not divide the image": config({"image_size": 35}),
    "an image that is no square": config({"image_size": [32, 24]}),
    "ViT-M-16-alt: layer scale": config({"ls_init_value": 1e-4}, {"ls_init_value": 0.1}),
    "the text tower under its own name": config(custom_text=True),
    "scale and bias as vectors": config(nonscalar_logit_scale=True, init_logit_bias=-3.0),
    "CLIPA: mean, norm behind it, BERT's tokenizer without [SEP]": config(
        {"no_ln_pre": True, "pool_type": "avg", "final_ln_after_pool": True}, CLIPA
    ),
    "MetaCLIP 2: the end token by its id": config(
        text={"vocab_size": 64, "pool_type": "eos", "eos_id": len(LETTERS) + 3}
    ),
    "the blocks that open_clip calls custom": config(CUSTOM, CUSTOM),
    "ViT-B-16-SigLIP": config(MAP, SIGLIP, embed_dim=32, custom_text=True, init_logit_bias=-10),
    "SigLIP 2: tanh": config(
        {**MAP, "timm_model_name": "tiny_so400m", "image_size": 30},
        {**SIGLIP, "act_kwargs": {"approximate": "tanh"}},
        embed_dim=32,
        custom_text=True,
        init_logit_bias=-10,
    ),
    "SigLIP i18n: no projection": config(
        MAP, {**SIGLIP, "width": 32, "proj_type": "none"}, embed_dim=32, custom_text=True, init_logit_bias=-10
    ),
    "EVA01": config({"timm_model_name": "tiny_eva", **TOKEN}, custom_text=True),
    "EVA02": config({"timm_model_name": "tiny_eva02", **TOKEN}, custom_text=True),
    "MobileCLIP2-L-14: texts that look ahead": config(
        {"timm_model_name": "tiny_clip", **TOKEN}, {"no_causal_mask": True}, custom_text=True
    ),
    "a timm model and a projection": config(
        {"timm_model_name": "tiny_gap", "timm_pool": "", "timm_proj": "linear", "timm_proj_bias": True}
    ),
}
COCA = {"width": 16, "heads": 2, "layers": 1, "context_length": 11, "vocab_size": 48, "attn_pooler_heads": 2}
WRAPPED: dict[str, tuple[dict[str, Any], set[str]]] = {  # and which of the towers are
    "ResNet": (config({"layers": [1, 1, 1, 1], "width": 8, "head_width": 16}), {"image"}),
    "ConvNeXt": (
        config({"timm_model_name": "test_convnext", "timm_pool": "", "timm_proj": "mlp"}, custom_text=True),
        {"image"},
    ),
    "CoCa": (
        config(
            {"attentional_pool": True, "attn_pooler_heads": 2, "attn_pooler_queries": 4, "output_tokens": True},
            {"embed_cls": True, "output_tokens": True, **OWN},
            custom_text=True,
            multimodal_cfg=COCA,
        ),
        {"image", "text"},
    ),
}


@pytest.fixture(autouse=True)
def tiny_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    use_tiny_timm(monkeypatch)


@torch.no_grad()
def assert_equal_embeddings(ours: Any, folder: Path, equal: Equal) -> Any:
    """`ours` and open_clip's model of `folder` on noise and on odd texts, padded and ragged; theirs."""
    theirs, _, tokenizer = theirs_of(folder)
    size = ours.transform.config.size
    pixels = torch.randn(3, 3, *size, generator=torch.Generator().manual_seed(2))
    ids = tokenizer(list(TEXTS))
    image, text = theirs.encode_image(pixels, normalize=True), theirs.encode_text(ids, normalize=True)
    assert image.std(0).max() > 1e-3 and text.std(0).max() > 1e-3  # a signal got through
    equal(ours.encode_images(pixels), image)
    equal(ours.encode_texts(ids), text)  # padded, as theirs wants them
    equal(ours.embed_texts(list(TEXTS), batch_size=3), text)  # each as long as it is
    logits = theirs.logit_scale.exp() * image @ text.T
    logits = logits if getattr(theirs, "logit_bias", None) is None else logits + theirs.logit_bias
    equal(ours.similarity(*ours(pixels, ids)), logits)
    return theirs


@pytest.mark.parametrize("name", EXPRESSED)
def test_shared_backbone_computes_the_same(name: str, tmp_path: Path, equal: Equal) -> None:
    model_cfg = EXPRESSED[name]
    ours = load(write(random_model(model_cfg), model_cfg, tmp_path / "theirs"))
    image, text = ours.config.image, ours.config.text
    assert isinstance(image, ImageTowerConfig) and isinstance(image.encoder, ImageEncoderConfig)
    assert isinstance(text, TextTowerConfig)
    theirs = assert_equal_embeddings(ours, tmp_path / "theirs", equal)
    save_open_clip(ours, tmp_path / "back")
    back = assert_equal_embeddings(load(tmp_path / "back"), tmp_path / "back", equal)
    state = theirs.state_dict()
    assert back.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[key]) for key, value in back.state_dict().items())


@pytest.mark.parametrize("name", WRAPPED)
def test_other_towers_are_wrapped(name: str, tmp_path: Path, equal: Equal, monkeypatch: pytest.MonkeyPatch) -> None:
    model_cfg, wrapped = WRAPPED[name]
    folder = write(random_model(model_cfg), model_cfg, tmp_path / "theirs")
    with pytest.raises(DataError, match=r"which the shared backbone lacks, and is that of no architecture that"):
        load(folder)
    register(monkeypatch, "tiny", model_cfg)
    ours = load(folder)
    assert isinstance(ours.config.image, OpenClipImageConfig) and ours.config.image.architecture == "tiny"
    assert isinstance(ours.config.text, OpenClipTextConfig if "text" in wrapped else TextTowerConfig)
    assert_equal_embeddings(ours, folder, equal)
    save_open_clip(ours, tmp_path / "back")
    assert_equal_embeddings(load(tmp_path / "back"), tmp_path / "back", equal)


def test_a_model_that_came_from_elsewhere_is_exported_by_what_it_computes(tmp_path: Path, equal: Equal) -> None:
    for name in ("ViT-B-32-quickgelu", "MetaCLIP 2: the end token by its id", "patches that do not divide the image"):
        ours = load(write(random_model(EXPRESSED[name]), EXPRESSED[name], tmp_path / name / "theirs"))
        ours.card = {}
        save_open_clip(ours, tmp_path / name / "back")
        assert_equal_embeddings(ours, tmp_path / name / "back", equal)


def test_an_image_tower_of_timm_is_found_among_open_clips_architectures(
    tmp_path: Path, equal: Equal, monkeypatch: pytest.MonkeyPatch
) -> None:
    model_cfg = EXPRESSED["ViT-B-16-SigLIP"]
    ours = load(write(random_model(model_cfg), model_cfg, tmp_path / "theirs"))
    ours.card = {}
    with pytest.raises(ArgumentError, match="open_clip has no model like this one"):
        save_open_clip(ours, tmp_path / "back")
    register(monkeypatch, "tiny", model_cfg)
    save_open_clip(ours, tmp_path / "back")
    assert_equal_embeddings(ours, tmp_path / "back", equal)


def test_texts_are_padded_here_where_the_model_reads_padding(tmp_path: Path, equal: Equal) -> None:
    for name in ("ViT-B-16-SigLIP", "MobileCLIP2-L-14: texts that look ahead"):
        ours = load(write(random_model(EXPRESSED[name]), EXPRESSED[name], tmp_path / name))
        text = ours.config.text
        assert isinstance(text, TextTowerConfig) and isinstance(text.pool, PaddedPoolConfig | EndPoolConfig)
        end = len(LETTERS) + 3
        ids = torch.tensor([[5, 9, end, 3], [7, end, 3, 3]])
        keep = torch.tensor([[True, True, True, False], [True, True, False, False]])
        full = torch.full((2, 12), text.pool.pad or 0)
        full[0, :3], full[1, :2] = ids[0, :3], ids[1, :2]
        with torch.no_grad():
            equal(ours.encode_texts(ids, keep=keep), ours.encode_texts(full))


def test_pictures_are_prepared_as_theirs(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    files = []
    for i, (height, width) in enumerate(((40, 52), (33, 33), (91, 34), (20, 31), (32, 32))):
        noise = draw.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
        files.append(tmp_path / f"{i}.png")
        Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).save(files[-1])
    settings = [
        {},
        {"resize_mode": "squash", "mean": [0.5] * 3, "std": [0.5] * 3},
        {"interpolation": "bilinear", "mean": 0.4},
        {"interpolation": "random"},
    ]
    model_cfg = config()
    model = random_model(model_cfg)
    for i, preprocess_cfg in enumerate(settings):
        folder = write(model, model_cfg, tmp_path / f"model{i}", **preprocess_cfg)
        ours, (theirs, preprocess, _) = load(folder), theirs_of(folder)
        pixels = torch.stack([preprocess(Image.open(file)) for file in files])
        for file, expected in zip(files, pixels, strict=True):
            prepared = ours.transform.normalize(ours.transform.read(file))
            assert (prepared - expected).abs().max() < 1e-6
        with torch.no_grad():
            expected = theirs.encode_image(pixels, normalize=True)
        assert (ours.embed_images(files, batch_size=2) - expected).abs().max() < 1e-4
        again = save_open_clip(ours, tmp_path / f"back{i}")
        assert load(again).transform.config == ours.transform.config


def test_probabilities_are_of_the_models_own_kind(tmp_path: Path) -> None:
    labels, templates = ["cat", "dog", "red sofa"], ["a photo of a {}.", "{}"]
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    for name, sigmoid in (("ViT-B-32", False), ("ViT-B-16-SigLIP", True)):
        folder = write(random_model(EXPRESSED[name]), EXPRESSED[name], tmp_path / name)
        ours, (theirs, preprocess, tokenizer) = load(folder), theirs_of(folder)
        with torch.no_grad():
            image = theirs.encode_image(preprocess(picture)[None], normalize=True)
            rows = []
            for label in labels:
                text = theirs.encode_text(tokenizer([t.format(label) for t in templates]), normalize=True)
                rows.append(torch.nn.functional.normalize(text.mean(0), dim=0))
            logits = theirs.logit_scale.exp() * image @ torch.stack(rows).T
            expected = (logits + theirs.logit_bias).sigmoid()[0] if sigmoid else logits.softmax(-1)[0]
        found = ours.classify(picture, labels, templates=templates)[0]
        given = dict(zip(found.labels, found.probabilities, strict=True))
        assert [given[label] for label in labels] == pytest.approx(expected.tolist(), rel=1e-4)


def test_every_architecture_is_expressed_wrapped_or_refused_by_name() -> None:
    refused = {
        name for name in open_clip.list_models() if open_clip.get_model_config(name)["text_cfg"].get("hf_model_name")
    }
    samples = ["ViT-B-32", "ViT-bigG-14-worldwide-378", "ViT-B-16-SigLIP2", "EVA02-L-14", "ViT-L-14-CLIPA-336"]
    for name in samples:
        assert not read_model(open_clip.get_model_config(name), {}, pad=0).lacking
    for name, lacking in (("RN50", "the ResNet of CLIP"), ("ViTamin-S", "the MLP GeGluMlp")):
        assert read_model(open_clip.get_model_config(name), {}, pad=0).lacking == {"image": lacking}
    for name in refused:
        with pytest.raises(DataError, match=r"its texts are read by .*, a model of transformers"):
            read_model(open_clip.get_model_config(name), {}, pad=0)


def test_presets_are_the_published_designs() -> None:
    designs = {
        "ViT-B-32": clip(49408, end=49407),
        "ViT-B-32-quickgelu": clip(49408, end=49407, quick_gelu=True),
        "ViT-B-16-SigLIP2": siglip(256_000, pad=0),
    }
    counts = {"ViT-B-32": 151_277_313, "ViT-B-32-quickgelu": 151_277_313}
    for name, preset in designs.items():
        model_cfg: Any = open_clip.get_model_config(name)
        custom = model_cfg.pop("custom_text", False)
        with torch.device("meta"):
            theirs: Any = (open_clip.model.CustomTextCLIP if custom else open_clip.model.CLIP)(**model_cfg)
            ours = preset.build()
        count = sum(parameter.numel() for parameter in ours.parameters())
        assert count == sum(parameter.numel() for parameter in theirs.parameters()) == counts.get(name, count)
        model_cfg |= {"custom_text": custom} if custom else {}
        read = read_model(model_cfg, {}, pad=0).config
        assert read.text == preset.text and read.dim == preset.dim


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embed_dim": "many"}, "embed_dim is 'many'"),
        ({"vision": 1}, "has a field 'vision' that is not known. Did you mean"),
        ({"text_cfg": None}, "text_cfg is None; it must be an object"),
        ({"vision_cfg": {**VISION, "layer": 3}}, "'layer' that open_clip does not know. Did you mean 'layers'"),
        ({"vision_cfg": {**VISION, "width": "wide"}}, "describes a model that cannot be built"),
        ({"vision_cfg": {**VISION, "patch_size": 0}}, "patch_size is 0; it must be a whole number"),
        ({"vision_cfg": {"timm_model_name": "hf-hub:some/where"}}, "timm has no model 'hf-hub:some/where'"),
        ({"vision_cfg": {**VISION, "scale_heads": True}}, "has cosine attention, or heads with scales"),
    ],
)
def test_damaged_configs(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_model({**config(), **change}, {}, pad=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resize_mode": "longest"}, "resize_mode is 'longest'; here, one of shortest, squash can be done"),
        ({"mode": "L"}, r"only colour images \(RGB\)"),
        ({"interpolation": "lanczos"}, "interpolation is 'lanczos'"),
        ({"std": [1, 1, 0]}, "std is"),
    ],
)
def test_preprocessing_that_we_do_not_have(change: dict[str, Any], message: str) -> None:
    with pytest.raises((ArgumentError, DataError), match=message):
        read_model(config(), change, pad=0)

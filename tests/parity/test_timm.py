"""timm's models here: equal logits, strict tables, and back again bit for bit.

Every parameter is random, so that two swapped ones show: norms, biases and layer scales too, which timm starts at one
or zero. The models are tiny; which names of timm are expressible at full width is checked without memory.
"""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from timm_pairs import assert_equal_outputs, assert_same_tensors, convert, randomize

from multimodal.config import from_plain, to_plain
from multimodal.errors import ArgumentError
from multimodal.finetuning.adapt import with_head
from multimodal.hub import export_timm
from multimodal.models.classifier import (
    ClassifierConfig,
    DistilledHeadConfig,
    LinearHeadConfig,
)
from multimodal.models.image_encoder import ImageEncoderConfig
from multimodal.models.timm_parts import NotExpressible
from multimodal.models.timm_vit import read_vit
from multimodal.weights.timm_vit import timm_vit

TINY: dict[str, Any] = {
    "embed_dim": 32,
    "depth": 2,
    "num_heads": 2,
    "img_size": (16, 24),
    "patch_size": 4,
    "num_classes": 5,
}
# One architecture for each thing that timm's vision transformers do differently, by a name for people.
SHARED: dict[str, tuple[str, dict[str, Any]]] = {
    "vit": ("vit_tiny_patch16_224", {}),
    "deit": ("deit_tiny_patch16_224", {}),
    "distilled": ("deit_tiny_distilled_patch16_224", {}),
    "deit3: layer scale, class token without position": ("deit3_small_patch16_224", {}),
    "dinov2": ("vit_small_patch14_dinov2", {}),
    "dinov2 with registers": ("vit_small_patch14_reg4_dinov2", {}),
    "dinov2 giant: packed SwiGLU": ("vit_giant_patch14_reg4_dinov2", {}),
    "registers with positions": ("vit_tiny_patch16_224", {"reg_tokens": 3}),
    "clip: norm before the blocks": ("vit_base_patch32_clip_224", {}),
    "clip of OpenAI: quick GELU": ("vit_base_patch16_clip_quickgelu_224", {}),
    "siglip: attention pooling": ("vit_base_patch16_siglip_224", {}),
    "siglip without attention pooling": ("vit_base_patch16_siglip_gap_224", {}),
    "so400m: tanh GELU, patches that do not divide": ("vit_so400m_patch14_siglip_384", {"img_size": (18, 27)}),
    "attention pooling of patches alone": ("vit_so150m_patch16_reg4_map_256", {}),
    "attention pooling of registers too": ("test_vit3", {}),
    "mean": ("vit_medium_patch16_gap_240", {}),
    "mean with registers": ("vit_medium_patch16_reg4_gap_256", {}),
    "mean of all tokens": ("vit_tiny_patch16_224", {"global_pool": "avg", "pool_include_prefix": True}),
    "mean after the norm": ("vit_tiny_patch16_224", {"global_pool": "avg", "fc_norm": False}),
    "no norm at the end": ("vit_tiny_patch16_224", {"final_norm": False}),
    "queries and keys normalised": ("vit_tiny_patch16_224", {"qk_norm": True}),
    "no biases": ("vit_tiny_patch16_224", {"qkv_bias": False, "proj_bias": False}),
    "rms norm": ("vit_tiny_patch16_224", {"norm_layer": "rmsnorm", "qk_norm": True}),
    "beit3: norms inside": ("beit3_base_patch16_224", {}),
    "no position": ("vit_tiny_patch16_224", {"pos_embed": "none"}),
    "eva": ("eva_giant_patch14_224", {}),
    "eva-02: rotary, packed gate": ("eva02_tiny_patch14_224", {}),
    "eva-02 large: projections apart, gate apart, inner norms": ("eva02_large_patch14_224", {}),
    "eva-02 clip: norm in attention": ("eva02_base_patch16_clip_224", {}),
    "rotary without learned positions": ("vit_medium_patch16_rope_reg1_gap_256", {}),
    "rotary counted on the image's own grid, halves": (
        "eva02_tiny_patch14_224",
        {"ref_feat_shape": None, "rope_rotate_half": True, "init_values": 0.1},
    ),
    "rotary attention of its own": ("eva02_tiny_patch14_224", {"attn_type": "rope", "qk_norm": True}),
}
# Of all vit_*, deit* and eva02*, these alone are wrapped, for what the shared backbone does not have.
NOT_SHARED = {
    "the class VisionTransformerRelPos": ["vit_relpos_*", "vit_srelpos_*"],
    "the patch embedding HybridEmbed": ["vit_*_r[25]*_s*", "vit_tiny_r_s16_*", "vit_*_resnet*", "vit_base_mci_224"],
    "the rotary embedding": ["vit_*_dinov3*", "vit_*_lingbot", "vit_*_rope_mixed_*"],
    "rotary positions that start at 1, or column first": ["vit_*_rope_224", "vit_*_rope_ape_224", "vit_pe_*"],
    "layer scale on one branch alone": ["vit_*_sapiens2"],
    "the block": ["vit_*_18x2_*", "vit_*_xp_224", "vit_base_patch16_rpn_224", "vit_*pwee_*", "eva02_enormous_*"],
    "the attention DiffAttention": ["vit_dlittle_*", "vit_dwee_*"],
}


@pytest.fixture(params=SHARED.values(), ids=SHARED.keys())
def family(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    name, special = request.param
    return name, {**TINY, **special}


def test_shared_backbone_computes_the_same(family: tuple[str, dict[str, Any]]) -> None:
    name, arguments = family
    model = randomize(timm.create_model(name, **arguments))
    classifier = convert(model, name, arguments)
    assert isinstance(classifier.config.encoder, ImageEncoderConfig)
    assert_equal_outputs(model, classifier, arguments["img_size"])
    # The config says it all: through JSON and back, it takes the same weights.
    again = from_plain(ClassifierConfig, to_plain(classifier.config)).build()
    again.load_state_dict(classifier.state_dict())
    # And back to timm, bit for bit.
    plain = {key: value for key, value in arguments.items() if key != "num_classes"}
    exported = export_timm(classifier, name, **plain)
    assert_same_tensors(exported, model.state_dict())
    assert {id(stage) for stages in classifier.encoder.stages() for stage in stages} == {
        id(parameter) for parameter in classifier.encoder.parameters()
    }


RESIZED = [
    "vit",
    "distilled",
    "deit3: layer scale, class token without position",
    "siglip: attention pooling",
    "dinov2 with registers",
    "eva-02: rotary, packed gate",
]


@pytest.mark.parametrize("kind", RESIZED)
def test_other_image_size(kind: str) -> None:
    name, special = SHARED[kind]
    arguments = {**TINY, **special, "dynamic_img_size": True}
    model = randomize(timm.create_model(name, **arguments))
    assert_equal_outputs(model, convert(model, name, arguments), (28, 20))


def test_image_that_patches_do_not_divide_is_padded_as_timm_pads() -> None:
    arguments = {**TINY, "dynamic_img_size": True, "dynamic_img_pad": True}
    model = randomize(timm.create_model("vit_tiny_patch16_224", **arguments))
    assert_equal_outputs(model, convert(model, "vit_tiny_patch16_224", arguments), (17, 22))


def test_checkpoint_without_classes_gives_timms_features() -> None:
    arguments = {**TINY, "num_classes": 0}
    model = randomize(timm.create_model("vit_small_patch14_dinov2", **arguments))
    classifier = convert(model, "vit_small_patch14_dinov2", arguments)
    assert_equal_outputs(model, classifier, TINY["img_size"])
    assert classifier.labels == ()


def test_export_needs_the_same_mathematics() -> None:
    arguments = {key: value for key, value in TINY.items() if key != "num_classes"}
    model = randomize(timm.create_model("vit_tiny_patch16_224", **TINY))
    classifier = convert(model, "vit_tiny_patch16_224", arguments)
    with pytest.raises(ArgumentError, match=r"not timm's vit_base_patch32_clip_224: its encoder\.tokenizer\.bias"):
        export_timm(classifier, "vit_base_patch32_clip_224", **arguments)
    with pytest.raises(ArgumentError, match=r"encoder\.backbone\.depth is 2 and not 3"):
        export_timm(classifier, "vit_tiny_patch16_224", **{**arguments, "depth": 3})
    with pytest.raises(ArgumentError, match="layer_scale is None and not 1e-06"):
        export_timm(classifier, "vit_tiny_patch16_224", **arguments, init_values=1e-6)
    with pytest.raises(ArgumentError, match="timm has no model 'vit_tony'"):
        export_timm(classifier, "vit_tony")
    classifier.card = {}
    with pytest.raises(ArgumentError, match="does not say which timm model"):
        export_timm(classifier)


def test_export_after_training_with_other_classes_and_drop_path() -> None:
    arguments = {key: value for key, value in TINY.items() if key != "num_classes"}
    model = randomize(timm.create_model("vit_tiny_patch16_224", **TINY, drop_path_rate=0.1, drop_rate=0.2))
    classifier = with_head(convert(model, "vit_tiny_patch16_224", arguments), ["cat", "dog"])
    state = export_timm(classifier, "vit_tiny_patch16_224", **arguments)
    assert state["head.weight"].shape == (2, 32)
    timm.create_model("vit_tiny_patch16_224", **{**TINY, "num_classes": 2}).load_state_dict(state)


@pytest.fixture
def fast_meta(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of the time that it takes to make a model without memory goes into clamping its initial weights."""
    monkeypatch.setattr(torch.Tensor, "clamp_", lambda self, *_, **__: self)


def test_every_name_is_shared_or_wrapped_for_a_known_reason(fast_meta: None) -> None:
    wrapped: dict[str, set[str]] = {}
    shared = 0
    for name in timm.list_models(["vit_*", "deit*", "eva02*"]):
        depth = {} if name.endswith("_sapiens2") else {"depth": 1}
        with torch.device("meta"):
            model = timm.create_model(name, num_classes=3, **depth)
            try:
                encoder, layout = read_vit(model)
            except NotExpressible as error:
                why = next((known for known in NOT_SHARED if str(error).startswith(known)), str(error))
                wrapped.setdefault(why, set()).add(name)
                continue
            head = DistilledHeadConfig() if layout.distilled else LinearHeadConfig()
            ours = ClassifierConfig(encoder=encoder, classes=3, head=head).build().state_dict()
        table = timm_vit(layout)  # strict both ways: no tensor is left over on either side
        assert table.export(table.convert(model.state_dict(), ours)).keys() == model.state_dict().keys(), name
        shared += 1
    assert wrapped == {why: set(timm.list_models(patterns)) for why, patterns in NOT_SHARED.items()}
    assert shared >= 150

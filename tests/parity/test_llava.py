"""LLaVA-1.5 and LLaVA-NeXT of transformers here: equal pixels, ids, logits and answers, and back bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from folders import change_config, exported, load, rewrite
from torch import Tensor

from multimodal.errors import ArgumentError, DataError
from multimodal.hub import save_transformers
from multimodal.models.chat.answers import prompt_of
from multimodal.models.chat.views import Views
from multimodal.models.projector import LinearProjectorConfig
from multimodal.models.vision_language import VisionLanguageModel

transformers = pytest.importorskip("transformers")
from llavas import CANVASES, IMAGE, TEMPLATE, TOKENS, folder_of, pictures, tiny  # noqa: E402

Equal = Callable[[Tensor, Tensor], None]
CASES: dict[str, dict[str, Any]] = {
    "clip, llama": {},
    "clip, mistral, class token": {"text": "Mistral", "vision_feature_select_strategy": "full"},
    "clip, qwen2 tied, layers": {"text": "Qwen2", "tied": True, "vision_feature_layer": [-2, 1, 0]},
    "siglip without its head": {"tower": "Siglip", "head": False, "vision_feature_select_strategy": "full"},
    "siglip, llama": {"tower": "Siglip", "vision_feature_select_strategy": "full", "vision_feature_layer": -1},
    "no biases": {"multimodal_projector_bias": False, "projector_hidden_act": "relu", "vision_feature_layer": 2},
    "next": {"tiled": True},
    "next, siglip, mistral": {
        "tiled": True,
        "tower": "Siglip",
        "text": "Mistral",
        "vision_feature_select_strategy": "full",
    },
}
SIZES = ((40, 49), (24, 24), (30, 100), (90, 25))  # of which the middle is the same to them; see transformers_pixels.py


def question(*images: Any, text: str = "what is this ?") -> list[dict[str, Any]]:
    shown = [{"type": "image", "image": image} for image in images]
    return [{"role": "user", "content": [*shown, {"type": "text", "text": text}]}]


def theirs_of(processor: Any, chats: list[Any]) -> Any:
    """What their processor makes of the same chats, padded on the left."""
    texts = [processor.apply_chat_template(chat, add_generation_prompt=True) for chat in chats]
    images = [part["image"] for chat in chats for m in chat for part in m["content"] if part["type"] == "image"]
    return processor(text=texts, images=images or None, padding=True, padding_side="left", return_tensors="pt")


def read(model: VisionLanguageModel, chats: list[Any]) -> tuple[Tensor, Tensor, Views | None]:
    """What we make of them, padded on the right: ids, which are real, views."""
    prompts = [prompt_of(model, chat) for chat in chats]
    longest = max(len(prompt.ids) for prompt in prompts)
    ids = torch.tensor([[*prompt.ids, *[3] * (longest - len(prompt.ids))] for prompt in prompts])
    keep = torch.tensor([[i < len(prompt.ids) for i in range(longest)] for prompt in prompts])
    return ids, keep, Views.of([one for prompt in prompts for one in prompt.seen])


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_logits_and_answers_are_theirs_there_and_back(name: str, tmp_path: Path, equal: Equal) -> None:
    theirs = tiny(**CASES[name])
    processor = folder_of(theirs, tmp_path / "read")
    ours: VisionLanguageModel = load(tmp_path / "read")
    images = pictures(*SIZES)
    batches = [
        [question(), question(text="a red dog and that cat ?")],  # text alone
        [question(images[0])],
        [question(images[1], images[2])],
        [question(images[0]), question(images[3], images[1]), question(text="a cat"), question(images[2], text="?")],
    ]
    back = exported(ours, theirs, tmp_path)
    for chats in batches:
        given = theirs_of(processor, chats)
        ids, keep, views = read(ours, chats)
        real = given["attention_mask"].bool()
        assert torch.equal(ids[keep], given["input_ids"][real])
        if views is not None:
            pixels = given["pixel_values"]
            if pixels.dim() == 5:  # theirs are filled up to the most tiles
                pixels = torch.cat([one[:count] for one, count in zip(pixels, views.counts, strict=True)])
            assert (ours.reader.transform.normalize(views.x) - pixels).abs().max() < 1e-6
        for model in (theirs, back):
            equal(ours(ids, views, keep=keep)[keep], model(**given).logits[real])
        written = theirs.generate(**given, max_new_tokens=8, do_sample=False, eos_token_id=2, pad_token_id=3)
        found = ours.complete(chats, max_new_tokens=8, batch_size=3)
        new = written[:, given["input_ids"].shape[1] :].tolist()
        assert [list(answers[0].ids) for answers in found] == [row[: (*row, 2).index(2) + 1] for row in new]
    assert load(tmp_path / "back").config == ours.config


@torch.no_grad()
def test_what_is_seen_matters(tmp_path: Path) -> None:
    for tiled in (False, True):
        folder_of(tiny(tiled=tiled), tmp_path / str(tiled))
        ours: VisionLanguageModel = load(tmp_path / str(tiled))
        logits = []
        for image in pictures((48, 48), (48, 48)):
            ids, _, views = read(ours, [question(image)])
            logits.append(ours(ids, views)[0, -1])
        assert (logits[0] - logits[1]).abs().max() > 1e-2


@torch.no_grad()
@pytest.mark.parametrize("tiled", [False, True])
def test_their_processor_reads_what_we_write(tiled: bool, tmp_path: Path) -> None:
    processor = folder_of(tiny(tiled=tiled), tmp_path / "read")
    ours: VisionLanguageModel = load(tmp_path / "read")
    assert ours.tokenizer is not None and ours.tokenizer.chat_template == TEMPLATE
    save_transformers(ours, tmp_path / "back")
    again = transformers.AutoProcessor.from_pretrained(tmp_path / "back", backend="pil")
    assert type(again) is type(processor)
    chats = [question(*pictures((40, 52), (30, 100)))]
    expected, found = theirs_of(processor, chats), theirs_of(again, chats)
    assert expected.keys() == found.keys()
    assert torch.equal(found["input_ids"], expected["input_ids"])
    assert torch.allclose(found["pixel_values"], expected["pixel_values"], atol=1e-6)


@pytest.mark.parametrize("names", ["4.36 to 4.51", "4.52 to 4.57"])
def test_older_names_of_weights(names: str, tmp_path: Path) -> None:
    folder_of(tiny(tiled=True), tmp_path)
    expected = load(tmp_path).state_dict()

    def rename(name: str) -> str:
        name = name.replace("vision_tower.", "vision_tower.vision_model.")
        if names == "4.36 to 4.51":
            return name
        if name.startswith("language_model.lm_head"):
            return name.removeprefix("language_model.")
        return "model." + name.replace("language_model.model.", "language_model.")

    rewrite(tmp_path, rename=rename)
    rewrite(tmp_path, more={"vision_tower.vision_model.embeddings.position_ids": torch.arange(17)[None]})
    found = load(tmp_path).state_dict()
    assert found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in found)


def test_a_chat_template_in_a_file_of_its_own(tmp_path: Path) -> None:
    folder_of(tiny(), tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    assert load(tmp_path).tokenizer.chat_template is None
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    assert load(tmp_path).tokenizer.chat_template == TEMPLATE
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": ["one"]}))
    with pytest.raises(DataError, match="chat_template is a list; it must be text"):
        load(tmp_path)


def test_configs_that_are_silent(tmp_path: Path) -> None:
    folder_of(tiny(), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for name in ("image_token_index", "vision_feature_layer", "vision_feature_select_strategy"):
        del config[name]
    config["image_token_id"] = IMAGE
    config["text_config"] |= {"architectures": ["LlamaForCausalLM"], "_name_or_path": "lmsys/vicuna-7b-v1.5"}
    del config["vision_config"]["model_type"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    expected = load(tmp_path).config
    assert expected.placeholder == IMAGE and expected.features.layers == (-2,) and not expected.features.class_token
    (tmp_path / "processor_config.json").unlink()  # LLaVA-1.5's preprocessing
    assert load(tmp_path).config == expected


@pytest.mark.parametrize("tied", [False, True])
@torch.no_grad()
def test_a_placeholder_beyond_the_vocabulary_gets_a_row(tied: bool, tmp_path: Path, equal: Equal) -> None:
    folder_of(tiny(tied=tied), tmp_path / "read")
    read_in: VisionLanguageModel = load(tmp_path / "read")
    language = read_in.config.language
    short = replace(language, embedding=replace(language.embedding, vocabulary=IMAGE))
    ours = replace(read_in.config, language=short).build(read_in.tokenizer).eval()
    state = read_in.state_dict()
    tables = {name: state[name][:IMAGE] for name in state if len(state[name]) == len(TOKENS)}
    assert len(tables) == (1 if tied else 2)
    ours.load_state_dict({**state, **tables})

    save_transformers(ours, tmp_path / "back")
    back = transformers.LlavaForConditionalGeneration.from_pretrained(tmp_path / "back").eval()
    ids = torch.tensor([[1, 5, *[IMAGE] * 16, 6, 7]])
    pixels = torch.randn(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    found = back(input_ids=ids, pixel_values=pixels).logits
    equal(ours(ids, pixels), found[..., :IMAGE])
    assert found.shape[-1] == IMAGE + 1 and (found.argmax(-1) < IMAGE).all()


@pytest.mark.parametrize(
    ("tiled", "change", "message"),
    [
        (False, {"vision_feature_layer": 9}, "vision_feature_layer is 9; it must be a number from -4 to 3"),
        (False, {"vision_feature_layer": []}, r"vision_feature_layer is \[\]"),
        (False, {"vision_feature_select_strategy": "cls"}, "vision_feature_select_strategy is 'cls'; it must be"),
        (True, {"vision_feature_select_strategy": "full"}, "a class token has no place among tiles"),
        (
            True,
            {"image_grid_pinpoints": [[24, 50]]},
            r"image_grid_pinpoints is .* which cannot be cut into tiles of 24",
        ),
        (True, {"image_grid_pinpoints": [[24]]}, "it must be a list of pairs"),
        (True, {"image_grid_pinpoints": CANVASES[:2]}, "image_grid_pinpoints is .*; only .* can be done here"),
        (False, {"projector_hidden_act": "swoosh"}, "projector_hidden_act is 'swoosh'"),
        (False, {"multimodal_projector_bias": "no"}, "multimodal_projector_bias is 'no'; it must be true or false"),
        (False, {"image_token_index": -1}, "image_token_index is -1"),
        (False, {"text_config": {"model_type": "gemma"}}, "text_config: model_type is 'gemma'; here it can be llama"),
        (False, {"vision_config": {"model_type": "vit"}}, "vision_config: model_type is 'vit'; here it can be clip_"),
        (False, {"vision_config": [1]}, r"vision_config is \[1\]; it must be an object"),
        (False, {"architectures": ["LlavaModel"]}, "one of these can be read: LlavaForConditionalGeneration"),
        (False, {"vision_config": None}, "its preprocessor gives pictures of"),  # then it is the tower of LLaVA-1.5
    ],
)
def test_what_cannot_be_read(tiled: bool, change: dict[str, Any], message: str, tmp_path: Path) -> None:
    folder_of(tiny(tiled=tiled), tmp_path)
    change_config(tmp_path, **change)
    with pytest.raises(DataError, match=message):
        load(tmp_path)


def test_a_tower_without_a_class_token_takes_all_patches(tmp_path: Path) -> None:
    folder_of(tiny(tower="Siglip", vision_feature_select_strategy="full"), tmp_path)
    change_config(tmp_path, vision_feature_select_strategy="default")
    with pytest.raises(DataError, match="it takes the first patch of a tower without a class token away; write 'full'"):
        load(tmp_path)


def test_what_transformers_has_no_model_for(tmp_path: Path) -> None:
    folder_of(tiny(), tmp_path / "read")
    config = load(tmp_path / "read").config
    for changed, message in (
        (replace(config, attention="prefix"), "As llava, its attention would be 'causal' and not 'prefix'"),
        (replace(config, features=replace(config.features, layers=())), r"its features.layers would be"),
        (replace(config, projector=LinearProjectorConfig()), r"no model like this VisionLanguageModel\.$"),
    ):
        with pytest.raises(ArgumentError, match=message):
            save_transformers(changed.build(), tmp_path / "no")
    assert not (tmp_path / "no").exists()

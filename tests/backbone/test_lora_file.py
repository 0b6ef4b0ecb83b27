import json
import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from multimodal.backbone.attention import AttentionConfig
from multimodal.backbone.backbone import Backbone, BackboneConfig
from multimodal.backbone.block import BlockConfig
from multimodal.backbone.lora import LoraConfig, adapters, attach, merge
from multimodal.backbone.lora_file import load_adapter, save_adapter
from multimodal.backbone.mlp import MlpConfig
from multimodal.errors import ArgumentError, DataError

CONFIG = LoraConfig(rank=3, alpha=6.0, dropout=0.25, targets=("q", "mlp.up"))
NAMES = [f"blocks.{i}.{layer}" for i in (0, 1) for layer in ("attention.q", "mlp.up")]
WEIGHTS, FIELDS = "adapter_model.safetensors", "adapter_config.json"
KEY = "base_model.model.blocks.1.attention.q.lora_B.weight"


def backbone() -> Backbone:
    torch.manual_seed(0)
    block = BlockConfig(attention=AttentionConfig(heads=2), mlp=MlpConfig(hidden=24))
    return BackboneConfig(dim=12, depth=2, block=block).build().eval()


def adapted(config: LoraConfig = CONFIG) -> Backbone:
    model = backbone()
    attach(model, config)
    for layer in adapters(model).values():
        nn.init.normal_(layer.b.weight)
    return model


@pytest.fixture
def x():
    return torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def folder(tmp_path):
    save_adapter(adapted(), tmp_path / "adapter")
    return tmp_path / "adapter"


def edit(folder, **fields) -> None:
    path = folder / FIELDS
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def edit_weights(folder, change) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)


def refused(folder, message: str, error: type[Exception] = DataError) -> None:
    """Loading fails with this message and leaves the model as it was."""
    model = backbone()
    with pytest.raises(error, match=message):
        load_adapter(model, folder)
    assert not adapters(model) and all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("stabilized", [False, True])
def test_round_trip(tmp_path, x, stabilized):
    model = adapted(LoraConfig(rank=3, alpha=5.5, dropout=0.25, targets=("q", "mlp.up"), rank_stabilized=stabilized))
    save_adapter(model, tmp_path / "new" / "adapter")
    loaded = backbone()
    assert load_adapter(loaded, str(tmp_path / "new" / "adapter")) == NAMES
    assert torch.equal(loaded(x), model(x))
    layer = next(iter(adapters(loaded).values()))
    assert (layer.config.dropout, layer.config.alpha) == (0.25, 5.5) and not layer.training
    assert all(p.requires_grad == (".a." in name or ".b." in name) for name, p in loaded.named_parameters())
    assert sorted(p.name for p in (tmp_path / "new" / "adapter").iterdir()) == [FIELDS, WEIGHTS]


def test_a_merged_model_saves_the_same_adapter(tmp_path, folder):
    model = adapted()
    merge(model)
    save_adapter(model, tmp_path / "merged")
    assert (tmp_path / "merged" / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()


def test_a_bfloat16_model_takes_a_float32_adapter(folder):
    model = backbone().bfloat16()
    load_adapter(model, folder)
    saved = load_file(folder / WEIGHTS)
    assert torch.equal(adapters(model)["blocks.1.attention.q"].b.weight, saved[KEY])


@pytest.mark.parametrize("stabilized", [False, True])
def test_peft_reads_ours(tmp_path, x, stabilized):
    peft = pytest.importorskip("peft")
    model = adapted(LoraConfig(rank=3, alpha=5.5, targets=("q", "mlp.up"), rank_stabilized=stabilized))
    save_adapter(model, tmp_path)
    theirs = peft.PeftModel.from_pretrained(backbone(), str(tmp_path)).eval()
    assert sum("lora_A" in name for name, _ in theirs.named_parameters()) == len(NAMES)
    assert (theirs(x) - model(x)).abs().max() < 1e-6
    assert (theirs(x) - backbone()(x)).abs().max() > 0.1


@pytest.mark.parametrize("targets", [["q", "mlp.up"], r"blocks\.\d\.(attention\.q|mlp\.up)"])
@pytest.mark.parametrize("stabilized", [False, True])
def test_ours_reads_peft(tmp_path, x, targets, stabilized):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(
        r=3, lora_alpha=5, lora_dropout=0.1, target_modules=targets, use_rslora=stabilized, init_lora_weights=False
    )
    theirs = peft.get_peft_model(backbone(), config).eval()
    theirs.save_pretrained(str(tmp_path))
    ours = backbone()
    assert load_adapter(ours, tmp_path) == NAMES
    assert (theirs(x) - ours(x)).abs().max() < 1e-6
    assert (theirs(x) - backbone()(x)).abs().max() > 0.1
    scale = 5 / math.sqrt(3) if stabilized else 5 / 3
    assert adapters(ours)[NAMES[0]].config.scale == pytest.approx(scale)


@pytest.mark.filterwarnings("ignore:Adapter 'default'")  # peft takes its own lora_bias for a damaged factor
@pytest.mark.parametrize(
    "options",
    [
        {"use_dora": True},
        {"bias": "all"},
        {"rank_pattern": {"mlp.up": 5}},
        {"alpha_pattern": {"mlp.up": 5}},
        {"modules_to_save": ["norm"]},
        {"init_lora_weights": "pissa"},
        {"lora_bias": True},
        {"layers_pattern": "blocks", "layers_to_transform": [0]},
        {"exclude_modules": ["mlp.up"]},
    ],
)
def test_what_peft_can_and_ours_cannot_is_refused(tmp_path, options):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=3, target_modules=["q", "mlp.up"], **options)
    peft.get_peft_model(backbone(), config).save_pretrained(str(tmp_path))
    refused(tmp_path, f"sets {next(iter(options))}=")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"peft_type": "IA3"}, "type 'IA3'"),
        ({"r": "3"}, "rank is '3'"),
        ({"r": 0}, "rank is 0"),
        ({"r": 4}, r"has shape \(3, 12\).*need \(4, 12\)"),
        ({"target_modules": ["query"]}, "'query'.*only down, k, out, q, up, v"),
        ({"target_modules": "(q"}, "cannot be used: missing \\)"),
        ({"target_modules": None}, "targets is None"),
        ({"target_modules": ["q"]}, "unexpected: .*mlp.up.lora_A.weight"),
        ({"target_modules": ["q", "mlp.up", "v"]}, "missing: .*attention.v.lora_A.weight, .* and 1 more"),
        ({"some_future_option": 2}, "sets some_future_option=2"),
    ],
)
def test_an_edited_config_is_refused(folder, fields, message):
    edit(folder, **fields)
    refused(folder, message)


def test_an_incomplete_config_is_refused(folder):
    fields = json.loads((folder / FIELDS).read_text())
    del fields["lora_alpha"]
    (folder / FIELDS).write_text(json.dumps(fields))
    refused(folder, "lacks the field 'lora_alpha'")
    for damaged in (b"{", b"\xff\xfe{}"):
        (folder / FIELDS).write_bytes(damaged)
        refused(folder, "no valid JSON")
    (folder / FIELDS).write_text("[]")
    refused(folder, "JSON object")


def test_weights_must_fit_exactly(folder):
    whole = load_file(folder / WEIGHTS)
    edit_weights(folder, lambda tensors: tensors.pop(KEY))
    refused(folder, f"missing: {KEY}")
    save_file(whole | {"base_model.model.head.lora_A.weight": torch.zeros(3, 12)}, folder / WEIGHTS)
    refused(folder, "unexpected: base_model.model.head.lora_A.weight")
    save_file(whole | {KEY: torch.zeros(0)}, folder / WEIGHTS)  # what sharded training saves when it forgets to gather
    refused(folder, r"has shape \(0,\)")
    save_file({}, folder / WEIGHTS)
    refused(folder, "missing")


def test_missing_and_damaged_files_are_refused(folder, tmp_path):
    refused(tmp_path / "nowhere", "adapter_config.json cannot be read: No such file")
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[:-7])
    refused(folder, "is damaged")
    (folder / WEIGHTS).unlink()
    refused(folder, "adapter_model.safetensors cannot be read")
    (folder / "adapter_model.bin").write_bytes(b"")
    refused(folder, "as a pickle")


def test_a_model_that_has_adapters_takes_no_others(folder):
    with pytest.raises(ArgumentError, match="adapters already"):
        load_adapter(adapted(), folder)
    with pytest.raises(ArgumentError, match="no adapters to save"):
        save_adapter(backbone(), folder)


@pytest.mark.parametrize("failing", [WEIGHTS, FIELDS])
def test_a_full_disk_leaves_the_earlier_adapter(folder, monkeypatch, failing):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write = type(folder).write_bytes

    def full(path, data):
        write(path, data[: len(data) // 2])
        if failing in path.name:
            raise OSError(28, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(type(folder), "write_bytes", full)
    with pytest.raises(DataError, match=r"cannot be written to .*: No space left on device"):
        save_adapter(adapted(LoraConfig(rank=7)), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_kill_between_the_renames_never_mixes_two_adapters(folder, monkeypatch):
    path_type = type(folder)
    replace = path_type.replace

    def killed(path, target):
        if path.name.startswith(f".{FIELDS}"):
            raise KeyboardInterrupt
        return replace(path, target)

    monkeypatch.setattr(path_type, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        save_adapter(adapted(LoraConfig(rank=3, alpha=1.0, targets=("q", "mlp.up"))), folder)
    refused(folder, "adapter_config.json cannot be read")


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(DataError, match=r"cannot be written to .*taken: File exists"):
        save_adapter(adapted(), tmp_path / "taken")

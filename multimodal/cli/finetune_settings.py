"""The settings of `multimodal finetune`, as a table that needs no torch to show `--help`.

A test holds it against `multimodal.finetuning.settings`, where the settings and their types are defined.
"""

from __future__ import annotations

METHODS = ("full", "linear", "lora")
RESIZES = ("crop", "pad", "squash")
PRECISIONS = ("auto", "fp32", "bf16")
SCHEDULES = ("cosine", "linear", "inverse_sqrt", "constant")

# name: (type, choices, help)
SETTINGS: dict[str, tuple[type, tuple[str, ...] | None, str]] = {
    "method": (str, METHODS, "what to train: all weights, a linear head on frozen features, or LoRA adapters"),
    "rank": (int, None, "rank of the LoRA matrices"),
    "unfreeze": (int, None, "epochs between unfreezing one more stage, from the last; 0: train all stages at once"),
    "drop_path": (float, None, "probability of skipping the last block while training (earlier ones less)"),
    "dropout": (float, None, "probability of zeroing a feature in front of the head"),
    "image_size": (int, None, "side of the images the model sees, in pixels"),
    "resize": (str, RESIZES, "how other proportions fit: crop the centre, pad to keep all, or squash"),
    "smoothing": (float, None, "label smoothing"),
    "mixup": (float, None, "strength of blending two images; 0: off"),
    "cutmix": (float, None, "strength of pasting part of one image into another; 0: off"),
    "balance": (float, None, "weight rare classes more: 0 not at all, 1 fully"),
    "epochs": (int, None, "passes over the training images"),
    "batch_size": (int, None, "images an optimizer step"),
    "accumulate": (int, None, "cut each batch into this many parts to save memory"),
    "clip": (float, None, "largest gradient norm; 0: no limit"),
    "ema": (float, None, "decay of the moving average of weights; 0: off"),
    "patience": (int, None, "stop after this many epochs without improvement; 0: never"),
    "precision": (str, PRECISIONS, "arithmetic: bf16 where the machine is fast at it, or fixed"),
    "compile": (bool, None, "compile the model first: slower start, faster steps"),
    "workers": (int, None, "processes that read images; -1: chosen by the machine"),
    "save_every": (float, None, "seconds between checkpoints inside an epoch"),
    "lr": (float, None, "highest learning rate"),
    "weight_decay": (float, None, "AdamW's weight decay"),
    "layer_decay": (float, None, "learning rate of each stage relative to the next; 1: equal"),
    "warmup": (float, None, "part of the steps in which the learning rate rises"),
    "final_lr": (float, None, "learning rate at the end, relative to the highest"),
    "betas": (tuple, None, "AdamW's two decay rates"),
    "eps": (float, None, "AdamW's addition to the root of the second moment"),
    "schedule": (str, SCHEDULES, "how the learning rate falls after the warm-up"),
    "scale": (float, None, "smallest part of a picture that a random crop shows; 1: no random crop"),
    "flip": (float, None, "probability of mirroring left and right"),
    "randaugment": (int, None, "magnitude of RandAugment; 0: off"),
    "jitter": (float, None, "strength of random brightness, contrast and saturation"),
    "erase": (float, None, "probability of erasing a rectangle"),
    "val_fraction": (float, None, "part of the images held out when there is no validation folder"),
    "seed": (int, None, "of everything random"),
    "baseline": (bool, None, "measure nearest class means of the untrained features first"),
}

"""Stage 1 of LLaVA: a projector between an encoder and a language model, both of which stay as they are.

Paper     LLaVA, arXiv:2304.08485 §4.2; LLaVA-1.5, arXiv:2310.03744
Run       python recipes/llava_align.py fit --data.root captions.jsonl
          --model.vision hf:openai/clip-vit-large-patch14-336 --model.language hf:lmsys/vicuna-7b-v1.5
Your own  --data.root: images with captions (a table, a folder, tar shards), or conversations as .json or .jsonl;
          `multimodal check` says first what is wrong with them
Scenes    see llava_instruct.py, whose first steps these are
Projector --model.projector "{fold: [2, 2]}" makes one token of four; "{latents: 64}" 64 of any image (a resampler)
Hardware  7B: one GPU with 40 GB
Hours     not yet run
Expected  not yet run
Small     python recipes/llava_align.py smoke          drawn scenes and two small models, half a minute on a CPU
"""

from pathlib import Path
from typing import Literal

from multimodal.cli.recipe import Smoke, run
from multimodal.data.chat.data_modules import ChatData
from multimodal.data.chat.scene_questions import CAPTIONS
from multimodal.finetuning.precision import training_precision
from multimodal.finetuning.small_talk import write_small_talk
from multimodal.finetuning.vision_language_start import joined
from multimodal.models.chat.tiles import TilesConfig
from multimodal.models.projector import AnyProjectorConfig, MlpProjectorConfig
from multimodal.tasks.optimizer import OptimizerConfig
from multimodal.tasks.vision_language import VisionLanguageTask, VisionLanguageTrainingConfig
from multimodal.tokenizers.image_transform import Resize


def llava_align(
    vision: str = "hf:openai/clip-vit-large-patch14-336",
    language: str = "hf:lmsys/vicuna-7b-v1.5",
    projector: AnyProjectorConfig | None = None,
    layers: tuple[int, ...] = (-2,),
    class_token: bool = False,
    image_size: tuple[int, int] | None = None,
    resize: Resize | None = None,
    tiles: TilesConfig | None = None,
    attention: Literal["causal", "prefix"] = "causal",
    template: str | None = None,
    training: VisionLanguageTrainingConfig = VisionLanguageTrainingConfig(train="projector"),
    optimizer: OptimizerConfig = OptimizerConfig(lr=1e-3, weight_decay=0.0, warmup=0.03, final_lr=0.0),
    seed: int = 0,
) -> VisionLanguageTask:
    """An encoder and a language model, and what is learned between them.

    Args:
        vision: what `mm.load` takes: a model of images (a classifier, a CLIP), whose encoder is used.
        language: what `mm.load` takes: a language model with a tokenizer.
        projector: from the encoder's tokens to those of the language model; none: two layers.
        layers: of the encoder that are read; (-2,): before its last block.
        class_token: whether the encoder's class token is read, too.
        image_size: (height, width) in pixels that the encoder reads; none: as it was trained.
        resize: how images of other proportions fit: crop, pad or squash; none: as the encoder was trained.
        tiles: cut larger images into several views.
        attention: whether the tokens of an image see each other both ways (prefix).
        template: chat template as Jinja; none: the tokenizer's own, or Vicuna's.
        training: what is trained.
        optimizer: AdamW and its schedule.
        seed: of fresh weights and everything random in a step.
    """
    model, parts = joined(
        vision,
        language,
        projector=projector or MlpProjectorConfig(),
        layers=layers,
        class_token=class_token,
        image_size=image_size,
        resize=resize,
        tiles=tiles,
        attention=attention,
        template=template,
        seed=seed,
    )
    return VisionLanguageTask(model, training=training, optimizer=optimizer, seed=seed, callbacks=(parts,))


def _small_talk(folder: Path) -> list[str]:
    """Two models that do not know each other, and scenes with captions."""
    encoder, language, questions = write_small_talk(folder)
    return [f"--model.vision={encoder}", f"--model.language={language}", f"--data.root={questions / CAPTIONS}"]


SMOKE = Smoke(
    arguments=(
        "--model.layers=[]",
        "--data.batch_size=32",
        "--model.optimizer.lr=0.01",
        "--trainer.max_steps=100",
    ),
    data=_small_talk,
    metric="val_accuracy",
    at_least=0.36,  # a fresh projector between the same two models: 0.28
)

if __name__ == "__main__":
    run(
        llava_align,
        ChatData,
        smoke=SMOKE,
        trainer={"precision": training_precision(), "max_epochs": 1, "gradient_clip_val": 1.0},
    )

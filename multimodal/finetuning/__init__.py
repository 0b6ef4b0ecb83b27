"""Fine-tuning: a folder of labelled images in, a run folder with a trained model and its report out.

Read `steps.py` first: it is the whole story, one call a step. `settings.py` has every option, `defaults.py` how
they are chosen from the data, `train.py` the Lightning Trainer, `run.py` the folder that is left behind.
"""

from multimodal.finetuning.steps import finetune as finetune

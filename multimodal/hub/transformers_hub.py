"""A repository of the Hugging Face hub as a folder of its cache: only JSON, safetensors and the files of tokenizers.

What is complete in the cache is used without asking. Otherwise the hub is asked once for the list of files, and the
config is read before anything large is downloaded, so that an unsupported model costs no waiting.
"""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

from multimodal.errors import ArgumentError, DataError
from multimodal.hub.files import PATIENCE, asking_hub
from multimodal.hub.safetensors_folder import INDEX, WEIGHTS, shards_of
from multimodal.hub.transformers_source import CONFIG, GENERATION, VOCABULARIES, read_published

_BESIDE = (  # beside the vocabulary
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"),
    *("merges.txt", "target.spm"),
)
_SMALL = (CONFIG, GENERATION, *VOCABULARIES, *_BESIDE)
_INSTEAD = "or give the path of a model folder instead"


def hub_folder(name: str, *, weights: bool) -> Path:
    """The folder with the files of the repository `name`, "ORG/NAME" or "ORG/NAME@REVISION".

    Args:
        name: as on the hub.
        weights: whether the weights are needed too.

    Raises:
        ArgumentError: `name` is none that a repository can have.
        DataError: no such repository or revision, none without a pickle, or of a family that is not supported; or it
            cannot be downloaded.
    """
    repository, _, tag = name.partition("@")
    revision = tag or None
    try:
        cached = _cached(repository, revision)
    except HFValidationError as error:
        raise ArgumentError(f"{name!r} is not the name of a repository; give 'hf:ORG/NAME'.") from error
    if cached is not None and _complete(cached, weights=weights):
        return cached
    with asking_hub(f"hf:{name}", repository, instead=_INSTEAD):
        # Asks once; the downloads themselves would ask again for most of a minute when nobody answers.
        info = HfApi(endpoint=constants.ENDPOINT).model_info(repository, revision=revision, timeout=PATIENCE)
        there = {file.rfilename for file in info.siblings or []}
        if CONFIG not in there:
            raise DataError(f"The repository {repository} holds no {CONFIG}, so it is not a model of transformers.")
        folder = _download(repository, CONFIG, revision).parent
        read_published(folder)
        files = [_download(repository, file, revision) for file in _SMALL if file in there]
        for file in _weight_files(there, repository, revision) if weights else ():
            files.append(_download(repository, file, revision))
    if any(file.parent != folder for file in files):
        raise DataError(f"The repository {repository} was changed while it was downloaded. Run this again.")
    return folder


def _download(repository: str, file: str, revision: str | None) -> Path:
    return Path(hf_hub_download(repository, file, revision=revision))


def _weight_files(there: set[str], repository: str, revision: str | None) -> list[str]:
    if WEIGHTS in there:
        return [WEIGHTS]
    if INDEX not in there:
        raise DataError(
            f"The repository {repository} holds neither {WEIGHTS} nor {INDEX}. Weights in other formats are not read: "
            "a pickle can run code. Look for a converted copy of the model."
        )
    return shards_of(_download(repository, INDEX, revision))


def _cached(repository: str, revision: str | None) -> Path | None:
    """The folder of the cache, however much it holds."""
    try:
        return Path(snapshot_download(repository, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def _complete(folder: Path, *, weights: bool) -> bool:
    """Whether all that is needed is there; the weights come last."""
    if not (folder / CONFIG).exists() or not any((folder / name).exists() for name in VOCABULARIES):
        return False
    if not weights or (folder / WEIGHTS).exists():
        return True
    return (folder / INDEX).exists() and all((folder / name).exists() for name in shards_of(folder / INDEX))

"""A repository of the Hugging Face hub as a folder of its cache: only JSON, safetensors and the files of tokenizers.

The hub is asked once for the list of files, and the config is read before anything large is downloaded, so that an
unsupported model costs no waiting. The list is kept: what is complete by it in the cache is used without asking. Other
programs share the cache and may leave some files out; what they left is completed, or used as it is without a network.
"""

from __future__ import annotations

import json
from pathlib import Path

from huggingface_hub import HfApi, cached_assets_path, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

from multimodal.errors import ArgumentError, DataError
from multimodal.hub import transformers_ast
from multimodal.hub.files import PATIENCE, asking_hub, read_json
from multimodal.hub.safetensors_folder import INDEX, WEIGHTS, shards_of
from multimodal.hub.transformers_pixels import PIXELS, PROCESSOR
from multimodal.hub.transformers_processor import OLD_TEMPLATE
from multimodal.hub.transformers_source import CONFIG, GENERATION, VOCABULARIES, read_published

_BESIDE = (  # beside the vocabulary
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"),
    *("merges.txt", "target.spm", OLD_TEMPLATE),
)
_SMALL = (CONFIG, GENERATION, PIXELS, PROCESSOR, *VOCABULARIES, *_BESIDE)
_TOKENIZER_LIST = "tokenizer_files.json"
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
    usable = cached is not None and _usable(cached, weights=weights)
    if cached is not None and usable and _complete(cached, repository):
        return cached
    try:
        return _downloaded(name, repository, revision, weights=weights)
    except DataError:
        if cached is not None and usable:
            return cached
        raise


def hub_tokenizer(repository: str, *, source: str) -> Path:
    """The folder with the files of the tokenizer in `repository`; `source`: what messages call the model that needs it.

    Raises:
        DataError: no such repository, none with a tokenizer, or it cannot be downloaded.
    """
    try:
        cached = _cached(repository, None)
    except HFValidationError as error:
        raise DataError(f"{source}: its tokenizer, {repository!r}, is not the name of a repository.") from error
    there = cached is not None and any((cached / name).exists() for name in VOCABULARIES)
    if cached is not None and there and _complete(cached, repository, _TOKENIZER_LIST):
        return cached
    try:
        with asking_hub(source, repository, instead=_INSTEAD):
            info = HfApi(endpoint=constants.ENDPOINT).model_info(repository, timeout=PATIENCE)
            published = {file.rfilename for file in info.siblings or []}
            names = [name for name in (*VOCABULARIES, *_BESIDE) if name in published]
            if not any(name in VOCABULARIES for name in names):
                raise DataError(f"The repository {repository} holds no tokenizer, which {source} needs.")
            files = [_download(repository, name, None) for name in names]
            folder = files[0].parent
            _list(folder, repository, _TOKENIZER_LIST).write_text(json.dumps(names), encoding="utf-8")
    except DataError:
        if cached is not None and there:
            return cached
        raise
    return folder


def _downloaded(name: str, repository: str, revision: str | None, *, weights: bool) -> Path:
    with asking_hub(f"hf:{name}", repository, instead=_INSTEAD):
        # Asks once; the downloads themselves would ask again for most of a minute when nobody answers.
        info = HfApi(endpoint=constants.ENDPOINT).model_info(repository, revision=revision, timeout=PATIENCE)
        there = {file.rfilename for file in info.siblings or []}
        if CONFIG not in there and "open_clip_config.json" in there:
            raise DataError(
                f"The repository {repository} holds a model of open_clip: load it by its name there, as "
                "'open_clip:ARCH/TAG', or download the whole repository and give the path of its folder."
            )
        if CONFIG not in there:
            raise DataError(f"The repository {repository} holds no {CONFIG}, so it is not a model of transformers.")
        folder = _download(repository, CONFIG, revision).parent
        read_published(folder)
        small = [file for file in _SMALL if file in there]
        files = [_download(repository, file, revision) for file in small]
        _list(folder, repository).write_text(json.dumps(small), encoding="utf-8")
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


def _usable(folder: Path, *, weights: bool) -> bool:
    """Whether what no model does without is there."""
    if not (folder / CONFIG).exists():
        return False
    wordless = read_json(folder / CONFIG).get("model_type") in transformers_ast.MODEL_TYPES
    if not wordless and not any((folder / name).exists() for name in VOCABULARIES):
        return False
    if not weights or (folder / WEIGHTS).exists():
        return True
    return (folder / INDEX).exists() and all((folder / name).exists() for name in shards_of(folder / INDEX))


def _complete(folder: Path, repository: str, kept: str = "files.json") -> bool:
    """Whether all small files that the hub has of this commit are there."""
    try:
        names = json.loads(_list(folder, repository, kept).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(names, list) and all((folder / str(name)).exists() for name in names)


def _list(folder: Path, repository: str, kept: str = "files.json") -> Path:
    """Where the names of a commit's small files are kept; `folder` is named after the commit."""
    assets = cached_assets_path("multimodal", repository, folder.name, assets_dir=constants.HF_ASSETS_CACHE)
    return assets / kept

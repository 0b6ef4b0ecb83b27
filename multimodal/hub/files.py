"""What all sources of published models share: JSON files, weights that are pickles, and a hub that does not answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import constants
from huggingface_hub.errors import GatedRepoError, HTTPError, RepositoryNotFoundError, RevisionNotFoundError

from multimodal.errors import DataError

PATIENCE = 10.0  # seconds to wait for the hub's first answer
PREFIXES = ("timm", "open_clip", "hf")  # of published names: "hf:ORG/NAME"
PICKLES = (".bin", ".pth", ".pt", ".ckpt")


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in the file `path`.

    Raises:
        DataError: there is none.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}.") from error
    if not isinstance(found, dict):
        raise DataError(f"{path} must hold a JSON object.")
    return found


@contextmanager
def asking_hub(source: str, repository: str, *, instead: str) -> Iterator[None]:
    """What goes wrong while the hub is asked for `repository` as a sentence; `instead`: what else `load` takes.

    Raises:
        DataError: the repository is not there or not for everybody, or the hub cannot be reached.
    """
    try:
        yield
    except GatedRepoError as error:
        raise DataError(
            f"The weights of {source} are given only to those who accept their terms: do that at "
            f"{constants.ENDPOINT}/{repository}, then run `hf auth login`."
        ) from error
    except RepositoryNotFoundError as error:
        raise DataError(f"The hub {constants.ENDPOINT} has no repository {repository}, or not for you.") from error
    except RevisionNotFoundError as error:
        raise DataError(f"The repository {repository} has no such revision: {source}.") from error
    except (OSError, HTTPError, json.JSONDecodeError) as error:  # the last: a page that is not the hub's
        raise unreachable(source, constants.ENDPOINT, error, instead=instead) from error


def unreachable(source: str, address: str, error: Exception, *, instead: str) -> DataError:
    """The error of a download that failed, to be raised."""
    return DataError(
        f"The weights of {source} could not be downloaded from {address} ({first_line(error).rstrip('.')}). Check "
        f"the connection (HTTPS_PROXY, HF_ENDPOINT and HF_HUB_OFFLINE are obeyed), {instead}."
    )


def no_weights(folder: Path, weights: str) -> DataError:
    """The error about a folder without the file `weights`, to be raised; pickles are refused with a way out."""
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
    if not pickles:
        return DataError(f"{folder} holds no {weights}; copy the whole folder again.")
    return DataError(
        f"{folder} holds its weights as a pickle ({pickles[0]}), which can run code when it is read, so it is not. "
        f"Convert it, if you trust it, there: `import torch; from safetensors.torch import save_file; "
        f"state = torch.load({pickles[0]!r}, weights_only=True); "
        f"save_file({{name: tensor.clone() for name, tensor in state.items()}}, {weights!r})`."
    )


def lone_pickle(path: Path) -> DataError:
    """The error about a pickle in place of a folder, to be raised; it says where the same weights are safe."""
    whisper = whisper_on_hub(path.stem)
    known = f" If it is openai-whisper's, the same weights are {whisper!r}." if whisper else ""
    return DataError(
        f"{path} is a pickle, which can run code when it is read, so it is not. Give a folder that holds its weights "
        f"as safetensors.{known}"
    )


def whisper_on_hub(name: str) -> str | None:
    """What `load` takes for a model that openai-whisper calls `name`; None where it has no such name."""
    plain = name.removeprefix("openai/").removeprefix("whisper-").removesuffix("-v1")
    plain = "large-v3-turbo" if plain == "turbo" else plain
    known = re.fullmatch(r"(tiny|base|small|medium)(\.en)?|large(-v[23])?|large-v3-turbo", plain)
    return f"hf:openai/whisper-{plain}" if known else None


def first_line(error: Exception) -> str:
    """The first line of what an error says, with a full stop."""
    text = str(error).strip().split("\n")[0].rstrip(".:")
    return f"{text or type(error).__name__}."

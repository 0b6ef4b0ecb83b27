"""What the `tokenizers` library raises, as errors that a person can mend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from multimodal.errors import ArgumentError, DataError


@contextmanager
def library_errors(told: Callable[[str], Exception]) -> Iterator[None]:
    """Whatever the library raises inside becomes the error that `told` makes of its message; errors of ours stay.

    It has no narrower kind than `Exception`, and where it did not foresee something (a panic) not even that.
    """
    try:
        yield
    except (ArgumentError, DataError):
        raise
    except Exception as error:
        raise told(str(error)) from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # which cannot be imported
            raise
        raise told(str(error)) from error

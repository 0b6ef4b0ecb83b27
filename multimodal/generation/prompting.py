"""Tasks as text to be continued: an instruction, some examples or none, and the question.

Conversations are laid out by the tokenizer's chat template; choosing among given answers is `LanguageModel.score`'s.

Ref: zero, one and few examples arXiv:2005.14165 §2
"""

from __future__ import annotations

from collections.abc import Sequence
from string import Formatter

from multimodal.errors import ArgumentError, nearest

FIELDS = ("input", "output")
TEMPLATE = "Input: {input}\nOutput: {output}"


def few_shot(
    instruction: str = "",
    examples: Sequence[Sequence[str]] = (),
    query: str = "",
    *,
    template: str = TEMPLATE,
    separator: str = "\n\n",
) -> str:
    """A prompt that the answer to `query` continues; stop at `separator`.

    Args:
        instruction: what to do; "": the examples say it.
        examples: pairs of an input and its output; none: zero-shot, one: one-shot.
        query: the input that is to be answered.
        template: how a pair looks, with the fields {input} and {output}, which stands behind {input}. What is
            in front of {output} ends the prompt, without spaces at its end: models have learned them as the
            beginning of the next token.
        separator: between instruction, examples and query.

    Raises:
        ArgumentError: a template with other fields, or an example that is no pair.
    """
    fields = _fields(template)
    if fields != list(FIELDS):
        named = next((name for name in fields if name not in FIELDS), None)
        clue = f"{{{named}}} is unknown.{nearest(named, FIELDS)}" if named else "One is missing, twice there or last."
        raise ArgumentError(f"A template has the field {{input}} and behind it {{output}}, once each. {clue}")
    if any(isinstance(pair, str) or len(pair) != 2 for pair in examples):
        raise ArgumentError("Each example is a pair: an input and its output.")
    shown = [template.format(input=given, output=answer) for given, answer in examples]
    opening = template.format(input=query, output="\0")
    opening = opening[: opening.rindex("\0")].rstrip(" ")
    parts = [*([instruction] if instruction else []), *shown, opening]
    return separator.join(parts)


def _fields(template: str) -> list[str]:
    """The fields of a template in their order, with whatever is done to them."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise ArgumentError(f"The template {template!r} is damaged: {error}. Write {{{{ for a brace.") from error
    return [
        name + (f"!{how}" if how else "") + (f":{form}" if form else "")
        for _, name, form, how in parts
        if name is not None
    ]

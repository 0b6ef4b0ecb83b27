"""Chat templates: a conversation to the text that a model was trained on.

A template is Jinja that somebody else wrote and that came with a download, so it runs in a sandbox that cannot reach
Python's objects, change what it is given or load files, and in which loops, calls and texts are limited in size.
Published templates expect `raise_exception`, `strftime_now`, `tojson`, `break`/`continue` and the `generation` block,
which marks the assistant's words and is otherwise without effect.

Two layouts that came before templates are here as such: `LLAMA_2` and `VICUNA`.
"""

from __future__ import annotations

import contextvars
import datetime
import functools
import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from multimodal.errors import ArgumentError, DataError

LLAMA_2 = """{%- set rest = messages[1:] if messages[0].role == 'system' else messages -%}
{%- for message in rest -%}
{%- if message.role == 'user' -%}
{{- bos_token }}[INST] {% if loop.first and messages[0].role == 'system' -%}
<<SYS>>{{ '\\n' + messages[0].content + '\\n' }}<</SYS>>{{ '\\n\\n' }}
{%- endif -%}
{{- message.content.strip() }} [/INST]
{%- else -%}
{{- ' ' + message.content.strip() + ' ' + eos_token }}
{%- endif -%}
{%- endfor -%}"""

VICUNA = """{%- for message in messages -%}
{%- if message.role == 'system' -%}{{- message.content + ' ' }}
{%- elif message.role == 'user' -%}{{- 'USER: ' + message.content + ' ' }}
{%- else -%}{{- 'ASSISTANT: ' + message.content + eos_token }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}ASSISTANT:{%- endif -%}"""

_STEPS = 300_000  # turns of loops and calls in one rendering
_LONGEST = 10_000_000  # characters of one text or entries of one list
_WIDEST = 100_000  # for numbers that say how wide or how often

_ABSENT = {"tools": None, "documents": None}  # templates ask whether they are none, not whether they are defined

_steps: contextvars.ContextVar[itertools.count] = contextvars.ContextVar("steps")


def render_chat(template: str | None, messages: Sequence[Mapping[str, Any]], variables: Mapping[str, Any]) -> str:
    """The text of a conversation.

    Args:
        template: Jinja source.
        messages: {"role": ..., "content": ...} in their order; templates may read more fields.
        variables: what else the template may read, special tokens for example.

    Raises:
        ArgumentError: no template, messages of another form, or the template refuses them.
        DataError: the template is damaged, or does what a template must not.
    """
    if template is None:
        raise ArgumentError(
            "This tokenizer has no chat template. Give one: chat(..., template=...), with Jinja source, VICUNA or "
            "LLAMA_2; or put a chat_template.jinja beside tokenizer.json."
        )
    for place, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise ArgumentError(f"messages[{place}] is {message!r}; it must be {{'role': ..., 'content': ...}}.")
    token = _steps.set(itertools.count(1))
    try:
        pieces, length = [], 0
        for piece in _compiled(template).generate({**_ABSENT, **variables, "messages": messages}):
            pieces.append(piece)
            length += len(piece)
            if length > _LONGEST:
                raise SecurityError(f"it writes more than {_LONGEST:,} characters.")
    except (ArgumentError, DataError):
        raise
    except SecurityError as error:
        raise DataError(f"The chat template does what a template must not: {error}") from error
    except TemplateError as error:
        where = f" (line {error.lineno})" if isinstance(error, jinja2.TemplateSyntaxError) else ""
        raise DataError(f"The chat template is damaged or does not fit these messages: {error}{where}.") from error
    except Exception as error:  # a template can fail in as many ways as a program
        what = str(error).rstrip(".") or type(error).__name__
        raise DataError(f"The chat template cannot be rendered with these messages: {what}.") from error
    finally:
        _steps.reset(token)
    return "".join(pieces)


class _Generation(Extension):
    """`{% generation %} ... {% endgeneration %}`: its contents."""

    tags = {"generation"}  # noqa: RUF012  jinja2 declares it so

    def parse(self, parser: Any) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Environment(ImmutableSandboxedEnvironment):
    """A sandbox that raises at the first attempt to leave it, and counts steps."""

    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def unsafe_undefined(self, obj: Any, attribute: str) -> NoReturn:
        """Raise at once: jinja2's own would print as an empty text."""
        raise SecurityError(f"it reads {attribute!r} of a {type(obj).__name__}.")

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a function of the template, a macro or a method."""
        _step()
        if getattr(__obj, "__name__", "") in ("format", "format_map"):
            _check_widths(getattr(getattr(__obj, "__wrapped__", __obj), "__self__", ""))
        _check_numbers(args, kwargs)
        return _sized(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """One of the operators that can make something large of something small."""
        if operator == "%":
            _check_widths(left)
        elif operator == "**" and not (abs(left) <= _WIDEST and abs(right) <= 64):
            raise SecurityError("it raises a number to a power that is too large.")
        elif operator == "*":
            sizes = [len(value) if hasattr(value, "__len__") else abs(value) for value in (left, right)]
            if sizes[0] * sizes[1] > _LONGEST and any(hasattr(value, "__len__") for value in (left, right)):
                raise SecurityError(f"it repeats a text or list to {sizes[0] * sizes[1]:,} entries.")
        return _sized(super().call_binop(context, operator, left, right))


class _Limits(NodeTransformer):
    """Puts limits where a template can grow and no method of the environment sees it: loops and `~`."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        """Count the turns."""
        self.generic_visit(node)
        node.iter = self._through("_turns", node.iter)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        """Look at the result."""
        return self._through("_sized", self.generic_visit(node))

    def _through(self, name: str, node: nodes.Node) -> nodes.Filter:
        return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno, environment=node.environment)


def _step() -> None:
    if next(_steps.get()) > _STEPS:
        raise SecurityError(f"it takes more than {_STEPS:,} steps.")


def _turns(items: Iterable[Any]) -> list[Any]:
    """What a `for` goes over; each turn is a step."""
    kept = []
    for item in items:
        _step()
        kept.append(item)
    return kept


def _sized(value: Any) -> Any:
    if isinstance(value, int):
        large = value.bit_length() > 1000
    else:
        large = isinstance(value, str | bytes | list | tuple | dict) and len(value) > _LONGEST
    if large:
        raise SecurityError(f"it makes a {type(value).__name__} that is too large.")
    return value


def _check_numbers(args: Iterable[Any], kwargs: Mapping[str, Any]) -> None:
    """No function of a template needs a number of such size, except to fill the memory."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, int) and abs(value) > _WIDEST:
            raise SecurityError(f"it gives {value:,} to a function; at most {_WIDEST:,} is allowed.")


def _check_widths(pattern: Any) -> None:
    if isinstance(pattern, str) and re.search(r"\d{6}|%[^a-zA-Z%]*\*", pattern):
        raise SecurityError("it formats text to a width that is too large.")


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter under the limits of a function call."""

    @functools.wraps(function)  # copies the marks by which jinja2 hands on its context, too
    def filtered(*args: Any, **kwargs: Any) -> Any:
        _step()
        _check_numbers(args[1:], kwargs)
        return _sized(function(*args, **kwargs))

    return filtered


def _format(text: str, *args: Any, **kwargs: Any) -> str:
    """The `format` filter: printf's rules."""
    _check_widths(text)
    return str(text) % (kwargs or args)


def _tojson(value: Any, indent: int | None = None, **options: Any) -> str:
    """JSON as models read it: letters of all scripts as they are, nothing escaped for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent, **options)


def _raise_exception(message: str) -> NoReturn:
    raise ArgumentError(f"The chat template refuses these messages: {message}")


def _strftime_now(format: str) -> str:
    return datetime.datetime.now().strftime(format)


@functools.lru_cache(maxsize=32)
def _compiled(template: str) -> jinja2.Template:
    environment = _Environment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation]
    )
    environment.filters.update(tojson=_tojson, format=_format)
    environment.filters.update({name: _guarded(function) for name, function in environment.filters.items()})
    environment.globals.pop("lipsum")  # makes text of any length
    environment.globals.update(raise_exception=_raise_exception, strftime_now=_strftime_now)
    environment.filters.update(_turns=_turns, _sized=_sized)
    return environment.from_string(_Limits().visit(environment.parse(template)))

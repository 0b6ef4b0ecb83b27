"""Chat templates: a conversation to the text that a model was trained on.

A template is Jinja that somebody else wrote and that came with a download, so it runs in a sandbox (`chat_sandbox.py`).
Published templates expect `raise_exception`, `strftime_now`, `tojson`, `break`/`continue` and the `generation` block,
which marks the assistant's words and is otherwise without effect.

Two layouts that came before templates are here as such: `LLAMA_2` and `VICUNA`.
"""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import jinja2
from jinja2.exceptions import SecurityError, TemplateError

from multimodal.errors import ArgumentError, DataError
from multimodal.tokenizers.chat_sandbox import Sandbox, limited

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

_DEEPEST = 32  # spaces that JSON is indented by

_ABSENT = {"tools": None, "documents": None}  # templates ask whether they are none, not whether they are defined


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
    try:
        with limited():
            return _compiled(template).render({**_ABSENT, **variables, "messages": messages})
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


def _format(text: str, *args: Any, **kwargs: Any) -> str:
    """The `format` filter: printf's rules."""
    return str(text) % (kwargs or args)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as models read it: letters of all scripts as they are, nothing escaped for HTML. transformers' arguments."""
    if indent is not None and indent > _DEEPEST:
        raise SecurityError(f"it indents JSON by {indent:,}.")
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> NoReturn:
    raise ArgumentError(f"The chat template refuses these messages: {message}")


def _strftime_now(format: str) -> str:
    return datetime.datetime.now().strftime(format)


@functools.lru_cache(maxsize=32)
def _compiled(template: str) -> jinja2.Template:
    names = {"raise_exception": _raise_exception, "strftime_now": _strftime_now}
    return Sandbox({"tojson": _tojson, "format": _format}, names).compiled(template)

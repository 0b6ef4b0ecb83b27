"""The sandbox of chat templates, which somebody else wrote: no way to Python's objects or to files, no endless work.

What one rendering may do is counted: steps, the size of all that it makes, and time. Where much can be made of little
in one go, such as by `replace`, the size is reckoned before it is made. Messages say what the template does: "it ...".
"""

from __future__ import annotations

import contextvars
import functools
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from jinja2 import nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

STEPS = 300_000  # turns of loops and calls in one rendering
SIZE = 50_000_000  # characters, and a tenth as many entries of lists, that it makes in all
LONGEST = 10_000_000  # of one text, and a tenth as many entries of one list
SECONDS = 10.0
WIDEST = 100_000  # for numbers that say how wide or how often

# Filters that take a list or mapping apart; all others may turn it into text.
_APART = ("attr", "batch", "count", "d", "default", "dictsort", "first", "groupby", "items", "join", "last", "length")
_APART = (*_APART, "list", "map", "max", "min", "random", "reject", "rejectattr", "reverse", "select", "selectattr")
_APART = (*_APART, "slice", "sort", "sum", "unique")
_SPLITS = ("split", "rsplit", "splitlines")
_ENTRY = 10  # an entry of a list counts as many characters


class Budget:
    """What is left to a rendering."""

    def __init__(self) -> None:
        self.steps, self.size, self.until = STEPS, SIZE, time.monotonic() + SECONDS

    def step(self) -> None:
        """One call, or one turn of a loop."""
        self.steps -= 1
        if self.steps < 0:
            raise SecurityError(f"it takes more than {STEPS:,} steps.")
        if time.monotonic() > self.until:
            raise SecurityError(f"it takes more than {SECONDS:g} seconds.")

    def charge(self, size: int) -> None:
        """`size` more characters are made."""
        if size > LONGEST:
            raise SecurityError(f"it makes a text or list that is too large, by {size:,} characters at once.")
        self.size -= size
        if self.size < 0:
            raise SecurityError(f"it makes more than {SIZE:,} characters.")


_budget: contextvars.ContextVar[Budget] = contextvars.ContextVar("budget")


@contextmanager
def limited() -> Iterator[None]:
    """One rendering. Outside, what a limit holds for cannot run; so jinja2 works nothing out when it compiles."""
    token = _budget.set(Budget())
    try:
        yield
    finally:
        _budget.reset(token)


class Generation(Extension):
    """`{% generation %} ... {% endgeneration %}`: its contents."""

    tags = {"generation"}  # noqa: RUF012  jinja2 declares it so

    def parse(self, parser: Any) -> list[nodes.Node]:
        """Take the block apart."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class Sandbox(ImmutableSandboxedEnvironment):
    """An environment that raises at the first attempt to leave it, and counts what templates do."""

    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def __init__(self, filters: Mapping[str, Callable[..., Any]], names: Mapping[str, Any]) -> None:
        extensions = ["jinja2.ext.loopcontrols", Generation]
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=extensions, finalize=_written)
        self.filters.update(filters)
        self.filters.update({name: _guarded(name, function) for name, function in self.filters.items()})
        self.filters.update(_turns=_turns, _sized=_sized, _shown=_shown)
        self.globals.pop("lipsum")  # makes text of any length
        self.globals.update(names)

    def compiled(self, source: str) -> Any:
        """The template of `source`, with limits where it can grow and no method here would see it."""
        return self.from_string(_Limits().visit(self.parse(source)))

    def unsafe_undefined(self, obj: Any, attribute: str) -> NoReturn:
        """Raise at once: jinja2's own would print as an empty text."""
        raise SecurityError(f"it reads {attribute!r} of a {type(obj).__name__}.")

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a function of the template, a macro or a method."""
        _budget.get().step()
        _check_numbers(args, kwargs)
        plain = getattr(__obj, "__wrapped__", __obj)
        args = _reckon(getattr(plain, "__name__", ""), getattr(plain, "__self__", None), args, kwargs)
        return _sized(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """One of the operators that can make something large of something small."""
        if operator == "%" and isinstance(left, str):
            _reckon("%", left, (right,), {})
        elif operator == "**" and not (abs(left) <= WIDEST and abs(right) <= 64):
            raise SecurityError("it raises a number to a power that is too large.")
        elif operator == "*":
            sizes = [len(value) if hasattr(value, "__len__") else abs(value) for value in (left, right)]
            if any(hasattr(value, "__len__") for value in (left, right)):
                weight = 1 if isinstance(left, str) or isinstance(right, str) else _ENTRY
                _fits(sizes[0] * sizes[1] * weight)
        return _sized(super().call_binop(context, operator, left, right))


class _Limits(NodeTransformer):
    """Puts limits on loops and on `~`, which no method of the environment sees."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        """Count the turns, and what the body writes in each beside what it works out."""
        self.generic_visit(node)
        written = sum(len(part.data) for part in node.find_all(nodes.TemplateData))
        node.iter = self._through("_turns", node.iter, nodes.Const(written))
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        """Look at what is joined, and at the result."""
        self.generic_visit(node)
        node.nodes = [self._through("_shown", part) for part in node.nodes]
        return self._through("_sized", node)

    def _through(self, name: str, node: nodes.Node, *args: nodes.Expr) -> nodes.Filter:
        return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno, environment=node.environment)


def _turns(items: Iterable[Any], written: int) -> list[Any]:
    """What a `for` goes over; each turn is a step."""
    kept, budget = [], _budget.get()
    for item in items:
        budget.step()
        budget.charge(written)
        kept.append(item)
    return kept


@pass_context
def _written(context: Any, value: Any) -> str:
    """What `{{ }}` writes; a text may be written many times."""
    text = str(_shown(value))
    _budget.get().charge(len(text))
    return text


def _shown(value: Any) -> Any:
    """What is about to become text."""
    _budget.get()  # so that nothing is worked out when a template is compiled
    _fits(_length(value))
    return value


def _length(value: Any) -> int:
    """About how many characters `value` has as text; not counted on where that is too many."""
    total, parts = 0, [value]
    while parts and total <= LONGEST:
        part = parts.pop()
        if isinstance(part, Mapping):
            parts += [*part.keys(), *part.values()]
        elif isinstance(part, list | tuple | set | frozenset):
            parts += part
        total += len(part) if hasattr(part, "__len__") else 8
    return total


def _sized(value: Any) -> Any:
    if isinstance(value, int):
        if value.bit_length() > 1000:
            raise SecurityError("it makes a number that is too large.")
    elif isinstance(value, str | bytes):
        _budget.get().charge(len(value))
    elif isinstance(value, list | tuple | dict):
        _budget.get().charge(_ENTRY * len(value))
    return value


def _fits(size: int) -> None:
    """Refuse what would be too large before it is made."""
    if size > LONGEST:
        raise SecurityError(f"it makes a text or list of {size:,} characters.")


def _check_numbers(args: Iterable[Any], kwargs: Mapping[str, Any]) -> None:
    """No function of a template needs a number of such size, except to fill the memory."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, int) and abs(value) > WIDEST:
            raise SecurityError(f"it gives {value:,} to a function; at most {WIDEST:,} is allowed.")


def _reckon(name: str, subject: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
    """Refuse a method or filter `name` of `subject` whose result would be too large; else its arguments, for use."""
    if subject is None:  # a function
        return args
    given = [*args, *kwargs.values()]
    texts = [value for value in given if isinstance(value, str)]
    number = max((value for value in given if isinstance(value, int)), default=8)
    if name in ("format", "format_map", "%") and isinstance(subject, str):
        if re.search(r"\d{6}|%[^a-zA-Z%]*\*", subject):
            raise SecurityError("it formats text to a width that is too large.")
        given = [part for value in given for part in (value if isinstance(value, tuple) else (value,))]
        widest = max(map(_length, given), default=0)
        _fits(len(subject) + (subject.count("{") + subject.count("%")) * widest)
    elif name == "join":
        if not isinstance(subject, str):  # the filter, of a list
            parts, between = subject, texts[0] if texts else ""
        else:
            parts, between = args[0] if args else (), subject
            args = (parts := list(parts), *args[1:])
        _fits(_length(parts) + len(parts) * len(between))
    elif not isinstance(subject, str):
        if name not in _APART:
            _shown(subject)
        if name == "sum" and any(not isinstance(value, int | float | str | None) for value in given):
            raise SecurityError("it adds up lists.")
    elif name == "replace" and len(texts) > 1:
        _fits(len(subject) + (subject.count(texts[0]) if texts[0] else len(subject) + 1) * len(texts[1]))
    elif name in _SPLITS and len(subject) > LONGEST // _ENTRY:
        _fits(_ENTRY * (subject.count(texts[0]) if texts and texts[0] else len(subject) // 2))
    elif name in ("expandtabs", "indent"):
        _fits(len(subject) + (1 + subject.count("\t") + subject.count("\n")) * max(number, *map(len, [*texts, ""])))
    elif name in ("translate", "wordwrap") and texts + [value for value in given if isinstance(value, dict)]:
        raise SecurityError(f"it calls {name} with texts of its own.")
    return args


def _guarded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter under the limits of a function call."""
    ahead = 1 if hasattr(function, "jinja_pass_arg") else 0  # arguments that jinja2 puts in front

    @functools.wraps(function)  # copies the marks by which jinja2 hands on its context, too
    def filtered(*args: Any, **kwargs: Any) -> Any:
        _budget.get().step()
        front, subject, rest = args[:ahead], args[ahead], args[ahead + 1 :]
        _check_numbers(rest, kwargs)
        if name == "join" and not isinstance(subject, str):
            subject = list(subject)
        return _sized(function(*front, subject, *_reckon(name, subject, rest, kwargs), **kwargs))

    return filtered

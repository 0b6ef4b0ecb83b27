"""The `where` of a search: a condition in SQL over the columns of the index, and nothing else.

The clause is cut into tokens, each of which must be a column, a number, a text, an operator or one of a few words and
functions; what is handed to the database is put together again from these tokens. So there are no other tables, no
subqueries, no comments, no second statement, and no function that reads a file. Length, tokens and depth of
parentheses are limited, because the database parses by recursion.
"""

from __future__ import annotations

import re

from multimodal.errors import ArgumentError, nearest
from multimodal.search.rows import COLUMNS

MAX_LENGTH, MAX_TOKENS, MAX_DEPTH = 20_000, 1_000, 20
WORDS = frozenset(
    ["and", "or", "not", "in", "like", "ilike", "between", "is", "null", "true", "false", "date", "timestamp"]
)
FUNCTIONS = frozenset(["lower", "upper", "abs", "length", "starts_with", "ends_with", "contains"])
_TIMES = ("taken", "modified")

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<comment>--|/\*|\#)
    | (?P<text>'(?:[^'\0]|'')*')
    | (?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)
    | (?P<word>[A-Za-z_]\w*)
    | (?P<operator><>|!=|<=|>=|==|[=<>+\-*/%(),])
    | (?P<end>$)
    | (?P<quoted>["`])
    | (?P<other>.)
    )""",
    re.VERBOSE | re.DOTALL,
)


def checked(clause: str) -> str:
    """`clause` put together again from its tokens, safe to hand to the database.

    Raises:
        ArgumentError: an unknown column, or anything that is not a plain condition.
    """
    if not clause.strip():
        raise ArgumentError("where is empty; give a condition such as \"year >= 2024 AND camera = 'X100'\".")
    if len(clause) > MAX_LENGTH:
        raise ArgumentError(f"where has {len(clause):,} characters; at most {MAX_LENGTH:,} are read.")
    tokens: list[str] = []
    depth, position, about = 0, 0, ""  # about: the column named last
    while True:
        match = _TOKEN.match(clause, position)
        assert match is not None and match.lastgroup is not None  # `other` takes what nothing else does
        kind, text = match.lastgroup, match[match.lastgroup]
        if kind == "end":
            break
        position = match.end()
        token = _token(kind, text, clause, position)
        about = token if token in COLUMNS else about
        if kind == "text" and about in _TIMES and tokens[-1] not in ("DATE", "TIMESTAMP"):
            token = f"TIMESTAMP {token}"  # the database compares a time with a time alone
        depth += (token == "(") - (token == ")")
        if depth < 0:
            raise ArgumentError(f"where has a ')' too many: {_shown(clause)}.")
        if depth > MAX_DEPTH:
            raise ArgumentError(f"where has parentheses nested more than {MAX_DEPTH} deep.")
        tokens.append(token)
        if len(tokens) > MAX_TOKENS:
            raise ArgumentError(f"where has more than {MAX_TOKENS:,} words and signs; make it shorter.")
    if depth:
        raise ArgumentError(f"where lacks a ')': {_shown(clause)}.")
    return " ".join(tokens)


def refused(clause: str, error: Exception) -> ArgumentError:
    """The sentence about a clause whose words are right and which the database still does not understand."""
    reason = re.sub(r",?\s*/\S+\.rs:\d+:\d+.*", "", " ".join(str(error).split()))
    reason = re.sub(r"^.*?(?:lance error: )?(?:Invalid (?:user )?input[:,] ?|Arrow error: )", "", reason)[:200].rstrip(
        ". "
    )
    return ArgumentError(
        f'where is {_shown(clause)}, which is not a condition: {reason}. For example: "year >= 2024 AND path LIKE '
        "'%rome%'\"."
    )


def _token(kind: str, text: str, clause: str, end: int) -> str:
    """A token as the database shall see it."""
    if kind == "word":
        return _word(text, clause, end)
    if kind in ("text", "number"):
        return text
    if kind == "operator":
        return "=" if text == "==" else text
    if kind == "quoted":
        raise ArgumentError(f"where has a {text}: write text in single quotes, as in camera = 'X100'.")
    if kind == "comment":
        raise ArgumentError(f"where has a {text}; comments are not read.")
    if text == "'":
        raise ArgumentError(f"where has a text that does not end: {_shown(clause)}. A quote in a text is written ''.")
    raise ArgumentError(f"where has a {text!r}, which no condition needs: {_shown(clause)}.")


def _word(word: str, clause: str, end: int) -> str:
    lower = word.lower()
    call = clause[end:].lstrip().startswith("(")
    if lower in COLUMNS and not call:
        return lower
    if lower in WORDS:
        return lower.upper()
    if lower in FUNCTIONS and call:
        return lower
    if call:
        known = ", ".join(sorted(FUNCTIONS))
        raise ArgumentError(f"where calls {word!r}; the functions are {known}.{nearest(lower, FUNCTIONS)}")
    known = ", ".join(COLUMNS)
    hint = nearest(lower, COLUMNS) or f" The columns are {known}; text stands in single quotes."
    raise ArgumentError(f"where names {word!r}, which is not a column of the index.{hint}")


def _shown(clause: str) -> str:
    return repr(clause if len(clause) <= 80 else clause[:80] + "...")

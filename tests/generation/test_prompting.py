"""Prompts with and without examples, letter for letter."""

import pytest

from multimodal.errors import ArgumentError
from multimodal.generation.prompting import few_shot


def test_zero_one_and_two_examples():
    assert few_shot("Translate.", query="dog") == "Translate.\n\nInput: dog\nOutput:"
    assert few_shot("", [("cat", "chat")], "dog") == "Input: cat\nOutput: chat\n\nInput: dog\nOutput:"
    made = few_shot(
        "English to French:",
        [("cat", "chat"), ("cow", "vache")],
        "dog",
        template="{input} = {output}.",
        separator="\n",
    )
    assert made == "English to French:\ncat = chat.\ncow = vache.\ndog ="


def test_text_is_not_read_as_a_template():
    made = few_shot("{output}", [("{input}", "{0}")], "{x!r:>{y}}", template="{{{input}}} {output}")
    assert made == "{output}\n\n{{input}} {0}\n\n{{x!r:>{y}}}"


def test_braces_that_are_no_fields():
    template = "as {{output}}: {input} => {output}"
    assert few_shot("", [("1", "2")], "3", template=template) == "as {output}: 1 => 2\n\nas {output}: 3 =>"


@pytest.mark.parametrize("pair", ["ab", ("a",), ("a", "b", "c")])
def test_an_example_that_is_no_pair(pair):
    with pytest.raises(ArgumentError, match="Each example is a pair"):
        few_shot("", [pair], "x")


def test_line_ends_stay():
    assert few_shot(query="q", template="Q: {input}\nA:\n{output}") == "Q: q\nA:\n"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{input} {ouput}", "Did you mean 'output'"),
        ("{input}", "missing"),
        ("{output} {input}", "behind it"),
        ("{input} {input} {output}", "once each"),
        ("{input.__class__} {output}", "unknown"),
        ("{input!r} {output}", "unknown"),
        ("{input} {output", "damaged"),
    ],
)
def test_wrong_templates(template: str, message: str):
    with pytest.raises(ArgumentError, match=message):
        few_shot(query="x", template=template)

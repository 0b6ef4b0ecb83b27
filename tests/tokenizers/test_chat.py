"""Chat templates: published layouts, refusals, and templates that try to leave their sandbox."""

from __future__ import annotations

import datetime
import tracemalloc

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE

from multimodal.errors import ArgumentError, DataError
from multimodal.tokenizers import chat_sandbox
from multimodal.tokenizers.chat import LLAMA_2, VICUNA, render_chat
from multimodal.tokenizers.text import SpecialTokens, TextSettings, TextTokenizer

TALK = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hi é"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Bye"},
]
KNOWN = {"bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": True}

CHATML = """{% for message in messages %}
{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}
{%- endfor %}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""


def test_llama_2():
    assert render_chat(LLAMA_2, TALK, KNOWN) == (
        "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHi é [/INST] Hello. </s><s>[INST] Bye [/INST]"
    )
    assert render_chat(LLAMA_2, TALK[3:], KNOWN) == "<s>[INST] Bye [/INST]"


def test_vicuna():
    assert render_chat(VICUNA, TALK, KNOWN) == "Be kind. USER: Hi é ASSISTANT: Hello.</s>USER: Bye ASSISTANT:"
    assert render_chat(VICUNA, TALK[1:3], {**KNOWN, "add_generation_prompt": False}).endswith("Hello.</s>")


def tokenizer(template: str | None) -> TextTokenizer:
    model = Tokenizer(BPE({"</s>": 0, "a": 1}, []))
    return TextTokenizer(model, TextSettings(special=SpecialTokens(eos="</s>"), chat_template=template))


def test_the_tokenizers_own_template():
    ask = tokenizer("{{ bos_token is defined }} {{ eos_token }} {{ tools is none }} {{ mood }}").chat
    assert ask(TALK, mood="glad") == "False </s> True glad"
    assert ask(TALK, template=VICUNA, add_generation_prompt=False).startswith("Be kind. USER:")
    with pytest.raises(ArgumentError, match=r"has no chat template\. Give one"):
        tokenizer(None).chat(TALK)


def test_equal_to_transformers():
    transformers = pytest.importorskip("transformers")
    model = tokenizer(None)
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_object=model.tokenizer, eos_token="</s>")
    marked = "{% for m in messages %}{% generation %}{{ m | tojson }}{{ loop.length ~ loop.last }}{% endgeneration %}"
    left = "{% if loop.index == 2 %}{% break %}{% else %}{% continue %}{% endif %}{% endfor %}"
    dumped = "{{ messages | tojson(indent=2) }}{{ messages | tojson(ensure_ascii=True, sort_keys=True) }}"
    dumped += "{{ messages | tojson(false) }}"
    for template in (CHATML, marked + left, dumped, LLAMA_2.replace("bos", "eos")):
        for prompt in (True, False):
            expected = theirs.apply_chat_template(
                TALK, chat_template=template, tokenize=False, add_generation_prompt=prompt
            )
            assert model.chat(TALK, template=template, add_generation_prompt=prompt) == expected


def test_what_templates_expect():
    assert render_chat("{{ strftime_now('%Y') }}", TALK, {}) == str(datetime.datetime.now().year)
    assert render_chat("{{ messages[1].content | tojson }}", TALK, {}) == '"Hi é"'
    with pytest.raises(ArgumentError, match="refuses these messages: no system role"):
        render_chat("{{ raise_exception('no system role') }}", TALK, {})


@pytest.mark.parametrize("message", [{}, {"content": "Hi"}, {"role": 1, "content": "Hi"}])
def test_messages_of_another_form(message):
    with pytest.raises(ArgumentError, match=r"messages\[4\] is .* it must be"):
        render_chat(CHATML, [*TALK, message], {})


@pytest.mark.parametrize(
    "template", ["{% if %}", "{{ x", "{% nothing %}", "{{ messages[0].nope.deeper }}", "{{ 1/0 }}"]
)
def test_damaged_templates(template):
    with pytest.raises(DataError, match="The chat template"):
        render_chat(template, TALK, {})


ESCAPES = [
    "{{ ''.__class__ }}",
    "{{ ''['__class__'] }}",
    "{{ '' | attr('__class__') }}",
    "{{ [1] | map(attribute='__class__') | list }}",
    "{{ messages | groupby('__class__') }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ '{0.__class__}'.format(1) }}",
    "{{ '{x.__class__}'.format_map({'x': 1}) }}",
    "{{ self.__init__.__globals__ }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ raise_exception.__globals__ }}",
    "{{ messages.append(1) }}",
    "{{ messages[0].update({'role': 'x'}) }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% extends '/etc/passwd' %}",
]


@pytest.mark.parametrize("template", ESCAPES)
def test_escapes(template):
    before = [dict(message) for message in TALK]
    with pytest.raises(DataError, match="The chat template"):
        render_chat(template, TALK, KNOWN)
    assert before == TALK


EXPLOSIONS = [
    "{{ range(10 ** 9) }}",
    "{{ 'a' * 10 ** 9 }}",
    "{{ [1] * 10 ** 9 }}",
    "{{ 10 ** 10 ** 10 }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '%*d' % (1000000000, 1) }}",
    "{{ '%1000000000d' | format(1) }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ '{:{}}'.format(1, 1000000000) }}",
    "{{ 'a'.center(1000000000) }}",
    "{{ 'a' | center(1000000000) }}",
    "{{ lipsum(1000000) }}",
    "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}",
    "{% for i in range(90000) %}{{ 'x' * 90000 }}{% endfor %}",
    "{% set n = namespace(x='abc') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "{% set n = namespace(x='abc') %}{% for i in range(99) %}{% set n.x = n.x + n.x %}{% endfor %}",
    "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "{% for x in [1] recursive %}{{ loop([1, 2]) }}{{ loop([1, 2]) }}{% endfor %}",
]


LARGE = [  # of little, in one call: to be refused before it is there
    "{{ ('a' * 99999) | replace('a', 'b' * 99999) | length }}",
    "{{ ('a' * 99999).replace('a', 'b' * 99999) | length }}",
    "{{ ['a' * 99999] | map('replace', 'a', 'b' * 99999) | list }}",
    "{{ range(99999) | join('a' * 99999) | length }}",
    "{{ ('b' * 9999).join(range(9999) | map('string')) | length }}",
    "{{ ('\\t' * 99999).expandtabs(99999) | length }}",
    "{{ ('\\n' * 99999) | indent(99999) | length }}",
    "{{ ('a' * 99999).translate({97: 'b' * 99999}) | length }}",
    "{{ ('a ' * 99999) | wordwrap(1, wrapstring='b' * 99999) | length }}",
    "{{ ('{0}' * 99999).format('a' * 99999) | length }}",
    "{{ ('%s' * 9999) % (('a' * 99999,) * 9999) }}",
    "{{ [[1] * 999] * 9999 | sum(start=[]) }}",
    "{{ [1] * 9999999 }}",
    "{{ ('a,' * 4999999).split(',') | length }}",
    "{{ messages | tojson(indent=99999) }}",
    "{% macro m() %}{% for i in range(200) %}{{ 'a' * 999999 }}{% endfor %}{% endmacro %}{% set x = m() %}",
    "{% set x = 'a' * 999999 %}{% set y %}{% for i in range(4000) %}{{ x }}{% endfor %}{% endset %}",
    "{% set y %}{% for i in range(9999) %}" + "text " * 2000 + "{% endfor %}{% endset %}",
    "{{ ['a' * 999999] * 99999 }}",
    "{{ (['a' * 999999] * 99999) | string | length }}",
    "{{ (['a' * 999999] * 99999) | tojson | length }}",
    "{{ (['a' * 999999] * 99999) ~ 'b' }}",
    "{{ '%s' % [['a' * 999999] * 99999] }}",
    "{{ '{}'.format({'a': ['a' * 999999] * 99999}) }}",
    "{{ ([['a' * 999999] * 99999] * 9999) | join }}",
]


@pytest.mark.parametrize("template", LARGE)
def test_much_of_little_is_refused_before_it_is_made(template):
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="The chat template does what a template must not"):
            render_chat(template, TALK, KNOWN)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 130e6, "bytes"


def test_a_template_that_takes_its_time(monkeypatch):
    monkeypatch.setattr(chat_sandbox, "SECONDS", 0.2)
    slow = "{% set x = 'a' * 9999999 %}{% for i in range(99999) %}{% if 'b' in x %}{% endif %}{{ i | abs }}{% endfor %}"
    with pytest.raises(DataError, match=r"takes more than 0\.2 seconds"):
        render_chat(slow, TALK, KNOWN)


def test_long_conversations_are_rendered():
    talk = [{"role": "user", "content": f"{i} " + "word " * 2000} for i in range(200)]  # two million characters
    made = render_chat(CHATML, talk, KNOWN)
    assert made.count("<|im_end|>") == 200 and len(made) > 2_000_000
    split = "{% for m in messages %}{{ m.content.split('1')[-1] | trim | replace('word', 'words') }}{% endfor %}"
    assert len(render_chat(split, talk, KNOWN)) > 2_000_000


@pytest.mark.parametrize("template", EXPLOSIONS)
def test_templates_without_end(template, monkeypatch):
    monkeypatch.setattr(chat_sandbox, "STEPS", 5000)  # time, under the type checker
    with pytest.raises(DataError, match="The chat template"):
        render_chat(template, TALK, KNOWN)  # without limits, some would take years


def test_a_name_of_the_template_does_not_lift_the_limits(monkeypatch):
    monkeypatch.setattr(chat_sandbox, "STEPS", 5000)
    template = "{% set _turns = 1 %}{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}"
    with pytest.raises(DataError, match="steps"):
        render_chat(template, TALK, KNOWN)

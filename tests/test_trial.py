"""Templates and expressions that loop or fill the memory: refused in seconds, the others let through."""

from types import SimpleNamespace

import pytest

from reasonmaxxer import trial
from reasonmaxxer.errors import UserError
from reasonmaxxer.problems import render_prompt


def check(template):
    tokens = {"bos_token": "<s>", "eos_token": "</s>"}
    trial.check_template(SimpleNamespace(chat_template=template, special_tokens_map=tokens))


LOOP = "{% for a in range(99999) %}" * 3 + "{% endfor %}" * 3


@pytest.mark.parametrize(
    "template, said",
    [
        ("{{ messages[0].content + bos_token }}" + LOOP, "took longer than 0.5 s"),
        ("{% if messages[0].content is not string %}" + LOOP + "{% endif %}", "took longer"),
        ("{{ 'a' * 3000000000 }}", "ended its process .*MemoryError"),
        ("{{ 'a' * 3000000 }}", "makes 3,000,000 characters"),
        ({"default": "{{ messages[0].content }}", "tool_use": LOOP}, "took longer"),
    ],
)
def test_templates_without_end_or_measure_are_refused(template, said, monkeypatch):
    if "took" in said:
        monkeypatch.setattr(trial, "SECONDS", 0.5)
    with pytest.raises(UserError, match=rf"^The model's chat template .*{said}"):
        check(template)


def test_others_pass_and_are_tried_once(monkeypatch):
    check("{% for m in messages %}{{ m.content }}{% endfor %}")
    monkeypatch.setattr(trial, "_try", None)
    check("{% for m in messages %}{{ m.content }}{% endfor %}")
    check(None)


@pytest.mark.parametrize("template", ["{{ raise_exception('no') }}", "{% if"])
def test_what_fails_is_left_to_where_it_is_used(template):
    check(template)


def test_no_prompt_is_rendered_before_its_template_was_tried(monkeypatch):
    monkeypatch.setattr(trial, "SECONDS", 0.5)
    tokenizer = SimpleNamespace(chat_template=LOOP + " ", special_tokens_map={})
    with pytest.raises(UserError, match="took longer"):
        render_prompt("chat_boxed", "1+1?", tokenizer)


def test_expressions_that_take_for_ever_are_refused(monkeypatch):
    names = ["model.layers.0.self_attn.q_proj", "a" * 60]
    trial.check_patterns([r".*\.(q|k)_proj", "(", "o_proj"], names, "adapter_config.json")
    monkeypatch.setattr(trial, "SECONDS", 0.5)
    with pytest.raises(UserError, match=r"adapter_config\.json \('\(a\+\)\+b'\) took longer"):
        trial.check_patterns(["(a+)+b"], names, "adapter_config.json")
    monkeypatch.setattr(trial, "_try", None)
    trial.check_patterns(["q_proj", "model.layers.0"], names, "adapter_config.json")

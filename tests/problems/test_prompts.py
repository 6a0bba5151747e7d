import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from reasonmaxxer.errors import UserError
from reasonmaxxer.problems import render_prompt

TEMPLATE = (
    "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant:{% endif %}"
)
MATHS = r"Find \frac{1}{x} at {text} {0} {{x}} %s. Größe?"


def byte_tokenizer(chat_template=None, single="<s> $A"):
    """One token a byte, and <s> (id 256) put first as a beginning-of-sequence token, </s> (257) its end."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate(letters)} | {"<s>": 256, "</s>": 257}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, special_tokens=[("<s>", 256), ("</s>", 257)]
    )
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    wrapped.chat_template = chat_template
    return wrapped


def test_qwen_boxed():
    tokenizer = byte_tokenizer()
    ids = render_prompt("qwen_boxed", MATHS, tokenizer)
    assert ids[0] == 256 and 256 not in ids[1:]
    assert all(type(i) is int for i in ids)
    assert tokenizer.decode(ids[1:]) == (
        "Solve the following math problem step by step. Put your final answer in \\boxed{}.\n"
        "\n"
        "Problem: Find \\frac{1}{x} at {text} {0} {{x}} %s. Größe?\n"
        "\n"
        "Solution:"
    )


def test_llama_abel():
    tokenizer = byte_tokenizer()
    ids = render_prompt("llama_abel", MATHS, tokenizer)
    assert ids[0] == 256
    assert tokenizer.decode(ids[1:]) == (
        "Question:\nFind \\frac{1}{x} at {text} {0} {{x}} %s. Größe?\nAnswer:\nLet's think step by step.\n"
    )


def test_chat_template_is_one_user_message_and_the_generation_prompt():
    tokenizer = byte_tokenizer(TEMPLATE)
    ids = render_prompt("chat_template", MATHS, tokenizer)
    assert type(ids) is list and all(type(i) is int for i in ids)
    assert tokenizer.decode(ids) == f"<s>user: {MATHS}\n<s>assistant:"
    assert ids.count(256) == 2  # the template's own, no further beginning-of-sequence token


def test_chat_boxed_asks_for_steps_and_a_box():
    tokenizer = byte_tokenizer(TEMPLATE)
    assert tokenizer.decode(render_prompt("chat_boxed", MATHS, tokenizer)) == (
        f"<s>user: {MATHS}\nPlease reason step by step, and put your final answer within \\boxed{{}}.\n<s>assistant:"
    )


@pytest.mark.parametrize("style", ["chat_template", "chat_boxed"])
def test_no_chat_template(style):
    with pytest.raises(UserError, match=f"'{style}'.* choose qwen_boxed or llama_abel"):
        render_prompt(style, "1+1?", byte_tokenizer())


PARTS = "{% for m in messages %}{% for part in m.content %}{{ part.text }}{% endfor %}{% endfor %}"


@pytest.mark.parametrize(
    "template",
    [
        PARTS,
        "{% for m in messages %}{{ m.content[0]['text'] + '' }}{% endfor %}",
        "{% if messages[0].content is string %}{{ raise_exception('parts only') }}{% endif %}" + PARTS,
    ],
)
def test_a_template_that_wants_parts_gets_them(template):
    tokenizer = byte_tokenizer(template)
    assert tokenizer.decode(render_prompt("chat_template", MATHS, tokenizer)) == MATHS


def test_a_template_may_trim_the_problem():
    tokenizer = byte_tokenizer("{{ messages[0].content | trim }}|")
    assert tokenizer.decode(render_prompt("chat_template", " 1 + 1? ", tokenizer)) == "1 + 1?|"


@pytest.mark.parametrize(
    "template, said",
    [
        ("{{ raise_exception('roles must alternate') }}", "fails .*roles must alternate"),
        ("{{ messages[0].content + 1 }}", "fails"),
        ("{% for m in messages %}", "fails"),
        ("{{ bos_token }}", "leaves out the problem '1 \\+ 1"),
        ("{{ messages[0].content }}{{ eos_token }}\n", "ends the prompt in </s>"),
        ("{{ messages[0].content[:2] }}", "leaves out"),
    ],
)
def test_a_template_that_asks_nothing_is_refused(template, said):
    with pytest.raises(UserError, match=f"'chat_template'.*{said}.*choose qwen_boxed"):
        render_prompt("chat_template", "1 + 1?", byte_tokenizer(template))


@pytest.mark.parametrize("style", ["qwen_boxed", "llama_abel"])
def test_a_tokenizer_that_ends_every_text_does_not_end_the_prompt(style):
    ending = byte_tokenizer(single="<s> $A </s>")
    assert ending("1")["input_ids"][-1] == 257
    assert render_prompt(style, MATHS, ending) == render_prompt(style, MATHS, byte_tokenizer())


STUB = 'def f(a):\n    """ Twice a. """\n'


def test_chat_code_asks_for_a_function_and_puts_code_into_a_block():
    tokenizer = byte_tokenizer(TEMPLATE)
    before = "<s>user: You are an expert Python programmer, and here is your task: "
    after = "\n\nAnswer with the function alone, in one Markdown code block.\n<s>assistant:"
    stub = f"Complete this function.\n\n```python\n{STUB}```"
    assert tokenizer.decode(render_prompt("chat_code", MATHS, tokenizer)) == before + MATHS + after
    assert tokenizer.decode(render_prompt("chat_code", STUB, tokenizer)) == before + stub + after


def test_code_completion_is_the_text_to_its_last_line_break():
    tokenizer = byte_tokenizer()
    for text in (STUB, MATHS):
        assert tokenizer.decode(render_prompt("code_completion", text, tokenizer)[1:]) == text

"""Every causal family that transformers knows, read and decoded by the way found for it, or refused."""

import warnings
from itertools import chain

import pytest
import torch

from reasonmaxxer.config import SamplingConfig
from reasonmaxxer.errors import UserError
from reasonmaxxer.method.packed import remove_dropout
from reasonmaxxer.models import OutputHead, decoder
from reasonmaxxer.models.reading import reading, row_states
from reasonmaxxer.rollouts.engine import Request
from reasonmaxxer.rollouts.transformers_engine import TransformersEngine
from tests.families import CONFIG_MAPPING, FAMILIES, NOT_TINY, VOCABULARY, tiny_family

PROMPTS = [[9, 30, 41, 52, 63, 74, 85, 11], [9, 30, 41, 8], [9, 30, 41, 52, 63, 74, 85, 12]]
COMPLETIONS = ([[13, 24, 35, 46, 57], [14, 3, 5]], [[90, 80, 70, 60, 50, 40, 31]], [[17, 16, 15]])

# States that are carried on, positions or masks by the place in the row, caches of their own.
ALONE = """
axk2 bailing_hybrid bamba bart bigbird_pegasus blenderbot blenderbot-small bloom deepseek_v32 deepseek_v4
doge dots3_note_text falcon_h1 falcon_mamba gemma3n_text glm_moe_dsa gpt_neo granitemoehybrid hy_v4
inkling2_text jamba kimi_linear lfm2 lfm2_moe lfm3 mamba mamba2 marian mbart minimax mpt mvp nemotron_h
olmo_hybrid openai-gpt pegasus plbart qwen3_5_moe_text qwen3_5_text qwen3_next qwen4_exp_text trocr zamba
zamba2 zaya
"""
# Encoders, speech, and heads that are not understood.
REFUSED = """
bert bert-generation big_bird camembert cpmant data2vec-text electra ernie inkling_text llama4_text
megatron-bert modernbert-decoder moshi prophetnet recurrent_gemma rembert roberta roberta-prelayernorm
roc_bert roformer rwkv xlm xlm-roberta xlm-roberta-xl xlnet xlstm xmod
"""


def logprobs(logits_TV, ids_T):
    return logits_TV.float().log_softmax(-1)[:-1].gather(1, ids_T[1:, None])[:, 0]


@torch.inference_mode()
def check_rows(model, way):
    """Log-probabilities of rows read together against those of the model's own logits, each row alone."""
    ids, places, layout = [], [], []
    for prompt, completions in zip(PROMPTS, COMPLETIONS, strict=True):
        ids += [*prompt, *chain(*completions)]
        places += range(len(prompt))
        for own in completions:
            places += range(len(prompt), len(prompt) + len(own))
        layout.append([len(prompt), *map(len, completions)])
    states_TD = row_states(
        way, model, lambda **told: decoder(model)(**told)[0], torch.tensor([ids]), torch.tensor([places]), layout
    )
    logits_TV = OutputHead(model)(states_TD)
    start = 0
    for prompt, completions in zip(PROMPTS, COMPLETIONS, strict=True):
        head, start = logits_TV[start : start + len(prompt)], start + len(prompt)
        for own in completions:
            ours_TV = torch.cat([head, logits_TV[start : start + len(own)]])
            ids_T = torch.tensor(prompt + own)
            alone_TV = model(input_ids=ids_T[None], use_cache=False).logits[0]
            found, expected = logprobs(ours_TV, ids_T), logprobs(alone_TV, ids_T)
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
            start += len(own)


@torch.inference_mode()
def check_greedy(model):
    prompts = [tuple(prompt) for prompt in PROMPTS]
    made = TransformersEngine(model, [VOCABULARY], batch_size=2).generate(
        [Request(prompt, 0) for prompt in prompts], SamplingConfig(temperature=0, top_p=1, max_new_tokens=7)
    )
    for prompt, completion in zip(prompts, made, strict=True):
        expected = model.generate(torch.tensor([prompt]), max_new_tokens=7, do_sample=False, eos_token_id=VOCABULARY)
        assert completion.ids == expected[0, len(prompt) :].tolist()


@pytest.mark.parametrize("kind", sorted(set(FAMILIES) - set(NOT_TINY)))
def test_a_family_is_exact_or_refused(kind):
    model = tiny_family(kind)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            way = reading(model)
        except UserError as error:
            assert f"model_type {model.config.model_type}" in str(error)
            assert kind in REFUSED.split()
            return
    assert kind not in REFUSED.split()
    assert (way == "alone") == (kind in ALONE.split())
    slower = [str(w.message) for w in said if "one sequence at a time" in str(w.message)]
    assert len(slower) == (way == "alone")
    check_rows(model, way)
    check_greedy(model)


@pytest.mark.parametrize("kind", sorted(set(FAMILIES) - set(NOT_TINY) - {"diffllama", "xlstm", "xmod"}))
def test_training_leaves_out_no_neuron_of_the_base(kind):
    """All but DiffLlama, which takes no dropout, and two that cannot be read as they are."""
    rates = [name for name in CONFIG_MAPPING[kind].__dataclass_fields__ if "drop" in name]
    model = tiny_family(kind, **dict.fromkeys(rates, 0.3))
    ids = torch.arange(3, 23).view(2, 10)
    with torch.no_grad():
        expected = model(input_ids=ids).logits
        remove_dropout(model)
        model.train()
        torch.testing.assert_close(model(input_ids=ids).logits, expected, rtol=0, atol=1e-4)

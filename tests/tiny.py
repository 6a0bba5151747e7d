"""Tiny random models of the common families, and a whole recipe that runs on one in seconds."""

import json

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers.models.auto.configuration_auto import AutoConfig

from reasonmaxxer.config import Recipe
from reasonmaxxer.recipe import parse_config

FAMILIES = {
    "llama": {},
    "qwen2": {},
    "qwen3": {"head_dim": 16},
    "mistral": {"sliding_window": 6, "head_dim": 16},
    "gemma2": {"sliding_window": 6, "head_dim": 16, "query_pre_attn_scalar": 16},
    "gemma3_text": {"sliding_window": 6, "head_dim": 16, "query_pre_attn_scalar": 16},
}


def tiny_model(family="llama", vocab=97, seed=0, scale=12.0, **extra):
    """A float32 model of two to four layers; `scale` sharpens its predictions."""
    config = AutoConfig.for_model(
        family,
        **{
            "vocab_size": vocab,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 256,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 0,
            **FAMILIES[family],
            **extra,
        },
    )
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.mul_(scale if "embed" not in name and "lm_head" not in name else 3.0)
    model.generation_config.eos_token_id = 2
    return model.eval().requires_grad_(False)


NUMBERS = ("1", "2", "3", "so")
PROGRAMS = ("    return 1 #", "    return 2 #", "    return n #", "so")
"""Words of a model that writes the body of a function; the next words are its comment."""


def tiny_folder(path, family="llama", known=NUMBERS):
    """A saved model that knows a few words and little else, with its tokenizer: it guesses."""
    words = ["<pad>", "<s>", "</s>", "<unk>", *known]
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, "<unk>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        chat_template="{{ bos_token }} {% for m in messages %}{{ m['content'] }} {% endfor %}so",
    )
    tiny_model(family, vocab=len(words), scale=6.0).save_pretrained(path)
    fast.save_pretrained(path)
    return path


def tiny_problems(path, count, start=0):
    """A JSON Lines file of questions with one-digit answers."""
    lines = (
        json.dumps({"id": f"p{n}", "question": f"{n} so {1 + n // 3 % 3}", "answer": str(1 + n % 3)})
        for n in range(start, start + count)
    )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def tiny_programs(path, count, start=0):
    """A JSON Lines file of functions to be completed, of which every other must return 1 and the rest 2."""
    lines = (
        json.dumps(
            {
                "id": f"p{n}",
                "problem": f"def f{n}(n):\n",
                "entry_point": f"f{n}",
                "tests": f"assert f{n}(1) == {1 + n % 2}",
            }
        )
        for n in range(start, start + count)
    )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def tiny_recipe(folder, code=False, **sections):
    """A recipe whose whole run takes seconds: tiny model, tiny files, few rollouts; of programs if so asked."""
    tiny_folder(folder / "model", known=PROGRAMS if code else NUMBERS)
    written = tiny_programs if code else tiny_problems
    splits = {"train": (6, 0), "validation": (4, 100), "test": (5, 200)}
    values = {
        "model": {"name": str(folder / "model"), "device": "cpu", "dtype": "float32"},
        "problems": {
            name: {"source": str(written(folder / f"{name}.jsonl", *where)), "limit": None}
            for name, where in splits.items()
        },
        "rollouts": {
            "temperature": 1.0,
            "max_new_tokens": 5,
            "rollouts_per_problem": 6,
            "rollouts_per_shard": 18,
            "batch_size": 4,
        },
        "verify": {"extraction": "last_number"},
        "signal": {"problems": 4, "gate": {"kind": "share", "share": 0.5}},
        "training": {
            "batch_size": 4,
            "micro_batch_size": 2,
            "warmup_steps": 1,
            "checkpoints": 3,
            "adapter": {"rank": 4, "alpha": 8},
        },
        "evaluation": {"temperature": 1.0, "max_new_tokens": 5, "samples": 2, "ks": [1, 2]},
    }
    for section, changes in sections.items():
        values[section] = {**values.get(section, {}), **changes}
    return parse_config(Recipe, values)

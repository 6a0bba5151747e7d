"""What it takes to record every token's entropy while vLLM samples; run by vLLM's interpreter.

    PYTHON benchmarks/vllm_entropies.py < ORDER        written by `engines.py --entropies`

The same greedy completions are made as they come, with the sampled token's log-probability, and with that
and a logits processor that forms the entropy of every row of every step; the ways take turns. What they
take is told in CPU seconds, which depend less than others on what else the machine does.
"""

import json
import os
import sys
import time
from typing import ClassVar

TURNS = 2

os.environ |= {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the processor's values are read in this process
    "VLLM_CPU_KVCACHE_SPACE": os.environ.get("VLLM_CPU_KVCACHE_SPACE", "1"),
}
CHANNEL = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)

from vllm import LLM, SamplingParams, TokensPrompt  # noqa: E402
from vllm.v1.sample.logits_processor import LogitsProcessor, MoveDirectionality  # noqa: E402


class Entropies(LogitsProcessor):
    """Entropy of the raw distribution at every position of every request."""

    on = False
    made: ClassVar[dict[int, list[float]]] = {}  # of each request, by its number

    def __init__(self, vllm_config: object, device: object, is_pin_memory: bool) -> None:
        self.rows: dict[int, int] = {}  # number of the request in each row of the batch

    def is_argmax_invariant(self) -> bool:
        return False  # those that are do not see greedy requests

    def update_state(self, batch_update: object) -> None:
        if batch_update is None:
            return
        for row in batch_update.removed:
            self.rows.pop(row, None)
        for row, params, _, _ in batch_update.added:
            self.rows[row] = params.extra_args["number"]
        for source, target, kind in batch_update.moved:
            moved, there = self.rows.pop(source, None), self.rows.pop(target, None)
            self.rows[target] = moved
            if kind == MoveDirectionality.SWAP:
                self.rows[source] = there

    def apply(self, logits: object) -> object:
        if not self.on:
            return logits
        logprobs = logits.float().log_softmax(-1)
        entropy = -(logprobs.exp() * logprobs).sum(-1)
        for row, value in enumerate(entropy.tolist()):
            self.made.setdefault(self.rows[row], []).append(value)
        return logits


def main() -> None:
    order = json.loads(sys.stdin.read())
    longest = max(map(len, order["prompts"])) + order["max_tokens"]
    shared = {
        "model": order["model"],
        "dtype": order["dtype"],
        "max_model_len": longest,
        "max_num_seqs": 64,
        "enforce_eager": True,
        "skip_tokenizer_init": True,
        "generation_config": "vllm",
    }
    prompts = [TokensPrompt(prompt_token_ids=ids) for ids in order["prompts"]]

    def timed(llm: LLM, **options: object) -> tuple:
        Entropies.made.clear()
        llm.reset_prefix_cache()
        settings = [
            SamplingParams(
                temperature=0,
                max_tokens=order["max_tokens"],
                stop_token_ids=order["stop_token_ids"],
                detokenize=False,
                extra_args={"number": number},
                **options,
            )
            for number in range(len(prompts))
        ]
        start = time.process_time()
        made = llm.generate(prompts, settings, use_tqdm=False)
        return time.process_time() - start, [list(r.outputs[0].token_ids) for r in made]

    llm = LLM(**shared, logits_processors=[Entropies])
    timed(llm)  # once to warm up
    plain, with_logprob, with_entropy = [], [], []
    for _ in range(TURNS):
        Entropies.on = False
        seconds, ids = timed(llm)
        plain.append(seconds)
        with_logprob.append(timed(llm, logprobs=0)[0])
        Entropies.on = True
        with_entropy.append(timed(llm, logprobs=0)[0])
    entropies = [Entropies.made[number] for number in range(len(prompts))]
    found = {
        "sampling": plain,
        "sampling_with_logprobs": with_logprob,
        "sampling_with_logprobs_and_entropies": with_entropy,
        "ids": ids,
        "entropies": [row[: len(own)] for row, own in zip(entropies, ids, strict=True)],
    }
    print(json.dumps(found), file=CHANNEL, flush=True)


if __name__ == "__main__":
    main()

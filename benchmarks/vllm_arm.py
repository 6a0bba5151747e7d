"""vLLM as an arm of `rollouts.py`, run by the interpreter of its own environment.

    PYTHON benchmarks/vllm_arm.py MODEL_FOLDER DTYPE LONGEST_SEQUENCE

It speaks the protocol of `arms.py` and imports nothing of this package, which its environment lacks.
"""

import json
import os
import sys
import time
from pathlib import Path

CHANNEL = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)
os.environ |= {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # one process, so that its peak memory is all of it
    "VLLM_CPU_KVCACHE_SPACE": os.environ.get("VLLM_CPU_KVCACHE_SPACE", "1"),  # GiB, ample here
    "HF_HUB_OFFLINE": "1",
}


def peak_bytes(reset: bool = False) -> int:
    """Peak resident memory since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def send(message: dict) -> None:
    print(json.dumps(message), file=CHANNEL, flush=True)


def main() -> None:
    from vllm import LLM, SamplingParams, TokensPrompt

    folder, dtype, longest = sys.argv[1:]
    llm = LLM(folder, dtype=dtype, max_model_len=int(longest), max_num_seqs=128, seed=0)
    send({"loaded_bytes": peak_bytes(reset=True)})
    for line in sys.stdin:
        order = json.loads(line)
        sampling = order["sampling"]
        options = SamplingParams(
            n=order["each"],
            temperature=sampling["temperature"],
            top_p=sampling["top_p"],
            max_tokens=sampling["max_new_tokens"],  # a seed of its own fails on a CPU
            detokenize=False,
        )
        prompts = [TokensPrompt(prompt_token_ids=ids) for ids in order["prompts"]]
        peak_bytes(reset=True)
        start, cpu = time.perf_counter(), time.process_time()
        made = llm.generate(prompts, options, use_tqdm=False)
        spent = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
        lengths = [len(output.token_ids) for request in made for output in request.outputs]
        send({**spent, "peak_bytes": peak_bytes(), "lengths": lengths})


if __name__ == "__main__":
    main()

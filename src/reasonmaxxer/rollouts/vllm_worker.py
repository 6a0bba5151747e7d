"""vLLM in the environment that it is installed in: token ids in, token ids out, in lines of JSON.

    PYTHON vllm_worker.py SETTINGS        SETTINGS: JSON, the arguments of vllm.LLM

It imports vLLM and the standard library alone, and answers
{"prompts", "seeds", "sampling", "adapter"} with {"finished"} as completions end, then {"completions"}.
"""

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

Message = dict[str, Any]
Send = Callable[[Message], None]


def main() -> None:
    """Load, say so, then do each order until the input ends."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what else is printed must not come between
    orders: queue.Queue[Message] = queue.Queue()
    threading.Thread(target=_watch, args=(orders,), daemon=True).start()
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # no further process on one device
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "4")  # GiB; a CPU's default is nearly all memory

    import vllm

    def send(message: Message) -> None:
        print(json.dumps(message), file=channel, flush=True)

    settings = json.loads(sys.argv[1])
    llm = vllm.LLM(**settings)
    send({"version": vllm.__version__})
    adapters: dict[str, int] = {}
    while True:
        _serve(llm, orders.get(), adapters, send)


def _watch(orders: "queue.Queue[Message]") -> None:
    """Pass orders on; where they end, the parent is gone or has had enough."""
    for line in sys.stdin:
        orders.put(json.loads(line))
    os.killpg(0, signal.SIGKILL)


def _serve(llm: Any, order: Message, adapters: dict[str, int], send: Send) -> None:
    from tqdm import tqdm
    from vllm import SamplingParams, TokensPrompt
    from vllm.lora.request import LoRARequest

    class Bar(tqdm):  # type: ignore[misc]
        def update(self, n: int) -> None:
            super().update(n)
            send({"finished": n})

    folder = order["adapter"]
    lora = LoRARequest(folder, adapters.setdefault(folder, len(adapters) + 1), folder) if folder else None
    llm.reset_prefix_cache()  # what came before must not change how these are batched
    # only stop strings need text; a special token is text as any other, as it is for the parent
    text = {"detokenize": bool(order["sampling"]["stop"]), "skip_special_tokens": False}
    requests = llm.generate(
        [TokensPrompt(prompt_token_ids=ids) for ids in order["prompts"]],
        [SamplingParams(**order["sampling"], **text, seed=seed) for seed in order["seeds"]],
        use_tqdm=Bar,
        lora_request=lora,
    )
    outputs = [request.outputs[0] for request in requests]
    send({"completions": [[list(o.token_ids), o.finish_reason] for o in outputs]})


if __name__ == "__main__":
    main()

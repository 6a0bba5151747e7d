"""Whether a completion answers its problem, decided in worker processes that can be killed.

A completion is graded in three steps, each of which stops at the first that knows:

1. **Read** the answer (`extract.py`, by the order of places in `problems/answers.py`). None: `unparsed`.
2. **Compare** at a glance, in the caller (`verifier.py`): numbers with units, words, choice letters (`literals.py`).
3. Ask a **worker** (`process.py`, `worker.py`), which is killed when it takes too long: the comparison of mathematical
   answers (`maths.py`, whose header has its order), a task's own scorer (`gym.py`) or the user's function
   (`user_function.py`).

A program is read whole (`program.py`), and run on its tests in the sandbox (`reasonmaxxer.sandbox`).

What a benchmark tolerates is in `conventions.py`; `docs/grading.md` says what counts as the same, and how often
this is wrong.
"""

from reasonmaxxer.verify.extract import extract, graded_by, resolve_extraction
from reasonmaxxer.verify.outcome import Grade, Outcome
from reasonmaxxer.verify.verifier import Verifier, check_gradable

__all__ = ["Grade", "Outcome", "Verifier", "check_gradable", "extract", "graded_by", "resolve_extraction"]

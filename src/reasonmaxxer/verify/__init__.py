"""Whether a completion answers its problem, decided in worker processes that can be killed."""

from reasonmaxxer.verify.extract import extract, graded_by, resolve_extraction
from reasonmaxxer.verify.outcome import Grade, Outcome
from reasonmaxxer.verify.verifier import Verifier

__all__ = ["Grade", "Outcome", "Verifier", "extract", "graded_by", "resolve_extraction"]

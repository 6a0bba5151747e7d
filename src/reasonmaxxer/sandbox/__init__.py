"""Where anything that a model wrote is executed: processes that can touch nothing but their own memory.

`bubblewrap` makes the sandboxes, `seccomp` their filter of system calls; `programs` grades a program by its tests;
`inside` is what runs in them.
"""

from reasonmaxxer.sandbox.bubblewrap import backend, require_sandbox
from reasonmaxxer.sandbox.programs import ProgramTester

__all__ = ["ProgramTester", "backend", "require_sandbox"]

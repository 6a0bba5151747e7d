"""Kernels of a CPU: each says what it saves, and how to switch it off."""

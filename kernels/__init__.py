"""How it runs fast: Triton kernels, each beside its torch reference; nothing here knows about passes.

This file must hold a docstring only: with the repository root on `sys.path`, transformers finds this folder in place
of the public package `kernels` and imports it under that name.
"""

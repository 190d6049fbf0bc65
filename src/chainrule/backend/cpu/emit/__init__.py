"""Kernels to LLVM IR text; nothing here runs."""

"""The CPU backend: plans to LLVM IR, and native code run by several threads."""

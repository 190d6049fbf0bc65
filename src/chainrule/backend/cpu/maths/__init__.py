"""The vector maths library as LLVM IR text."""

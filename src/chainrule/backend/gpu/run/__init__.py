"""Devices, their memory, and the steps that run on them."""

"""Puts Stable Diffusion models where a hosted WebUI finds them."""

__version__ = "0.1.0"

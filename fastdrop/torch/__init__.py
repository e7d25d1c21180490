"""Models of PyTorch."""

from fastdrop.torch._export import from_torch

__all__ = ["from_torch"]

"""Which arithmetic a device has of its own; what it only emulates would be slower than single precision."""

from __future__ import annotations


def multiplies_bf16(device: str) -> bool:
    """Whether a device type (`cuda`, `cpu`) multiplies matrices in bfloat16: GPUs since Ampere, CPUs with AMX."""
    import torch

    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device == "cpu" and bool(torch.cpu.get_capabilities().get("amx_bf16"))

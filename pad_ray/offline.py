"""Whether calls to the Hugging Face hub are switched off, read as the hub's own client reads it."""

from __future__ import annotations


def hub_is_off() -> bool:
    """Whether HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) was 1, true, yes or on when the client was imported."""
    from huggingface_hub import constants

    return constants.HF_HUB_OFFLINE

"""`python -m pad_ray.students.gguf FILE.gguf FOLDER`: quantised weights as a Hugging Face folder in fp32."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def write_folder(weights: Path, target: Path) -> None:
    """Dequantise a GGUF causal language model and save it with its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source: dict[str, Any] = {"pretrained_model_name_or_path": weights.parent, "gguf_file": weights.name}
    tokenizer = AutoTokenizer.from_pretrained(**source)
    loaded: Any = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    config = loaded.config
    # A model that was loaded from GGUF refuses to be saved: the same weights go into one that knows nothing of it.
    del config.quantization_config
    config.__dict__.pop("_model_name_or_path", None)  # a note of whoever quantised it
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(loaded.state_dict())
    model.generation_config = loaded.generation_config
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    for file in target.iterdir():
        file.chmod(0o644)


if __name__ == "__main__":
    write_folder(Path(sys.argv[1]), Path(sys.argv[2]))

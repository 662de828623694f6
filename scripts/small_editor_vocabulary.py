"""What the small editor can be asked for, and a tokenizer of CLIP's kind whose vocabulary is those words."""

import json
import tempfile
from pathlib import Path
from typing import Any

PROMPTS: tuple[str, ...] = (
    "make the hair silver",
    "make the hair blond",
    "turn him into a bronze statue",
    "turn him into a zombie",
    "make it an oil painting",
    "make it a pencil sketch",
    "put red lipstick on",
    "golden hour light",
)
"""Instructions that the offline editor understands; it makes the pairs that the small editor learns from."""
TOKENS = 16
"""Read of a prompt, with the marks of its beginning and end."""
BEGINNING, END = "<|startoftext|>", "<|endoftext|>"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORD_END = "</w>"
"""CLIP's mark of a word's last piece."""


def vocabulary() -> tuple[list[str], list[tuple[str, str]]]:
    """The pieces of text, and the merges that make words of letters (byte-pair encoding; Sennrich et al. 2016).

    Words of the prompts are one piece each. Any other word falls into smaller pieces, down to letters.
    """
    pieces = [*LETTERS, *(letter + WORD_END for letter in LETTERS)]
    merges: list[tuple[str, str]] = []
    for word in sorted({word for prompt in PROMPTS for word in prompt.split()}):
        parts = merged([*word[:-1], word[-1] + WORD_END], merges)
        while len(parts) > 1:
            merges.append((parts[0], parts[1]))
            parts = [parts[0] + parts[1], *parts[2:]]
            pieces.append(parts[0])
    return [*dict.fromkeys(pieces), BEGINNING, END], merges


def merged(parts: list[str], merges: list[tuple[str, str]]) -> list[str]:
    """A word's pieces after all merges, in their order of precedence."""
    for first, second in merges:
        joined: list[str] = []
        for part in parts:
            if joined and (joined[-1], part) == (first, second):
                joined[-1] = first + second
            else:
                joined.append(part)
        parts = joined
    return parts


def make_tokenizer(transformers: Any) -> Any:
    """transformers' `CLIPTokenizer` of that vocabulary."""
    pieces, merges = vocabulary()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "vocab.json").write_text(json.dumps({piece: index for index, piece in enumerate(pieces)}))
        Path(folder, "merges.txt").write_text(
            "#version: 0.2\n" + "".join(f"{first} {second}\n" for first, second in merges)
        )
        return transformers.CLIPTokenizer.from_pretrained(folder, model_max_length=TOKENS)

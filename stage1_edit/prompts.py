"""Prompts as a person types them: `TEXT`, or `REGION: TEXT` to keep the edit to one part."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from tracking.errors import UserError
from tracking.regions import REGIONS

NO_EDIT = "don't change the image"
"""Instruct-NeRF2NeRF's default prompt, which it keeps in silence where a flag is misspelt."""


@dataclass(frozen=True)
class EditPrompt:
    """An instruction and the part of the person that it may change."""

    text: str
    region: str = "person"

    @classmethod
    def split(cls, typed: str) -> "EditPrompt":
        """Read `TEXT` or `REGION: TEXT` as it stands; `check` tells whether it makes sense."""
        region, colon, text = typed.partition(":")
        if not colon:
            region, text = "person", typed
        return cls(" ".join(text.split()), region.strip().lower())

    @classmethod
    def parse(cls, typed: str) -> "EditPrompt":
        """Read `TEXT` or `REGION: TEXT`.

        Raises:
            UserError: the prompt is empty, or names a region that does not exist.
        """
        prompt = cls.split(typed)
        prompt.check()
        return prompt

    def check(self) -> None:
        """See whether the prompt says something about a region that there is.

        Raises:
            UserError: the prompt is empty, or names a region that does not exist.
        """
        if self.region not in REGIONS:
            raise UserError(
                f"There is no region '{self.region}' in the prompt '{self}': choose one of {', '.join(REGIONS)}, or "
                "leave the colon out to edit the whole person."
            )
        if not self.text:
            raise UserError(f"The prompt '{self}' is empty: say what to change, such as 'hair: make it silver'.")
        if self.text.lower().rstrip(".!") == NO_EDIT:
            raise UserError(f"The prompt '{self}' asks for nothing: say what to change, such as 'make him bronze'.")

    def __str__(self) -> str:
        return self.text if self.region == "person" else f"{self.region}: {self.text}"


EditPromptArg = Annotated[
    EditPrompt,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="[REGION:]TEXT",
        # Without a check: tyro would put its own words in place of the prompt's. Who runs the command checks.
        instance_from_str=lambda typed: EditPrompt.split(typed[0]),
        is_instance=lambda value: isinstance(value, EditPrompt),
        str_from_instance=lambda prompt: [str(prompt)],
    ),
]
"""A prompt on a command line."""

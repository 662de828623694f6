"""Prompts as a person types them: `TEXT`, or `REGION: TEXT` to keep the edit to one part."""

from dataclasses import dataclass

from tracking.errors import UserError
from tracking.regions import REGIONS


@dataclass(frozen=True)
class EditPrompt:
    """An instruction and the part of the person that it may change."""

    text: str
    region: str = "person"

    @classmethod
    def parse(cls, typed: str) -> "EditPrompt":
        """Read `TEXT` or `REGION: TEXT`.

        Raises:
            UserError: the prompt is empty, or names a region that does not exist.
        """
        region, colon, text = typed.partition(":")
        if not colon:
            region, text = "person", typed
        region, text = region.strip().lower(), " ".join(text.split())
        if region not in REGIONS:
            raise UserError(
                f"There is no region '{region}' in the prompt '{typed}': choose one of {', '.join(REGIONS)}, or "
                "leave the colon out to edit the whole person."
            )
        if not text:
            raise UserError(f"The prompt '{typed}' is empty: say what to change, such as 'hair: make it silver'.")
        return cls(text, region)

    def __str__(self) -> str:
        return self.text if self.region == "person" else f"{self.region}: {self.text}"

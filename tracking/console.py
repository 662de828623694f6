"""What commands say to the person at the keyboard."""

from rich.console import Console


def say(console: Console, text: str, style: str | None = None) -> None:
    """Print text as it is, its long lines unbroken.

    rich itself takes `[bold]` for markup and `:dog:` for a picture of one, and fails at `[/b]`; prompts and file names
    may hold any of them.

    Args:
        style: how all of it looks in a terminal, in rich's words.
    """
    console.print(text, style=style, markup=False, emoji=False, highlight=False, soft_wrap=True)

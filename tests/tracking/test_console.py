"""What is said arrives as it was written, whatever rich would make of it."""

from io import StringIO

import pytest
from rich.console import Console

from tracking.console import say


@pytest.mark.parametrize(
    "text",
    [
        "Wrote clips [final]/talk.mp4.",
        "Editing: a sign that says [/b]",
        "[bold]loud[/bold] and [link=file]a:dog:b",
        "Wrote " + "long/" * 60 + "talk.mp4, which no line is wide enough for",
    ],
)
@pytest.mark.parametrize("style", [None, "bold"])
def test_brackets_colons_and_long_lines_arrive_whole(text: str, style: str | None) -> None:
    written = StringIO()
    say(Console(file=written, width=40), text, style)
    assert written.getvalue() == f"{text}\n"


def test_a_terminal_shows_the_style() -> None:
    written = StringIO()
    say(Console(file=written, force_terminal=True, color_system="standard"), "Editing: [b]", "bold")
    assert written.getvalue() == "\x1b[1mEditing: [b]\x1b[0m\n"

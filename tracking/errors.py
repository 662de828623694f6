"""A user's mistake, told in one sentence instead of a traceback."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(ValueError):
    """Something that the person at the keyboard can put right.

    The message is one sentence or two: what is wrong, and what to do about it.
    """


@contextmanager
def one_sentence_for_user_errors() -> Iterator[None]:
    """Print a `UserError` as one line on standard error and exit with code 2.

    Put around a command's `main`, and around the plugin's construction inside ns-train, which has no such border of
    its own. Anything else is a bug and keeps its traceback.
    """
    try:
        yield
    except UserError as error:
        sys.stderr.write(f"portrait-edit: {error}\n")
        sys.exit(2)

"""A user's mistake, told in one sentence instead of a traceback."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class UserError(ValueError):
    """Something that the person at the keyboard can put right.

    The message is one sentence or two: what is wrong, and what to do about it.
    """


class ResumableError(UserError):
    """A mistake after whose cure the same command goes on: what it has finished is kept."""


def writing_failed(path: Path, error: OSError) -> UserError:
    """What to say when the system refuses to write."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResumableError(f"There is no room left to write {path}: free some, then give the same command again.")
    return UserError(f"Cannot write {path} ({error.strerror}): choose another place, or change its permissions.")


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

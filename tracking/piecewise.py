"""Stages that are worked on in pieces, each of which is kept as soon as it is done."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tracking.workers import Advance, Workers
from tracking.workshop import Workshop, write_stage


class NewBar(Protocol):
    """Begins to show the progress of a stage."""

    def __call__(self, stage: str, total: int | None, done: int = 0) -> Advance:
        """
        Args:
            stage: what is being done.
            total: how many frames there are, if that is known.
            done: how many of them an interrupted command has done.
        """
        ...


@dataclass(frozen=True)
class PiecewiseStage:
    """A stage whose pieces are done in any order, by any process."""

    name: str
    """Of the kept results."""
    shown_as: str
    """In the progress bar."""
    function: Callable[..., Any]
    """Defined at the top of a module; called with what it tells its progress, and a piece's arguments."""
    workshop: Workshop
    workers: Workers

    def is_kept(self, key: str) -> bool:
        """Whether a piece is done."""
        return self.workshop.is_kept(self._kept_as(key))

    def begin(self, key: str, arguments: tuple[Any, ...]) -> Callable[[], None]:
        """Do a piece beside what the calling process does next; returns what waits for it."""
        return self.workers.start(_make_and_keep, *self._work(key, arguments))

    def results(
        self,
        pieces: Mapping[str, tuple[Any, ...]],
        frames: Mapping[str, int],
        new_bar: NewBar,
        begun: Mapping[str, Callable[[], None]] | None = None,
    ) -> Iterator[Any]:
        """Do what is left to do, and give the pieces' results in their order, one at a time.

        Args:
            pieces: arguments of every piece, by its key.
            frames: how many frames every piece has.
            new_bar: shows the progress.
            begun: what waits for pieces that were begun before.
        """
        begun = begun or {}
        undone = [key for key in pieces if not self.is_kept(key)]
        left = sum(frames[key] for key in undone)
        advance = new_bar(self.shown_as, sum(frames.values()), sum(frames.values()) - left)

        def tell(count: int) -> None:
            # Of a piece begun before, some frames may have been done before.
            nonlocal left
            count = min(count, left)
            left -= count
            advance(count)

        todo = {key: self._work(key, pieces[key]) for key in undone if key not in begun}
        for _ in self.workers.run(_make_and_keep, todo, tell):
            pass
        for key in undone:
            if key in begun:
                begun[key]()
        tell(left)
        return (self.workshop.kept(self._kept_as(key)) for key in pieces)

    def _kept_as(self, key: str) -> str:
        return f"{self.name}-{key}"

    def _work(self, key: str, arguments: tuple[Any, ...]) -> tuple[Path, Callable[..., Any], tuple[Any, ...]]:
        return self.workshop.path_of(self._kept_as(key)), self.function, arguments


def _make_and_keep(advance: Advance, path: Path, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Keep a result where it is made: all of a long clip's together are too large for one process."""
    write_stage(path, function(advance, *arguments))

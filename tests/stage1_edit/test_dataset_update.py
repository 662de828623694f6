import torch

from stage1_edit.dataset_update import DatasetUpdater
from stage1_edit.prompts import EditPrompt
from stage1_edit.schedule import DueEdits
from tracking.regions import Label


class Frames:
    """Four frames of 4 x 4 pixels: background above, hair in the middle row pair, skin below."""

    def __init__(self) -> None:
        self.current = [self.original(frame) for frame in range(4)]

    def __len__(self) -> int:
        return 4

    def original(self, frame: int) -> torch.Tensor:
        return torch.full((40, 40, 3), 0.1 * frame)

    def matte(self, frame: int) -> torch.Tensor:
        return (self.labels(frame) != Label.BACKGROUND).float()[..., None]

    def labels(self, frame: int) -> torch.Tensor:
        labels = torch.zeros(40, 40, dtype=torch.uint8)
        labels[10:25], labels[25:] = Label.HAIR, Label.FACE_SKIN
        return labels

    def replace(self, frame: int, image: torch.Tensor) -> None:
        self.current[frame] = image


class Editor:
    """Paints white and remembers what it was asked."""

    def __init__(self) -> None:
        self.batches = []

    def edit(self, requests):
        self.batches.append(requests)
        return [torch.ones_like(request.original) for request in requests]

    def check(self, prompt) -> None: ...


class Script:
    """A schedule that reads from a list."""

    train_on_unedited = False
    is_round_next = False

    def __init__(self, *due: DueEdits) -> None:
        self.rest = list(due)

    def due(self) -> DueEdits:
        return self.rest.pop(0)

    def state_dict(self): ...

    def load_state_dict(self, state): ...


def updater(*due: DueEdits, typed: str = "person: anything", **settings) -> DatasetUpdater:
    return DatasetUpdater(
        Editor(),
        Script(*due),
        Frames(),
        lambda frame: torch.full((40, 40, 3), 0.77),
        EditPrompt.parse(typed),
        **settings,
    )


def test_a_region_prompt_changes_its_region_only_and_the_rest_is_the_original() -> None:
    update = updater(DueEdits((2,), 0.5), typed="hair: anything")
    assert update.step() == (2,)
    image, original = update.frames.current[2], update.frames.original(2)
    assert torch.equal(image[:10], original[:10]) and torch.equal(image[27:], original[27:])
    assert (image[12:23] == 1).all()
    assert torch.equal(update.frames.current[1], update.frames.original(1))


def test_a_prompt_for_the_person_leaves_the_background() -> None:
    update = updater(DueEdits((3,), 0.5))
    update.step()
    image = update.frames.current[3]
    assert torch.equal(image[:10], update.frames.original(3)[:10]) and (image[10:] == 1).all()


def test_the_editor_sees_the_original_the_render_and_the_level() -> None:
    update = updater(DueEdits((3,), 0.25))
    update.frames.replace(3, torch.rand(40, 40, 3))
    update.step()
    ((request,),) = update.editor.batches
    assert torch.equal(request.original, update.frames.original(3))
    assert (request.render == 0.77).all() and request.noise_level == 0.25


def test_from_pure_noise_nothing_is_rendered() -> None:
    update = updater(DueEdits((0, 1, 2, 3), 1.0))
    update.render = lambda frame: 1 / 0
    update.step()
    assert update.edited == {0, 1, 2, 3}


def test_frames_are_edited_in_batches_and_progress_is_told() -> None:
    told = []
    update = updater(DueEdits((3, 1, 0), 1.0), batch_size=2, on_progress=lambda *progress: told.append(progress))
    update.step()
    assert [len(batch) for batch in update.editor.batches] == [2, 1] and told == [(2, 3), (3, 3)]


def test_only_frames_edited_so_far_are_known_as_edited() -> None:
    update = updater(DueEdits(), DueEdits((1,), 0.5), edited={2})
    assert not update.step() and update.edited == {2}
    update.step()
    assert update.edited == {1, 2}


def test_a_frames_randomness_does_not_depend_on_what_else_is_edited() -> None:
    whole = updater(DueEdits((3, 1, 0), 1.0, number=7), batch_size=2, seed=5)
    whole.step()
    left = updater(DueEdits((0,), 1.0, number=7), seed=5)
    left.step()
    seeds = {one.frame: one.generator.initial_seed() for batch in whole.editor.batches for one in batch}
    assert len(set(seeds.values())) == 3
    ((request,),) = left.editor.batches
    assert request.generator.initial_seed() == seeds[0]


class Starts:
    """Starts edits from red, and remembers what it was told."""

    def __init__(self) -> None:
        self.told = []

    def begin(self, number, done, is_round) -> None:
        self.told.append(("begin", number, set(done), is_round))

    def replaced(self, frame) -> None:
        self.told.append(("replaced", frame))

    def start(self, original, render, matte, geometry) -> torch.Tensor:
        return torch.tensor([1.0, 0, 0]).expand_as(original)


def test_weaker_edits_start_where_they_are_told_and_those_from_noise_do_not() -> None:
    starts = Starts()
    update = updater(DueEdits((0, 1), 1.0), DueEdits((1,), 0.3, number=2, is_round=True), starts=starts)
    update.step()
    update.step()
    (first, _), (second,) = update.editor.batches
    assert torch.equal(first.render, first.original) and (second.render == torch.tensor([1.0, 0, 0])).all()
    assert starts.told == [("replaced", 0), ("replaced", 1), ("begin", 2, {0, 1}, True), ("replaced", 1)]


def test_every_batch_is_recorded_with_its_cost_once_its_frames_are_replaced() -> None:
    records = []
    update = updater(DueEdits((3, 1, 0), 0.6, True, number=4), batch_size=2, keep_record=records.append)
    editor = update.editor
    editor.network_evaluations = 100
    editor.evaluations_for = lambda frames, noise_level, steps_by_level: 0
    plain = editor.edit

    def edit(requests):
        editor.network_evaluations += 9 * len(requests)
        assert all(request.steps_by_level for request in requests)
        return plain(requests)

    editor.edit = edit
    update.step()
    assert [(one.frames, one.number, one.network_evaluations) for one in records] == [((3, 1), 4, 18), ((0,), 4, 9)]
    assert records[0].noise_level == 0.6 and len(set(records[0].seeds + records[1].seeds)) == 3

"""The comparison of ways to make a diffusion editor consistent: what it depends on, and its averages."""

from dataclasses import replace
from pathlib import Path

import pytest
from benchmark_diffusion_editors import ALL_WAYS, Arguments, again_at, as_table, settings_of
from small_editor_sampling import SIZE
from way_measures import means


def result(way: str, flicker: float | None, evaluations: int) -> dict:
    measures = {"flow_warp_ratio": flicker, "sharpness_ratio": 1.0}
    return {"way": way, "measures": measures, "network_evaluations": evaluations, "processor_seconds": 2.0}


def test_means_are_each_ways_own_and_leave_out_what_could_not_be_measured() -> None:
    found = means([result("a", 1.0, 10), result("b", 5.0, 30), result("a", None, 20), result("a", 2.0, 30)])
    assert found["a"] == {
        "flow_warp_ratio": 1.5, "sharpness_ratio": 1.0, "network_evaluations": 20.0, "processor_seconds": 2.0,
    }  # fmt: skip
    assert found["b"]["flow_warp_ratio"] == 5.0
    assert means([result("a", None, 10)])["a"]["flow_warp_ratio"] is None


def test_what_was_never_measured_is_a_dash_in_the_table() -> None:
    table = as_table(means([result("a", None, 10)]))
    assert [next(iter(column.cells)) for column in table.columns][:3] == ["a", "-", "1.000"]


@pytest.mark.parametrize(
    "change", [{"frames": 7}, {"sampling_steps": 3}, {"guidance_scale": 9.0}, {"precision": "fp32"}, {"anchors": 1}]
)
def test_results_made_with_other_settings_are_not_taken_for_these(change: dict) -> None:
    assert settings_of(replace(Arguments(), **change)) != settings_of(Arguments())


def test_results_are_the_same_wherever_they_are_kept_and_whatever_else_is_compared() -> None:
    elsewhere = Arguments(clips=(Path("x"),), ways=ALL_WAYS[:1], work=Path("y"), output=Path("z"), threads=2)
    assert settings_of(elsewhere) == settings_of(Arguments())


def test_the_editor_is_sampled_as_the_arguments_say() -> None:
    chosen = Arguments(
        model=Path("m"), sampling_steps=6, guidance_scale=2.5, image_guidance_scale=1.2, precision="fp32"
    )
    settings = chosen.config(frames_at_once=3)
    found = settings.model, settings.sampling_steps, settings.guidance_scale, settings.image_guidance_scale
    assert found == ("m", 6, 2.5, 1.2)
    assert (settings.precision, settings.frames_at_once, settings.longer_side) == ("fp32", 3, SIZE)


def test_the_ways_that_gather_on_the_surface_say_whether_they_edit_again() -> None:
    assert again_at("gathered on the surface, warped noise") == (0.0,) and again_at("surface aggregation") == (0.5,)
    assert not any(again_at(way) for way in ALL_WAYS if "surface" not in way)

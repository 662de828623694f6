"""README's tables say what was measured."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from tracking.errors import UserError

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    specification = importlib.util.spec_from_file_location("readme_tables", REPOSITORY / "scripts" / "readme_tables.py")
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def result(method: str, prompt: str | None, warp: float | None, landmarks: float) -> dict:
    measures = {"flow_warp_ratio": warp, "target_color_difference": 2.345, "landmark_distance": landmarks}
    return {"clip": "talk", "prompt": prompt, "method": method, "measures": measures}


def test_a_marked_table_is_written_from_its_measurements(tables: ModuleType, tmp_path: Path) -> None:
    results = [result("avatar_alone", None, 1.0, 0.01), result("per_frame", "hair", 8.25, 0.02)]
    results.append(result("ours", "hair", None, 0.0142))
    (tmp_path / "edit_suite.json").write_text(json.dumps({"results": results}))
    text = "Before.\n<!-- table edit-suite -->\n| old |\n<!-- end of table -->\nAfter.\n"
    new = tables.rewritten(text, tmp_path)
    assert "| talk: hair | 8.2 / \N{EN DASH} | 2.3 / 2.3 | 0.010 / 0.020 / 0.014 |" in new
    assert new.startswith("Before.\n<!-- table edit-suite -->\n| clip")
    assert new.endswith("|\n<!-- end of table -->\nAfter.\n")
    assert tables.rewritten(new, tmp_path) == new
    with pytest.raises(UserError, match="no table other"):
        tables.rewritten(text.replace("edit-suite", "other"), tmp_path)
    with pytest.raises(UserError, match="is missing"):
        tables.rewritten(text, tmp_path / "nowhere")


def test_readme_says_what_the_committed_measurements_say(tables: ModuleType) -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert tables.rewritten(text, REPOSITORY / "scripts" / "measurements") == text

"""MediaPipe comes without what it draws with, until somebody draws."""

import subprocess
import sys
from pathlib import Path

import pytest

from tracking.mediapipe_models import imported_when_used


def test_a_module_is_imported_once_something_of_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "paints").mkdir()
    (tmp_path / "paints" / "__init__.py").write_text("primer = 'white'\n")
    (tmp_path / "paints" / "oil.py").write_text("colors = ['umber']\n")
    (tmp_path / "studio.py").write_text("import paints.oil as oil\nimport paints\n")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        with imported_when_used("paints", "paints.oil", "no_such_paints"):
            import studio
        assert "paints" not in sys.modules and "no_such_paints" not in sys.modules
        assert studio.oil.colors == ["umber"]
        assert studio.paints.primer == "white"
        assert sys.modules["paints.oil"].colors == ["umber"]
    finally:
        for name in ("paints", "paints.oil", "studio"):
            sys.modules.pop(name, None)


def test_mediapipe_does_not_bring_matplotlib() -> None:
    code = "import sys; from tracking.mediapipe_models import load_solutions; load_solutions(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "mediapipe.python.solutions.drawing_utils" in loaded
    assert "matplotlib" not in loaded

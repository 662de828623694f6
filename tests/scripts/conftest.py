"""Scripts find each other because Python puts a script's own folder on its path; so do these tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

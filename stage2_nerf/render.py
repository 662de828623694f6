"""The command `portrait-render`: the edited video, as long, as large and as loud as its source."""

import warnings

import tyro

from stage2_nerf.render_config import RenderConfig
from tracking.errors import one_sentence_for_user_errors
from tracking.termination import ended_in_order


def main() -> None:
    """Run `portrait-render`."""
    config = tyro.cli(RenderConfig, prog="portrait-render", description=RenderConfig.__doc__)
    with one_sentence_for_user_errors(), ended_in_order():
        config.check()
        # nerfstudio takes seconds to import, and warns of what torch will change in it.
        warnings.filterwarnings("ignore", category=FutureWarning)
        from stage2_nerf.rendering import render_video

        render_video(config)

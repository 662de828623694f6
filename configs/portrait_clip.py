"""The dataparser's name: `ns-train METHOD --data clip/ portrait-clip`.

It has a module of its own: nerfstudio discovers dataparsers while its datamanagers are half imported, so nothing here
may import a datamanager, a pipeline or a trainer.
"""

from nerfstudio.plugins.registry_dataparser import DataParserSpecification

from stage2_nerf.clip_dataparser import PortraitClipDataParserConfig

portrait_clip = DataParserSpecification(
    config=PortraitClipDataParserConfig(), description="A talking portrait, tracked by portrait-track."
)

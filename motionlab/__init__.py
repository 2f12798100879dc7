"""MotionLab: human motion and controllable generation on MMEngine.

Importing the package stays cheap: the registries import their modules on first use.
"""

from motionlab.version import __version__

__all__ = ['__version__']

"""Playing in a browser: a model of a game, and the real game beside it, under the same keys."""

from motionlab.apis.play.routes import PlayTable
from motionlab.apis.play.server import PlayServer
from motionlab.apis.play.session import FramePlayer, PlaySession, PlayView
from motionlab.apis.play.starts import GameStarts, PlayStart, RealGame, StoreStarts

__all__ = ['FramePlayer', 'GameStarts', 'PlayServer', 'PlaySession', 'PlayStart', 'PlayTable', 'PlayView', 'RealGame',
           'StoreStarts']

"""Expert episodes: scripted and self-played conversations, filtered by outcome."""

from recops.agent.script import Script, scripted_episode

__all__ = ["Script", "scripted_episode"]

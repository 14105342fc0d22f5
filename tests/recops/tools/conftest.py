from tests.recops.agent.conftest import folders, toolbox

__all__ = ["folders", "toolbox"]

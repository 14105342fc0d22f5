"""The error for a mistake of the model."""


class ToolError(Exception):
    """A call that the model got wrong; the message is short and says what to write instead.

    Any other exception of a tool is a mistake of ours and stops the stage.
    """

"""The errors for what comes from outside."""


class InputError(ValueError):
    """Input from outside is wrong: says where, what was found, what was expected and the next step."""

    def __init__(self, where: object, *, found: object, expected: str, next_step: str) -> None:
        self.where = str(where)
        self.found = str(found)
        self.expected = expected
        self.next_step = next_step
        super().__init__(f"{where}: found {found}; expected {expected}. {next_step}")


class UnavailableError(InputError):
    """What was asked for is busy or out of reach: the same again may succeed a little later, so that Dagster tries."""

"""Errors that say where, what was found, what was expected and what to do."""


class MotionLabError(Exception):
    """Base of every error MotionLab raises on purpose."""


class DataError(MotionLabError, ValueError):
    """A file or array does not hold what its format promises.

    Args:
        file: Path (or array name) of the offending input.
        field: Key, line or column inside it.
        found: What is there.
        expected: What the format asks for.
        hint: What the user can do about it.
    """

    def __init__(self, file: object, field: str, found: object, expected: object, hint: str = ''):
        self.file, self.field, self.found, self.expected, self.hint = file, field, found, expected, hint
        message = f'{file}: {field}: found {found}, expected {expected}.'
        super().__init__(f'{message} {hint}'.rstrip())

    def __reduce__(self):
        # Exceptions are rebuilt from their message alone by default, which breaks worker processes.
        return type(self), (self.file, self.field, self.found, self.expected, self.hint)


class ConfigError(MotionLabError, ValueError):
    """A configuration contradicts itself or names something that does not exist."""


class CheckpointError(MotionLabError, RuntimeError):
    """A checkpoint cannot be read, or does not fit the model it is loaded into."""

"""Errors that reach a person: a code, one sentence that says what is wrong, and what to do about it."""


class PTalkerError(Exception):
    """Raised for whatever a person can mend. ``code`` is stable; ``sentence`` and ``fix`` are for people."""

    def __init__(self, code: str, sentence: str, fix: str = "") -> None:
        super().__init__(f"{sentence} {fix}".strip())
        self.code, self.sentence, self.fix = code, sentence, fix


class Cancelled(Exception):
    """The job was cancelled; nothing was written."""

"""The only error that users can cause and fix."""


class BadInputError(ValueError):
    """The user's data or parameters break a stated rule.

    The message is one sentence for a person: which file, column and rule, the number of rows, and
    what to do. The command line shows only the message, without a traceback, and exits with a
    non-zero code.
    """

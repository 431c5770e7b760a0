"""The one error that a user can cause and mend."""


class BadInputError(ValueError):
    """Something in the user's data or parameters breaks a stated rule.

    The message is one clear sentence for a person: which file, which column, which rule, how many
    rows, and what to do. The command line shows the message alone, without a traceback, and exits
    with a code other than 0.
    """

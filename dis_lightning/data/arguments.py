"""How the arguments of data sets and transforms are checked."""

from dis_lightning.errors import InvalidValueError

__all__ = ["require_whole"]


def require_whole(owner: object, least: int, **arguments: object) -> None:
    """Refuse arguments that are no whole numbers of at least a size; null (None) is none.

    Args:
        owner: whose arguments they are, for the message.
        least: the smallest number that is taken.
        **arguments: the values by their names.

    Raises:
        ValueError: if one is not.
    """
    for name, value in arguments.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            came = "null" if value is None else value
            raise InvalidValueError(
                f"{type(owner).__name__} needs {name} >= {least}, a whole number, but got {name}={came}."
            )

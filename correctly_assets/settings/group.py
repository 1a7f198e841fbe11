"""What every group of settings shares: reading `CORRECTLY_*`, its variables' names, and one sentence for a wrong value.

Belongs here: the base class of the groups, the root of the checkout, and where the files that ship are. Does not belong here: any setting.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

PROJECT_ROOT = Path(__file__).resolve().parent.parent.parent
"""The checkout, or the folder that holds the installed package."""

_SHIPPED = PROJECT_ROOT / "correctly_assets" / "shipped"
"""In an installed package, what stands at the checkout's top level (setup.py); not there in a checkout."""


def shipped(name: str) -> Path:
    """A file or folder of the checkout's top level that travels inside the wheel: ``sql``, ``prompts``, ``workspace.yaml``
    or ``dagster.yaml``.

    >>> shipped("prompts") / "correct.txt"
    """
    return (_SHIPPED if _SHIPPED.is_dir() else PROJECT_ROOT) / name


def default_home() -> Path:
    """Where state is kept unless CORRECTLY_HOME says otherwise: ``.correctly`` in the checkout, or in the user's home
    directory where the package is installed apart from one."""
    return (Path.home() if _SHIPPED.is_dir() else PROJECT_ROOT) / ".correctly"


class InvalidSettingError(ValueError):
    """A `CORRECTLY_*` variable holds what its type does not allow, or no setting has this name."""


class SettingsGroup(BaseSettings):
    """Settings that belong together, read from the environment when the group is made.

    Raises:
        InvalidSettingError: a variable holds something that its type does not allow.
    """

    model_config = SettingsConfigDict(env_prefix="CORRECTLY_", extra="ignore")

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InvalidSettingError(self._sentence(error)) from None
        except SettingsError as error:
            # A setting that is JSON, and its variable holds none; the error's text quotes the field.
            named = [field for field in type(self).model_fields if f'"{field}"' in str(error)]
            variable = self.variable(named[0]) if named else "A setting"
            raise InvalidSettingError(f"The setting {variable} is wrong: write it as JSON.") from None

    @classmethod
    def variable(cls, field: str) -> str:
        """The environment variable that a field is read from.

        Raises:
            InvalidSettingError: the group has no such field.
        """
        if field not in cls.model_fields:
            raise InvalidSettingError(f"{cls.__name__} has no setting {field}: {', '.join(cls.model_fields)}.")
        alias = cls.model_fields[field].validation_alias
        return alias if isinstance(alias, str) else f"{cls.model_config.get('env_prefix', '')}{field}".upper()

    def changed(self, **values: Any) -> Self:
        """A copy with other values, checked as those of the environment are.

        Raises:
            InvalidSettingError: a name is no field of the group, or a value is not allowed.
        """
        made = self.model_copy()
        for field, value in values.items():
            self.variable(field)
            try:
                type(self).__pydantic_validator__.validate_assignment(made, field, value)
            except ValidationError as error:
                raise InvalidSettingError(self._sentence(error)) from None
        return made

    @classmethod
    def _sentence(cls, error: ValidationError) -> str:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        variable = cls.variable(name) if name in cls.model_fields else name
        inside = "".join(f", at {part}" for part in first["loc"][1:])
        return f"The setting {variable} is wrong{inside}: {first['msg'].removeprefix('Value error, ')}."

"""Names of all settings, as the error for an unknown one lists them."""

import re
from pathlib import Path

import pytest

from candlewax.exchanges import EXCHANGES
from candlewax.runtime import settings
from candlewax.runtime.settings import SettingsError


def known_settings() -> set[str]:
    """Return the names, those of an exchange once for each."""
    with pytest.raises(SettingsError) as refused:
        settings.load({"CANDLEWAX_NO_SUCH": "x"}, Path("no such file"))
    names = re.findall(r"CANDLEWAX_[\w<>]+", str(refused.value).partition("there are")[2])
    return {name.replace("<EXCHANGE>", one.upper()) for name in names for one in EXCHANGES}

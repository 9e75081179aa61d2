"""Settings read from a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from pathlib import Path

from deeplab.errors import ConfigError

MAX_BYTES = 1 << 20


def read_settings(path: Path, known: Collection[str]) -> dict[str, object]:
    """The settings of a flat TOML file; all of them must be `known`.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has a setting of another name.
    """
    try:
        size = path.stat().st_size
        settings = tomllib.loads(path.read_text(encoding="utf-8") if size <= MAX_BYTES else "")
    except OSError as error:
        raise ConfigError("config", str(path), "a file that can be read") from error
    except (ValueError, RecursionError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError("config", str(path), f"a TOML file ({reason})") from error
    if size > MAX_BYTES:
        raise ConfigError("config", str(path), f"a TOML file of at most {MAX_BYTES} bytes")
    for name in settings:
        if name not in known:
            raise ConfigError(f"a setting in {path}", name, "one of " + ", ".join(sorted(known)))
    return settings

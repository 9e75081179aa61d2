"""Settings read from a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from pathlib import Path

from deeplab.errors import ConfigError

MAX_BYTES = 1 << 20


def read_settings(path: Path, known: Collection[str]) -> dict[str, object]:
    """Return the settings of a flat TOML file; all of them must be `known`.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has a setting of another name.
    """
    try:
        size = path.stat().st_size
        # Editors of Windows write a mark before the text.
        settings = tomllib.loads(path.read_text(encoding="utf-8-sig") if size <= MAX_BYTES else "")
    except OSError as error:
        raise ConfigError("config", str(path), "a file that can be read") from error
    except (ValueError, RecursionError, OverflowError) as error:
        raise ConfigError("config", str(path), f"a TOML file ({_reason(error)})") from error
    if size > MAX_BYTES:
        raise ConfigError("config", str(path), f"a TOML file of at most {MAX_BYTES} bytes")
    for name in settings:
        if name not in known:
            raise ConfigError(f"a setting in {path}", name, "one of " + ", ".join(sorted(known)))
    return settings


def _reason(error: Exception) -> str:
    """Return what is wrong with the text, in words of who wrote it."""
    if isinstance(error, UnicodeDecodeError):
        return f"in UTF-8, which byte {error.start + 1:,} is not: save it so"
    if isinstance(error, RecursionError):
        return "without lists in lists in lists"
    if "integer string" in str(error):
        return "with numbers of fewer digits"
    return " ".join(str(error).split())[:200]

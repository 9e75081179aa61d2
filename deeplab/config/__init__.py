"""What a run is asked to do, as frozen values read from TOML, JSON or a task form."""

"""The tasks: parse, call the engine, report."""

"""Processes that do not outlive their test."""

from contextlib import contextmanager


@contextmanager
def running(*processes):
    """The processes; those that still run at the end are killed."""
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()

"""What a training tells: its page, its charts, its log, and its worst regions."""

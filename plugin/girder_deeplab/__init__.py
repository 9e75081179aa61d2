"""The Girder server's side: keeps the tasks' image registered; never loads the engine."""

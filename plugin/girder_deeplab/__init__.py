"""The Girder server's side: the tasks' image and the site's models; never loads the engine."""

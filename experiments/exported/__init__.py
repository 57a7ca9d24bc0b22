"""--mode=export: what is made of each task, and the scripts that answer with it."""

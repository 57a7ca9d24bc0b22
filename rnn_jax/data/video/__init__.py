"""Videos: datasets and arrays → clips of so many frames → parts and batches; and videos that are made of images."""

"""Labelled signals (numbers, images, sound, video): datasets and files → sequences → parts → batches."""

"""The one form of Unicode in which texts are read, whoever typed them: NFC."""

import unicodedata


def nfc(text: str) -> str:
    """The text with composed characters: "e" and an accent behind it, as macOS has them in file names, are one "é".

    Every reader of texts calls it: of lines, of JSON, of TFDS's features, of word vectors; and so does what cuts texts
    into words. All that is compared with words is in NFC as well, then: class names, vocabularies, keys of vectors.
    """
    return unicodedata.normalize("NFC", text)

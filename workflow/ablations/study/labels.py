"""What may be the name of a class, and which names look the same."""

import unicodedata

LONGEST_NAME = 100  # of a class, in characters
# They cannot be printed, and belong to words of some languages and to emoji.
JOINERS = dict.fromkeys(map(ord, "\u200c\u200d\u2060"))
# What a reader does not see although Python prints it: how a letter or emoji is drawn, the fillers
# of Korean and other scripts; and Braille's blank.
UNSEEN = JOINERS | {
    **dict.fromkeys([0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0]),
    **dict.fromkeys([*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)]),
    0x2800: " ",
}


def is_class_name(name: str) -> bool:
    """Whether a text, without blanks around it, may be the name of a class."""
    can_be_printed = name.translate(JOINERS).isprintable()
    return 0 < len(name) <= LONGEST_NAME and can_be_printed and bool(plain(name))


def plain(name: str) -> str:
    """A name without what a reader may not see: case, width, joiners, double blanks."""
    without = unicodedata.normalize("NFKC", name).translate(UNSEEN)
    return " ".join(without.casefold().split())

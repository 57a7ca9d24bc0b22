"""Raw text to words, in the style of English treebanks (Universal Dependencies EWT): what a tagger is given.

| text | words |
|---|---|
| "Hello," he said... | " Hello , " he said ... |
| I don't, cannot, it's, dogs' | I do n't , can not , it 's , dogs ' |
| $1,000.50 at 3:30pm, 50% | $ 1,000.50 at 3:30 pm , 50 % |
| Mr. Li of the U.S. etc. | Mr. Li of the U.S. etc. |
| a well-known e-mail | a well - known e-mail |
| see www.a.org/b?c=1, a@b.org ;-) | see www.a.org/b?c=1 , a@b.org ;-) |

Scripts that write no spaces between words stay in one piece between punctuation marks.
"""

import re
import unicodedata

from rnn_jax.data.normal_form import nfc

# Inside of words, though no letters to Python: combining marks (as in Arabic and Devanagari), joiners, soft hyphens.
_MARKS = "".join(c for c in map(chr, range(0x300, 0x3100)) if unicodedata.category(c)[0] == "M") + "\u200c\u200d\xad"
_IN_WORD = rf"[\w{_MARKS}]"
_END = rf"(?!{_IN_WORD})"
_LETTER = r"[^\W\d_]"
_CLITIC = rf"(?i:['’`](?:s|re|ve|d|ll|m){_END})"
# Abbreviations that are rarely words at the end of a sentence: the first ones in any case, the others as written.
_ABBREVIATION = (
    r"(?:(?i:mr|mrs|ms|dr|prof|st|jr|sr|vs|etc|inc|corp|ltd|dept|blvd|approx|esp|attn|ph\.d)"
    r"|Co|Ft|Lt|Gen|Col|Rev|Gov|Sen|Reps?|Vol|Jan|Feb|Aug|Sept|Oct|Nov|Dec|Mon|Tues?|Wed|Thurs?|Fri"
    r"|No(?=\.\s?\d)|(?!I)[A-Z](?=\.\s?[A-Z]))\."
)
# The first alternative that fits is taken. Each looks ahead either a limited number of characters or over what it then
# takes, so that a long text without spaces needs time in proportion to its length.
WORD = re.compile(
    rf"""
    (?i:(?:https?|ftp)://|www\.|mailto:)\S*[\w/=&\#%~+-]
    | \w[\w.+%-]{{0,63}}@(?:[\w-]{{1,63}}\.){{0,8}}{_LETTER}\w{{0,63}}                            # e-mail
    | [^\W_][\w.-]{{0,63}}\.(?i:com|org|net|edu|gov|info|[a-z]{{2}}\.uk|html?|pdf|docx?|xlsx?|txt|zip|jpe?g|png)
      {_END}(?:/(?:\S*[\w/])?)?                                                            # host/path, file
    | (?:[:;=]['’]?[-o^]?[()\[\]DPp|\\/] | <3+ | \^[_.-]?\^){_END}                        # :-) ;P <3 ^_^
    | (?:{_LETTER}\.)+{_LETTER}{_END}\.? | {_ABBREVIATION}                                 # U.S. Mr.
    | \d\d?(?P<date>[-/])\d\d?(?P=date)\d{{2,4}}{_END} | \d{{4}}-\d\d-\d\d{_END} | \d\d?/\d\d?{_END}  # dates
    | (?:1-)?(?:\d{{3}}[-/])?\d{{3}}-\d{{4}}{_END} | \d{{5}}-\d{{4}}{_END}                 # telephone, ZIP code
    | \d+(?:[.,:]\d+)*(?=(?i:[ap]\.?m|[kmb]n?|[cmk]m|k?hz|k?g|lbs?|ft|hrs?|mins?|x){_END}) # 5|pm, 3.5|m
    | \d+(?:[.,:]\d+)+ | ['’]?\d*0['’]?s{_END} | ['’]\d\d{_END}                            # 1,000.50, 80's, '07
    | (?i:can(?=not{_END}) | (?:gon|wan)(?=na{_END}) | got(?=ta{_END}))
    | (?i:ca|do|does|did|wo|is|was|are|were|have|has|had|could|would|should|ai)(?=(?i:nt{_END})) # without apostrophe
    | \w+?(?=(?i:n['’]t{_END})) | (?i:n['’]t{_END}) | {_CLITIC} | ['’]em{_END}
    | [A-Z]{{1,4}}&[A-Z]{_END} | w/o?{_END}                                                # AT&T
    | (?i:e|non|pre|re|co|anti|post|mid|pro|multi|semi|ex|neo|sub|over|ultra|inter|intra)-(?=\w\w){_IN_WORD}+
    | [^\W_](?:{_IN_WORD}*[^\W_])?[{_MARKS}]*(?:(?!{_CLITIC})['’]{_IN_WORD}*[^\W_])*
    | [.…!?]+ | (?P<mark>[-–—=*~<>+_\#'’`|,])(?P=mark)+                                    # ... ?! --
    | [\U0001f1e6-\U0001f1ff]{{2}} | \S[{_MARKS}\U0001f3fb-\U0001f3ff\ufe0e\ufe0f]*        # flag, other symbol
      (?:(?<=\u200d)[^\w\s][{_MARKS}\U0001f3fb-\U0001f3ff\ufe0e\ufe0f]*)*                  # joined emoji
    """,
    re.VERBOSE,
)
BETWEEN_SPACES = re.compile(r"[^ \t\r\v\f]+")


def split_words(text: str) -> list[str]:
    """The words and punctuation marks of a text in order, as above, in NFC; nothing but white space is left out."""
    return [match.group() for match in WORD.finditer(nfc(text))]


def split_at_spaces(text: str) -> list[str]:
    """The words, in NFC, of a text with spaces (or tabs) between all words; a no-break space is part of one."""
    return BETWEEN_SPACES.findall(nfc(text))

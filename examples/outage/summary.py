"""Whether an exported summary is filled: every section of the layout, and no "no data". Pure."""

from __future__ import annotations

from incidents.reports.layout import NO_DATA, SLOTS, known_slot, unnumbered


def unfilled(text: str, lang: str) -> list[str]:
    """Return what a summary as Markdown lacks: absent or empty sections, and lines that say "no data".

    ``lang`` is ``ko`` or ``en``, the language that it was exported in.
    """
    bodies = sections(text)
    by_slot = {known_slot(unnumbered(title)): title for title in bodies}
    found = [f"{slot}: no such section" for slot in SLOTS if slot not in by_slot and slot != "title"]
    for title, body in bodies.items():
        if not body:
            found.append(f"{title}: empty")
        found += [f"{title}: {line}" for line in body if NO_DATA[lang].lower() in line.lower()]
    return found


def sections(text: str) -> dict[str, list[str]]:
    """Return the lines under each heading by its title, blank lines and rules left out.

    A heading below another one is a line of it, too.
    """
    found: dict[str, list[str]] = {}
    path: list[tuple[int, str]] = []
    fenced = False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        level = 0 if fenced else len(line) - len(line.lstrip("#"))
        if level and line[level : level + 1] == " ":
            title = line[level + 1 :].strip()
            path = [one for one in path if one[0] < level]
            for _level, parent in path:
                found[parent].append(title)
            path.append((level, title))
            found.setdefault(title, [])
        elif line.strip(" -") and path:
            found[path[-1][1]].append(line)
    return found

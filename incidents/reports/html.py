"""Report Markdown to HTML: rendered by markdown-it, cleaned by nh3, so that no cell can bring a script."""

from __future__ import annotations

import base64
import hashlib
from html import escape

import nh3
from markdown_it import MarkdownIt

from incidents.reports.layout import GENERATED
from incidents.reports.scan import lines_of

_MARKDOWN = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("table")
_TAGS = {
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "br", "hr", "ul", "ol", "li", "blockquote", "pre"),
    *("table", "thead", "tbody", "tr", "th", "td", "strong", "em", "code", "a"),
}
_ATTRIBUTES = {"a": {"href", "title"}, "code": {"class"}, "ol": {"start"}}
_STYLE = """
body{font:15px/1.6 "Noto Sans KR","Apple SD Gothic Neo","Malgun Gothic",sans-serif;max-width:60rem;
margin:2rem auto;padding:0 1rem;color:#1a1a1a;word-break:keep-all;overflow-wrap:break-word}
table{border-collapse:collapse;margin:1rem 0}th,td{border:1px solid #bbb;padding:.35rem .7rem;text-align:left}
pre{background:#f5f5f4;padding:.8rem;overflow-x:auto;white-space:pre-wrap}code{font-family:monospace}
hr{border:0;border-top:1px solid #ccc;margin:1.5rem 0}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin:1.4rem 0 .5rem}h3{font-size:1rem;margin:1.1rem 0 .4rem}
.p-origin{font-size:.62rem;font-weight:500;line-height:1;margin-left:.25rem;padding:0 .25rem;
border:1px solid #9aa3ad;border-radius:3px;color:#414b57;white-space:nowrap}
.p-origin a{color:inherit;text-decoration:none}
.p-origin.is-inferred{border-style:dashed}.p-origin.is-person{border-style:double;border-width:3px}
.p-legend{font-size:.8rem;color:#414b57}.p-legend span{margin-right:1rem;white-space:nowrap}
.p-sources{font-size:.8rem;border-top:1px solid #ccc;margin-top:1.5rem}
@media screen and (max-width:700px){table{display:block;overflow-x:auto}code{overflow-wrap:anywhere}}
@page{size:A4;margin:16mm 15mm 18mm;
@bottom-right{content:counter(page) " / " counter(pages);font-size:8pt;color:#666}}
@media print{body{margin:0;padding:0;max-width:none;font-size:10pt;line-height:1.45}
pre,tr,li{break-inside:avoid}h1,h2,h3{break-after:avoid}td code{font-size:7.5pt;word-break:break-all}
thead{display:table-header-group}
hr{display:none}table{width:100%;font-size:9pt}pre{font-size:8.5pt;border:1px solid #ddd}
.p-legend span{white-space:normal}}
"""
#: The style as a source of a Content-Security-Policy: :func:`page` writes exactly these bytes.
STYLE_HASH = f"'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"


def fragment(markdown: str) -> str:
    """Return safe HTML of ``markdown`` for embedding in a page."""
    html = _MARKDOWN.render(_boxes(markdown))
    return nh3.clean(html, tags=_TAGS, attributes=_ATTRIBUTES, url_schemes={"http", "https", "mailto"})


def page(body: str, title: str, language: str) -> str:
    """Return a whole document around safe HTML that also prints well; it refers to nothing outside itself."""
    return (
        f'<!doctype html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"{body}</body>\n</html>\n"
    )


def _boxes(markdown: str) -> str:
    """Print the boxes of the checklist as characters, and no note that is meant for importing only."""
    lines, _opened = lines_of(markdown)
    marks = {"- [ ] ": "- ☐ ", "- [x] ": "- ☑ "}
    return "\n".join(
        marks[line.text[:6]] + line.text[6:] if not line.fenced and line.text[:6] in marks else line.text
        for line in lines
        if line.fenced or line.text.strip() != GENERATED
    )

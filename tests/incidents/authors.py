"""Fifty outage reports as fifty people would write them; made from habits of writing, not from any parser.

Each author has habits (language, headings, bullets, tables, code, boxes, line ends, odd characters) that are
drawn from lists of how people write Markdown. The same number gives the same report.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

COUNT = 50

SERVICES = (
    "api-gateway",
    "frontend",
    "주문-서버",
    "billing worker",
    "redis|cache",
    "`nginx`",
    "DB (primary)",
)
CAUSES = {
    "ko": (
        "WebSocket 재연결이 멈추지 않아 CPU가 102%까지 올라감",
        "커넥션 풀 고갈 (최대 50개 중 50개 사용)",
        "인증서 만료 → 로그인 실패 <br> 알림 없음",
        "배포 v2.3.1 이후 메모리 누수, *확인 중*",
        "디스크 100% [그래프](https://grafana.example.com/d/abc?x=1&y=2)",
    ),
    "en": (
        "Reconnect storm drove the gateway to 102.8% CPU",
        "Pool exhausted: 50/50 connections & rising",
        "Certificate expired; nobody was paged <!-- sic -->",
        "Memory leak since v2.3.1 (see #4412)",
        "Disk full: /var/log grew 10 GB in 3 h",
    ),
}
ITEMS = {
    "ko": (
        "지수 백오프 추가",
        "메모리 제한 2GB 설정",
        "Nginx Connection 헤더 수정",
        "알림 채널 점검 🔔",
        "로그 회전",
    ),
    "en": (
        "Add exponential backoff",
        "Limit memory to 2 GB",
        "Fix Connection header",
        "Page somebody 🔔",
        "Rotate logs",
    ),
}
HEADINGS = {
    "ko": (
        ("🔴 근본 원인 (한 줄 요약)", "근본 원인", "1. 근본원인 요약", "**근본 원인**", "원인이 뭐였나"),
        ("📊 현재 상태", "현재 상태", "서비스 현황", "2. 상태", "상황판"),
        ("🐛 문제 상세", "문제 상세", "문제 상황", "무슨 일이 있었나"),
        ("⚠️ 원인 분석", "원인 분석", "근본 원인 분석", "왜?"),
        ("🔧 해결 방안", "조치 방안", "해결책", "어떻게 고쳤나"),
        ("✅ 체크리스트 (재발 방지)", "재발 방지", "체크리스트", "할 일"),
        ("타임라인", "📎 부록 A", "회고", "감사의 말"),
    ),
    "en": (
        ("🔴 Root cause (in one line)", "Root Cause", "ROOT CAUSE SUMMARY", "What broke", "1) Root cause"),
        ("📊 Current state", "Status", "Service status", "2. Current Status", "State of play"),
        ("🐛 Problem details", "Problems", "Problem details", "What users saw"),
        ("⚠️ Cause analysis", "Root cause analysis", "Causes", "Five whys"),
        ("🔧 Resolution", "Remediation", "Fixes", "What we did"),
        ("✅ Checklist (prevention)", "Prevention", "Checklist", "Action items"),
        ("Timeline", "📎 Appendix A", "Lessons learned", "Thanks"),
    ),
}
TABLES = {
    "ko": ("서비스", "상태", "CPU", "메모리"),
    "en": ("Service", "Status", "CPU", "Memory"),
}
OTHER_TABLES = {
    "ko": (("서버", "이상 여부", "부하", "RSS"), ("서비스", "CPU", "메모리"), ("항목", "값")),
    "en": (("Host", "Verdict", "Load", "RSS"), ("Service", "CPU", "Memory"), ("Key", "Value")),
}


class Author:
    """One person's habits and dice."""

    def __init__(self, number: int) -> None:
        self.dice = random.Random(number)  # noqa: S311 - the same number, the same report
        self.language = ("ko", "en")[number % 2]
        self.bullet = self.dice.choice(("-", "*", "+", "1.", "1)", " -", "•"))
        self.box = self.dice.choice(("- [ ]", "* [ ]", "+ [x]", "- [X]", "1. [ ]", "-[ ]", "☐", "- []"))
        self.fence = self.dice.choice(("```", "~~~", "````", "```bash", "~~~sh", "``` yaml title=x", "    "))
        self.setext = number % 7 == 3
        self.level = self.dice.choice(("##", "##", "##", "#", "###"))
        self.closed = number % 11 == 4
        self.pipes = number % 3 != 1
        self.tabs = number % 5 == 2

    def pick(self, choices: Sequence[str]) -> str:
        """Return one of ``choices``."""
        return self.dice.choice(choices)

    def heading(self, text: str, level: str = "") -> list[str]:
        """Write a heading as this person does."""
        level = level or self.level
        if self.setext and level in ("#", "##"):
            return ["", text, ("=" if level == "#" else "-") * self.dice.choice((3, 4, len(text)))]
        return ["", f"{level} {text}" + (f" {level}" if self.closed else "")]

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
        """Write a table, with or without its outer pipes."""
        rule = [self.pick(("---", ":--", ":-:", "-----:")) for _cell in header]
        lines = [header, rule, *rows]
        joined = [" | ".join(cell.replace("|", "\\|") for cell in line) for line in lines]
        return [""] + ([f"| {line} |" for line in joined] if self.pipes else joined) + [""]

    def bullets(self, texts: Sequence[str], depth: int = 2) -> list[str]:
        """Write a list, often with lists in it."""
        lines = [""]
        for text in texts:
            lines.append(f"{self.bullet} {text}")
            if depth and self.dice.random() < 0.4:
                indent = "\t" if self.tabs else "  " * self.dice.choice((1, 2))
                lines += [
                    f"{indent}{line}" for line in self.bullets([f"{text} ({depth})"], depth - 1) if line
                ]
        return lines

    def code(self, lines: Sequence[str]) -> list[str]:
        """Write code, fenced or indented."""
        if self.fence == "    ":
            return ["", *(f"    {line}" for line in lines), ""]
        closing = self.fence[: len(self.fence) - len(self.fence.lstrip(self.fence[0]))]
        return ["", self.fence, *lines, closing, ""]


def _status(author: Author) -> list[str]:
    rows = [
        (
            name,
            author.pick(("🔴 **CRITICAL**", "🟢 Healthy", "정상", "down!", "❌")),
            author.pick(("102.80%", "<1%", "n/a", "**99**", "")),
            author.pick(("10.23 GB", "257 MB", "-", "OOM")),
        )
        for name in author.dice.sample(SERVICES, 3)
    ]
    choice = author.dice.random()
    if choice < 0.5:
        return author.table(TABLES[author.language], rows)
    if choice < 0.8:
        header = author.pick(OTHER_TABLES[author.language])  # type: ignore[arg-type] # a tuple of words
        return author.table(header, [row[: len(header)] for row in rows])
    return author.bullets([f"{row[0]}: {row[1]} / {row[2]}" for row in rows])


def _problems(author: Author) -> list[str]:
    lines = []
    for number, cause in enumerate(author.dice.sample(CAUSES[author.language], 2), 1):
        lines += author.heading(author.pick((f"{number}. {cause[:20]}", cause[:15], f"({number}) !")), "###")
        lines += [
            cause,
            *author.code([f"ERROR {cause[:12]}", "... (220,000 lines)", "", "$ docker ps | head"]),
        ]
        lines += author.pick(
            (
                ["> quoted", "> > quoted twice", ">> and again"],
                ["<details><summary>로그</summary>", "", "줄 1", "</details>"],
                ["| 경로 | 결과 |", "|---|---|", "| `localhost` | ✅ |", "| wss://a/ws | ❌ 502 |"],
                ["footnote[^1]", "", "[^1]: see <https://example.com/a_b>"],
                ["line one  ", "line two\\", "line three"],
            )  # type: ignore[arg-type] # lists of lines
        )
    return lines


def _causes(author: Author) -> list[str]:
    names = {
        "ko": ("직접적 원인", "2차 원인", "그 밖"),
        "en": ("Direct causes", "Contributing causes", "Misc"),
    }
    lines = []
    for name in names[author.language]:
        lines += author.heading(name, author.pick(("###", "###", "####", "##")))
        lines += author.bullets(author.dice.sample(CAUSES[author.language], 2))
    return lines


def _fixes(author: Author) -> list[str]:
    names = {
        "ko": ("즉시 조치 (Emergency)", "코드 수정", "Nginx 수정", "장기적 개선"),
        "en": ("Immediate actions", "Code changes", "Nginx change", "Long-term improvements"),
    }[author.language]
    header = {"ko": ("파일", "수정 내용", "우선순위"), "en": ("File", "Change", "Priority")}[author.language]
    rows = [
        (f"src/{n}.py", item, author.pick(("P0", "P1", "높음", "urgent", "P9", "")))
        for n, item in enumerate(author.dice.sample(ITEMS[author.language], 2))
    ]
    lines = author.heading(names[0], "###") + author.code(
        ["# 1. restart", "docker restart api-gateway", "ls -l"]
    )
    lines += author.heading(names[1], "###") + author.table(header, rows)
    lines += author.heading(names[2], "###") + author.code(["location /ws {", "  proxy_pass http://a;", "}"])
    return (
        lines
        + author.heading(names[3], "###")
        + author.bullets(author.dice.sample(ITEMS[author.language], 3))
    )


def _checklist(author: Author) -> list[str]:
    lines = [""]
    for item in ITEMS[author.language]:
        lines.append(f"{author.box} {item}")
        if author.dice.random() < 0.3:
            lines.append(f"    {author.box} {item} — sub")
        if author.dice.random() < 0.2:
            lines += ["", f"   {item}: why"]
    return lines


def _extra(author: Author) -> list[str]:
    return [
        *author.bullets([f"09:{author.dice.randrange(60):02d} {cause}" for cause in CAUSES[author.language]]),
        "",
        author.pick(("***", "* * *", "___", "---")),
        "",
        author.pick(("끝.", "the end", "<center>fin</center>", "​zero width​", "é vs é", "— ✍️ 👩🏽‍💻 1️⃣")),
    ]


def write(number: int) -> str:
    """Return the report of author ``number`` (0 to 49)."""
    author = Author(number)
    title = {"ko": "API 게이트웨이 장애", "en": "Gateway outage"}[author.language]
    suffix = author.pick(("", " - 요약 보고서", " – Postmortem", ": Summary report", " 📉"))
    lines = author.heading(f"{title} {number}{suffix}", "#") if number % 9 != 5 else [f"**{title} {number}**"]
    stamp = {"ko": "**분석 일시:** ", "en": "**Analysed:** "}[author.language]
    lines += [
        "",
        stamp + author.pick(("2026-02-06 09:15 (KST)", "2026.02.06", "Feb 6, 9am", "2026-02-06T00:15Z")),
        "",
    ]
    parts: list[Callable[[Author], list[str]]] = [
        lambda one: ["", f"**{one.pick(CAUSES[one.language])}**", "", one.pick(CAUSES[one.language])],
        *(_status, _problems, _causes, _fixes, _checklist, _extra),
    ]
    order = list(range(len(parts)))
    if number % 4 == 2:
        author.dice.shuffle(order)
    left_out = set(author.dice.sample(order, number % 3))
    for place in order:
        if place in left_out:
            continue
        lines += author.heading(author.pick(HEADINGS[author.language][place])) + parts[place](author)
        if author.dice.random() < 0.5:
            lines += ["", "---"]
    if number % 13 == 6:
        lines += author.heading(author.pick(HEADINGS[author.language][1])) + _status(author)
    if number % 10 == 9:
        lines += ["", "```", "never closed"]
    text = "\n".join(lines) + ("\n" if number % 8 else "")
    if number % 6 == 1:
        text = text.replace("\n", "\r\n")
    return "\ufeff" + text if number % 12 == 7 else text

"""The layout of a report: its slots in order, their headings and tables in Korean and English."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta, timezone

KST = timezone(timedelta(hours=9), "KST")
LANGUAGES = ("ko", "en")
NO_DATA: Mapping[str, str] = {"ko": "데이터 없음", "en": "No data"}
UNTITLED: Mapping[str, str] = {"ko": "제목 없음", "en": "Untitled"}
ANALYSED: Mapping[str, str] = {"ko": "분석 일시", "en": "Analysed"}
ACCESS_TITLE: Mapping[str, str] = {"ko": "외부 접속 결과", "en": "External access"}
PROXY_TITLE: Mapping[str, str] = {"ko": "Nginx Proxy Manager 수정", "en": "Nginx Proxy Manager change"}
SUFFIX: Mapping[str, Mapping[str, str]] = {
    "summary": {"ko": "요약 보고서", "en": "Summary report"},
    "detail": {"ko": "상세 보고서", "en": "Detailed report"},
}
#: Marks a section that the detailed report adds from the record; importing rebuilds it.
GENERATED = "<!-- bonghwa:generated -->"

#: Slots in the order of the layout with the group (level-2 section) that holds each.
SLOTS: Mapping[str, str] = {
    "title": "title",
    "root_cause": "root_cause",
    "status": "status",
    "problems": "problems",
    "access": "problems",
    "causes": "causes",
    "direct": "causes",
    "secondary": "causes",
    "code": "causes",
    "fixes": "fixes",
    "emergency": "fixes",
    "code_fixes": "fixes",
    "proxy": "fixes",
    "long_term": "fixes",
    "files": "files",
    "checklist": "checklist",
}
ORDER: Mapping[str, int] = {slot: position for position, slot in enumerate(SLOTS)}
GROUPS = ("root_cause", "status", "problems", "causes", "fixes", "files", "checklist")

HEADINGS: Mapping[str, Mapping[str, str]] = {
    "ko": {
        "root_cause": "🔴 근본 원인 (한 줄 요약)",
        "status": "📊 현재 상태",
        "problems": "🐛 문제 상세",
        "causes": "⚠️ 원인 분석",
        "direct": "직접적 원인",
        "secondary": "2차적 원인",
        "code": "코드 문제점",
        "fixes": "🔧 해결 방안",
        "emergency": "즉시 조치 (Emergency)",
        "code_fixes": "코드 수정 (Backend)",
        "long_term": "장기적 개선",
        "files": "📁 보고서 파일",
        "checklist": "✅ 체크리스트 (재발 방지)",
    },
    "en": {
        "root_cause": "🔴 Root cause (in one line)",
        "status": "📊 Current state",
        "problems": "🐛 Problem details",
        "causes": "⚠️ Cause analysis",
        "direct": "Direct causes",
        "secondary": "Secondary causes",
        "code": "Code problems",
        "fixes": "🔧 Resolution",
        "emergency": "Immediate actions (Emergency)",
        "code_fixes": "Code changes (Backend)",
        "long_term": "Long-term improvements",
        "files": "📁 Report files",
        "checklist": "✅ Checklist (prevention)",
    },
}

_SYNONYMS: Mapping[str, str] = {
    "root_cause": "근본원인 근본원인요약 한줄요약 핵심원인 rootcause rootcausesummary onelinesummary",
    "status": "현재상태 상태 현재상황 서비스상태 서비스현황 현재현황 currentstate currentstatus status"
    " servicestatus",
    "problems": "문제상세 상세문제 문제내용 문제상황 문제점상세 problemdetails problemdetail problems",
    "access": "외부접속결과 외부접속 외부접근결과 외부접속확인 externalaccess externalaccessresults",
    "causes": "원인분석 근본원인분석 causeanalysis rootcauseanalysis causes",
    "direct": "직접적원인 직접원인 directcause directcauses",
    "secondary": "2차적원인 2차원인 이차적원인 이차원인 간접원인 간접적원인 secondarycause secondarycauses"
    " indirectcauses contributingcauses",
    "code": "코드문제점 코드문제 코드상문제점 codeproblems codeproblem codeissues",
    "fixes": "해결방안 해결방법 조치방안 해결책 resolution fixes solution solutions remediation",
    "emergency": "즉시조치 긴급조치 즉각조치 emergency emergencyactions immediateactions immediateaction",
    "code_fixes": "코드수정 코드수정사항 codefix codefixes codechange codechanges",
    "proxy": "nginxproxymanager수정 nginx수정 nginx설정수정 프록시수정 nginxproxymanagerchange"
    " nginxproxymanagerchanges proxychange proxychanges nginxchange nginxchanges",
    "long_term": "장기적개선 장기개선 장기개선사항 장기적개선사항 longterm longtermimprovements",
    "files": "보고서파일 관련보고서 reportfiles reportfile",
    "checklist": "체크리스트 재발방지체크리스트 재발방지 checklist preventionchecklist prevention",
}
_BY_NAME = {name: slot for slot, names in _SYNONYMS.items() for name in names.split()}
_NUMBER = re.compile(r"^\d{1,2}[.)]\s+")
_PROXY = re.compile(r"nginx|proxy|프록시", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the layout: printed header and rule, and other names of its columns."""

    header: Mapping[str, tuple[str, ...]]
    rule: Mapping[str, str]
    names: tuple[str, ...]

    def columns(self, header: tuple[str, ...]) -> tuple[int, ...] | None:
        """Return for each column of the layout its position in ``header``, or None if it does not fit.

        A header that names every column may have them in any order; another one of the same width is
        taken by position.
        """
        if len(header) != len(self.names):
            return None
        plain = [squeeze(cell) for cell in header]
        places = [
            next((index for index, cell in enumerate(plain) if cell in names.split()), -1)
            for names in self.names
        ]
        return tuple(places) if sorted(places) == list(range(len(header))) else tuple(range(len(header)))


TABLES: Mapping[str, Table] = {
    "status": Table(
        {"ko": ("서비스", "상태", "CPU", "메모리"), "en": ("Service", "State", "CPU", "Memory")},
        {"ko": "|--------|------|-----|--------|", "en": "|---------|-------|-----|--------|"},
        ("서비스 서버 컨테이너 service container", "상태 state status", "cpu", "메모리 memory ram mem"),
    ),
    "access": Table(
        {"ko": ("경로", "결과"), "en": ("Path", "Result")},
        {"ko": "|------|------|", "en": "|------|--------|"},
        ("경로 주소 path url endpoint", "결과 상태 result status"),
    ),
    "code": Table(
        {"ko": ("문제", "현재", "올바른 동작"), "en": ("Problem", "Current", "Right behaviour")},
        {"ko": "|------|------|-------------|", "en": "|---------|---------|-----------------|"},
        (
            "문제 항목 problem issue",
            "현재 현재동작 current",
            "올바른동작 권장 기대동작 rightbehaviour expected",
        ),
    ),
    "code_fixes": Table(
        {"ko": ("파일", "수정 내용", "우선순위"), "en": ("File", "Change", "Priority")},
        {"ko": "|------|----------|----------|", "en": "|------|--------|----------|"},
        ("파일 file", "수정내용 내용 변경 change", "우선순위 priority"),
    ),
}


def own_columns(slot: str, header: tuple[str, ...]) -> bool:
    """Return whether every cell of ``header`` is one of the layout's own words, in any language.

    Emphasis around it and capitals may differ; anything else would be lost when the word is printed.
    """
    words = {_spelt(cell) for cells in TABLES[slot].header.values() for cell in cells}
    return all(_spelt(cell) in words for cell in header)


def _spelt(cell: str) -> str:
    return unicodedata.normalize("NFKC", cell).strip("*_` \t").lower()


def squeeze(text: str) -> str:
    """Return the letters and digits of ``text`` in lower case, without what stands in parentheses."""
    bare = re.sub(r"\([^()]*\)", "", unicodedata.normalize("NFKC", text))
    return "".join(char for char in bare.lower() if char.isalnum())


def numbered(number: int, heading: str) -> str:
    """Return ``heading`` behind its number; from 100 on without one, which :func:`unnumbered` would leave."""
    return f"{number}. {heading}" if number < 100 else heading


def unnumbered(heading: str) -> str:
    """Return ``heading`` without its leading ``1.`` (at most two digits)."""
    return _NUMBER.sub("", heading, count=1)


def known_slot(heading: str) -> str | None:
    """Return the slot that a heading names, in either language or in both (``상태 / Status``), or None."""
    if slot := _BY_NAME.get(squeeze(unnumbered(heading))):
        return slot
    named = {_BY_NAME.get(squeeze(part)) for part in unnumbered(heading).split("/")}
    return named.pop() if len(named) == 1 else None


def names_proxy(heading: str) -> bool:
    """Return whether a heading under the fixes is about the proxy."""
    return bool(_PROXY.search(heading))


def is_canonical(slot: str, heading: str) -> bool:
    """Return whether ``heading`` is the layout's own wording of ``slot`` in any language."""
    return any(HEADINGS[language].get(slot) == heading for language in LANGUAGES)

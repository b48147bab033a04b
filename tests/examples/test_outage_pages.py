"""The demonstration's eyes: the pages' forms, what a new draft fills, and whether a summary is filled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from django.contrib.auth.models import User
from websockets.sync.client import connect

from examples.outage import people, stage
from examples.outage.acts import file_name
from examples.outage.offers import chosen
from examples.outage.proxy import Proxy
from examples.outage.summary import unfilled
from incidents.roles import EDITOR

SEED = Path(__file__).parents[2] / "incidents" / "data" / "seed-report.md"


def test_the_seed_is_filled_and_what_is_taken_out_of_it_is_named() -> None:
    text = SEED.read_text(encoding="utf-8")
    table = text[text.index("| 경로 | 결과 |") : text.index("## ⚠️")]

    assert unfilled(text, "ko") == []
    assert unfilled(text.replace(table, "\n---\n\n"), "ko") == ["3. 외부 접속 결과: empty"]
    assert unfilled(text.replace(table, "데이터 없음\n\n"), "ko") == ["3. 외부 접속 결과: 데이터 없음"]
    assert unfilled(text.replace("### 장기적 개선", "### 그 밖에"), "ko") == ["long_term: no such section"]


OFFERED = """<form id="draft_form"><ul>
<li><input type="checkbox" name="row" value="new"><span class="p-change is-new">New</span><ins>504</ins></li>
<li><input type="checkbox" name="row" value="before"><span class="p-change is-changed">Changed</span>
  <a href="/incidents/2/#evidence-9">E9</a><dd><del>OK</del></dd><dd><ins>504</ins></dd></li>
<li><input type="checkbox" name="row" value="after"><span class="p-change is-changed">Changed</span>
  <a href="/incidents/2/#evidence-11">E11</a><dd><del>12</del></dd><dd><ins>0</ins></dd></li>
<li><input type="checkbox" name="row" value="filled"><span class="p-change is-changed">Changed</span>
  <dd><del>데이터 없음</del></dd><dd><ins>Timeout</ins></dd></li>
<li><input type="checkbox" name="row" value="gone"><span class="p-change is-gone">Gone</span>
  <a href="/incidents/2/#evidence-9">E9</a><del></del></li>
</ul></form><li><span class="p-change is-new">Kept</span><a href="/incidents/2/#evidence-9">E9</a></li>"""


def test_a_new_draft_gives_what_was_missing_and_what_was_frozen_before_the_restart() -> None:
    assert chosen(OFFERED, {9, 10}) == ["new", "before", "filled"]


def test_forms_are_read_with_their_fields_boxes_and_buttons() -> None:
    forms, links = people.read(
        '<a href="/services/3/act/restart/?incident=2">x</a><form action="/other/"><button>Go</button></form>'
        '<form><input name="reason" value=""><input type="checkbox" name="row" value="a">'
        '<button name="verb" value="close" disabled>Close</button></form>'
    )

    assert links == ["/services/3/act/restart/?incident=2"]
    assert [form.action for form in forms] == ["/other/", ""]
    assert (forms[1].fields, forms[1].boxes) == ({"reason": ""}, {"row"})
    assert forms[1].buttons == [people.Button("verb", "close", disabled=True)]


def test_a_download_keeps_its_name_but_no_folder() -> None:
    assert file_name("attachment; filename*=utf-8''a_%EC%9A%94%EC%95%BD.md") == "a_요약.md"
    assert file_name('attachment; filename="../../etc/x.md"') == "x.md"


@pytest.mark.django_db
def test_accounts_are_the_demonstrations_own_and_gone_afterwards() -> None:
    User.objects.create_user(people.NAMES[EDITOR], "someone@example.com")

    with pytest.raises(stage.StageError, match="demo-editor"), people.Cast("http://127.0.0.1:1", "ko"):
        pass
    User.objects.update(email=people.MARK)
    with people.Cast("http://127.0.0.1:1", "ko") as cast:
        assert not User.objects.exists(), "left by a run that was killed"
        with pytest.raises(stage.StageError, match="/login/"):
            cast.enter(EDITOR)
        assert User.objects.get().groups.get().name == EDITOR
    assert not User.objects.exists()


@pytest.fixture
def repaired() -> Iterator[tuple[subprocess.Popen[str], Proxy]]:
    """The repaired program behind the proxy."""
    port = stage.free_port()
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, str(stage.HERE / "gateway.py")],
        env={**os.environ, "OUTAGE_CLIENT": "none", "OUTAGE_PORT": str(port)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    front = Proxy(port)
    yield process, front
    front.close()
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_proxy_passes_requests_and_websockets_on_and_says_when_nothing_answers(
    repaired: tuple[subprocess.Popen[str], Proxy],
) -> None:
    process, front = repaired
    with connect(f"ws://{front.address}/ws", proxy=None) as connection:
        assert connection.recv(timeout=5) == "hello"
    assert httpx.get(f"http://{front.address}/health").json() == {"status": "ok"}

    process.send_signal(signal.SIGSTOP)
    assert httpx.get(f"http://{front.address}/health", timeout=10).status_code == 504
    process.kill()
    process.wait()
    assert httpx.get(f"http://{front.address}/health").status_code == 502

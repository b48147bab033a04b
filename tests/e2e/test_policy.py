"""The Content-Security-Policy: every kind of page works under it, and what is injected does not."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser import Chromium
from tests.e2e.product import Product
from tests.e2e.test_pages import sign_in

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(300)]
#: A page of each family, signed in.
FAMILIES = (
    "/",
    "/services/1/",
    "/incidents/1/",
    "/incidents/1/report/",
    "/incidents/1/report/edit/",
    "/incidents/1/report/print/detail/",
    "/alerts/",
    "/audit/",
    "/monitors/add/",
    "/checklist/1/edit/",
    "/drills/",
    "/posture/",
    "/feed/",
    "/watch/",
    "/admin/",
    "/admin/incidents/channel/add/",
    "/admin/incidents/incident/",
    "/admin/incidents/incident/1/change/",
    "/admin/monitoring/rule/1/change/",
    "/admin/auth/user/1/password/",
    "/api/docs",
    "/no/such/page/",
)
PUBLIC = ("/status/", "/docs/feed/", "/login/", "/health", "/health/ready")
INJECT = """() => {
  window.injected = 0;
  for (const html of [
    "<img src=x: onerror='window.injected += 1'>", "<a id=inline onclick='window.injected += 1'>x</a>",
  ]) document.body.insertAdjacentHTML("beforeend", html);
  const script = document.createElement("script");
  script.textContent = "window.injected += 1";
  document.body.append(script);
  const elsewhere = document.createElement("script");
  elsewhere.src = "https://elsewhere.example/x.js";
  document.body.append(elsewhere);
  document.getElementById("inline").click();
}"""


def test_every_kind_of_page_works_under_its_policy(
    product: Product, admin_password: str, chromium: Chromium
) -> None:
    """The browser's console must stay empty: Chromium writes each refusal there."""
    policies: dict[str, str] = {}

    def steps(page: Page) -> None:
        for path in PUBLIC:
            answer = page.goto(product.url + path)
            assert answer is not None
            policies[path] = answer.headers["content-security-policy"]
        sign_in(page, product, admin_password)
        for path in FAMILIES:
            answer = page.goto(product.url + path, wait_until="load")
            assert answer is not None
            assert answer.status == (404 if "no/such" in path else 200), path
            policies[path] = answer.headers["content-security-policy"]
            if path == "/":
                expect(page.locator("[data-live-state]")).to_have_attribute("data-state", "open")
            if path == "/api/docs":
                expect(page.locator(".opblock").first).to_be_visible()

    chromium.visit(steps, expected="status of 404")

    for path, policy in policies.items():
        assert "frame-ancestors 'none'" in policy, path
        assert "base-uri 'none'" in policy, path
        assert "'unsafe-inline'" not in policy.replace("style-src-attr 'unsafe-inline'", ""), path
    assert {path for path, policy in policies.items() if "'unsafe-eval'" in policy}.isdisjoint(
        {"/status/", "/docs/feed/", "/api/docs", "/health", "/incidents/1/report/print/detail/"}
    )


@pytest.mark.parametrize("path", ["/login/", "/status/"])
def test_what_is_injected_into_a_page_does_not_run(product: Product, chromium: Chromium, path: str) -> None:
    def steps(page: Page) -> tuple[int, list[str]]:
        page.goto(product.url + path)
        page.evaluate("""() => {
          window.refused = [];
          document.addEventListener("securitypolicyviolation", (event) =>
            window.refused.push(`${event.effectiveDirective} ${event.blockedURI}`));
        }""")
        page.evaluate(INJECT)
        page.wait_for_function("window.refused.length >= 4")
        return page.evaluate("window.injected"), page.evaluate("window.refused")

    ran, refused = chromium.visit(steps, expected="Content Security Policy")

    assert ran == 0
    assert "script-src-elem inline" in refused
    assert "script-src-attr inline" in refused
    assert "script-src-elem https://elsewhere.example/x.js" in refused


def test_other_headers_come_with_every_answer(product: Product) -> None:
    for path in ("/login/", "/status/", "/", "/admin/", "/api/v1/gateway", "/health/ready", "/nowhere"):
        headers = httpx.get(product.url + path).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "same-origin", path
        assert "camera=()" in headers["permissions-policy"], path
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
    page = httpx.get(f"{product.url}/login/").headers
    assert page["cross-origin-opener-policy"] == "same-origin"
    assert page["x-frame-options"] == "DENY"
    assert httpx.get(f"{product.url}/health").headers["x-content-type-options"] == "nosniff"

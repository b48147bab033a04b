"""Plays one fault on a site and judges what is left. Import it once Django knows the product's database."""

from __future__ import annotations

import time

from tests.faults import stored
from tests.faults.series import Fault
from tests.faults.site import LOOK_S, Site
from tests.faults.table import Result

#: From falling ill to the message: three failing checks, the rule, the outbox, on a busy machine.
TOLD_WITHIN_S = 180.0


def play(site: Site, fault: Fault, slack: float = 1.0) -> Result:
    """Play one fault while a program falls ill, wait until everything works, and compare the ledger."""
    patient = "ill-" + "".join(letter if letter.isalnum() else "-" for letter in fault.name.lower())
    before = site.person.ledger.count()
    print(f"{fault.name} …", flush=True)
    if fault.ill:
        site.prepare(patient)
    with fault.play(site):
        began = time.monotonic()
        if fault.ill:
            site.fall_ill(patient)
        while time.monotonic() < began + fault.lasts:
            time.sleep(LOOK_S)
        meanwhile = site.person.ledger.count() - before
    since = time.monotonic() if fault.lasts else began
    promise = fault.promise * slack
    took, missing = site.recovered(since, promise)
    found = [*missing, *stored.problems(site.person.ledger)]
    if fault.works and not meanwhile:
        found.append("nobody could work meanwhile")
    lasts = f"{fault.lasts:g}" if fault.lasts else "-"
    written = site.person.ledger.count() - before
    result = Result(fault.name, lasts, took, promise, written, found)
    print(f"    {result.cells[3]} s, {result.cells[-1]}", flush=True)
    return result


def settle(site: Site, slack: float = 1.0) -> Result:
    """Wait until everything that fell ill is told, and compare everything once more."""
    began = time.monotonic()
    until = began + TOLD_WITHIN_S * slack
    while time.monotonic() < until:
        if all(stored.told(name, site.receiver) for name in site.ill):
            break
        time.sleep(1.0)
    took = time.monotonic() - began
    found = [*stored.problems(site.person.ledger), *stored.detected(site.ill, site.receiver)]
    name = f"all of these: {len(site.ill)} programs fell ill meanwhile"
    return Result(name, "-", took, TOLD_WITHIN_S * slack, site.person.ledger.count(), found)

"""One of several people who save the same version of a report at the same moment; prints what they were told.

Run as ``python -m tests.incidents.report_editor edit|sign`` with the settings of a migrated database in the
environment.
"""

from __future__ import annotations

import os
import sys

import django

from tests.together import await_the_others


def main(verb: str) -> str:
    """Wait for the word to go, then save a cause or sign off what was version 1."""
    from django.contrib.auth.models import User
    from django.utils import timezone

    from incidents.errors import IncidentError
    from incidents.models import Report, VersionKind
    from incidents.reports import review, versions

    report, user = Report.objects.get(), User.objects.get()
    await_the_others()
    try:
        if verb == "sign":
            review.sign_off(report=report, actor=user, at=timezone.now(), seen=1)
        else:
            with versions.edit(
                report, kind=VersionKind.EDITED, at=timezone.now(), actor=user, seen=1
            ) as held:
                held.causerow_set.create(kind="direct", text=f"by {os.getpid()}")
    except IncidentError as error:
        return type(error).__name__
    return "saved"


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    django.setup()
    sys.stdout.write(main(sys.argv[1]))

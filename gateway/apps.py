"""App configuration of the market-data gateway."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class GatewayConfig(AppConfig):
    """The Kiwoom upstream, the bus and the feed on ``/ws``."""

    name = "gateway"
    verbose_name = _("Market-data gateway")

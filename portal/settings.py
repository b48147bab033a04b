"""Settings: every value that differs between machines comes from the environment (see ``.env.example``)."""

from pathlib import Path

import dj_database_url
from django.templatetags.static import static
from django.utils.translation import gettext_lazy as _

from portal.env import data_dir, env, feed_config, secret_key, upstream_config
from portal.notify_env import CHANNEL_SCHEMES_DEFAULT, notify_policy

BASE_DIR = Path(__file__).resolve().parent.parent
env.read_env(str(BASE_DIR / ".env"), recurse=False)

DATA_DIR = data_dir(BASE_DIR)
SECRET_KEY = secret_key(DATA_DIR)
DEBUG = env.bool("DEBUG", False)
PORT = env.int("PORT", 5111)
BIND = env.str("BIND", "127.0.0.1")
PUBLIC_URL = env.str("PUBLIC_URL", f"http://127.0.0.1:{PORT}").rstrip("/")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
TRUSTED_PROXIES: list[str] = env.list("TRUSTED_PROXIES", [])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", [])
HTTPS = PUBLIC_URL.startswith("https://")

INSTALLED_APPS = [
    "gateway",  # before daphne, whose runserver it replaces
    "daphne",
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "unfold.contrib.simple_history",
    "portal",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "ninja",
    "axes",
    "simple_history",
    "django_celery_beat",
    "portal.monitoring",
    "portal.operations",
    "portal.dashboard",
    "incidents",
]

MIDDLEWARE = [
    "portal.health.HealthMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "portal.storable.StorableTextMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "portal.urls"
ASGI_APPLICATION = "portal.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "portal.dashboard.context.shell",
            ],
        },
    },
]

DATABASES = {
    "default": dj_database_url.parse(
        env.str("DATABASE_URL", f"sqlite:///{DATA_DIR / 'bonghwa.sqlite3'}"), conn_health_checks=True
    )
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

#: Embedded Valkey of ``make run`` listens on a port beside the web's when no REDIS_URL is given.
REDIS_URL = env.str("REDIS_URL", "") or f"redis://127.0.0.1:{env.int('EMBEDDED_REDIS_PORT', PORT + 2)}/0"
EMBEDDED_REDIS = not env.str("REDIS_URL", "")
DOCKER_HOST = env.str("DOCKER_HOST", "")

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.25
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_ENABLE_ADMIN = False
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"

LANGUAGE_CODE = env.str("LANGUAGE_CODE", "ko")
LANGUAGES = [("ko", "한국어"), ("en", "English")]
#: The second holds words of libraries; makemessages would drop them from the first, being not in our source.
LOCALE_PATHS = [BASE_DIR / "portal" / "locale", BASE_DIR / "portal" / "library_locale"]
FORMAT_MODULE_PATH = ["portal.formats"]
TIME_ZONE = env.str("TIME_ZONE", "Asia/Seoul")
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
WHITENOISE_USE_FINDERS = True

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
X_FRAME_OPTIONS = "DENY"

GATEWAY_UPSTREAM = upstream_config()
GATEWAY_FEED = feed_config()

NOTIFY_URLS: list[str] = env.list("NOTIFY_URLS", [])
NOTIFY_POLICY = notify_policy()
CHANNEL_KEY: list[str] = env.list("CHANNEL_KEY", [])
AUDIT_KEY: list[str] = env.list("AUDIT_KEY", [])
AUDIT_KEEP_DAYS = env.int("AUDIT_KEEP_DAYS", 1095)
CHANNEL_SCHEMES = frozenset(env.list("CHANNEL_SCHEMES", list(CHANNEL_SCHEMES_DEFAULT)))
CHANNEL_INTERNAL_TARGETS: list[str] = env.list("CHANNEL_INTERNAL_TARGETS", [])
#: Pinged once a minute while beat, workers, database and Redis are well; a secret, since it is all one needs.
DEADMAN_URL = env.str("DEADMAN_URL", "")
#: Seconds without a heartbeat of beat or of a queue's worker after which people are told.
HEARTBEAT_DEADLINE = env.float("HEARTBEAT_DEADLINE", 90.0)
#: Whether a web process watches beat and workers.
WATCHER = env.bool("WATCHER", True)
INCIDENT_RESOLVE_AFTER = env.float("INCIDENT_RESOLVE_AFTER", 300.0)

#: Services (``runtime:name`` patterns) that may be acted on besides those whose label allows it.
ACTION_TARGETS: list[str] = env.list("ACTION_TARGETS", [])
#: Restarts of a service in 30 minutes; seconds from the first to the second, and until its effect is checked.
ACTION_BUDGET = env.int("ACTION_BUDGET", 3)
ACTION_SPACING = env.float("ACTION_SPACING", 60.0)
ACTION_CHECK_AFTER = env.float("ACTION_CHECK_AFTER", 120.0)

PROBE_ALLOW: list[str] = env.list("PROBE_ALLOW", [])
PROBE_CONNECTIVITY: list[str] = env.list("PROBE_CONNECTIVITY", [])
PROBE_CA_FILE = env.str("PROBE_CA_FILE", "")

CELERY_BROKER_URL = REDIS_URL
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_DEFAULT_QUEUE = "collect"
CELERY_TASK_TIME_LIMIT = 60
CELERY_TASK_SOFT_TIME_LIMIT = 45
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BEAT_SCHEDULER = "portal.beat:HeartbeatScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5
CELERY_TIMEZONE = TIME_ZONE
DJANGO_CELERY_BEAT_TZ_AWARE = True

#: The portal's blue, as unfold wants it: a lightness, chroma and hue for each weight.
PRIMARY = {
    weight: f"oklch({light}% {chroma} 257)"
    for weight, light, chroma in (
        ("50", 97.5, 0.013), ("100", 94.5, 0.03), ("200", 89, 0.06), ("300", 81, 0.1), ("400", 71, 0.14),
        ("500", 61, 0.16), ("600", 51, 0.16), ("700", 45, 0.14), ("800", 39, 0.11), ("900", 34, 0.09),
        ("950", 27, 0.06),
    )
}  # fmt: skip


def favicon(request: object) -> str:
    """Return the icon's URL; the files' finder is ready only after start-up."""
    return static("portal/icon.svg")


def stylesheet(request: object) -> str:
    """Return the URL of the portal's own styles."""
    return static("portal/css/portal.css")


UNFOLD = {
    "SITE_TITLE": "Bonghwa",
    "SITE_HEADER": "봉화 Bonghwa",
    "SITE_SUBHEADER": _("Operations portal"),
    "SITE_URL": "/",
    "SITE_ICON": "portal.dashboard.navigation.icon",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": favicon}],
    "STYLES": [stylesheet],
    "SIDEBAR": {"navigation": "portal.dashboard.navigation.sidebar"},
    "COLORS": {"primary": PRIMARY},
    "SHOW_LANGUAGES": True,
    "SHOW_HISTORY": True,
    "SHOW_BACK_BUTTON": True,
}

LOGGING_CONFIG = "portal.logging.configure"
LOGGING = {"json": env.bool("LOG_JSON", False), "level": env.str("LOG_LEVEL", "INFO")}

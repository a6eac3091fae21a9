"""A Django service that is watched from within, in one file.

python -m examples.django_app runserver 8000    (pip install django)
"""

from __future__ import annotations

import atexit
import json
import sys
import threading
from functools import cache

from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from monitor import Monitor

if not settings.configured:
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["localhost", "127.0.0.1"])

_opening = threading.Lock()


@cache
def _open() -> Monitor:
    monitor = Monitor.open("config.toml", on_error="log")
    atexit.register(monitor.close)
    return monitor


def watched() -> Monitor:
    """The monitor, opened with the first request: so in the process that serves, and not in Django's other ones."""
    with _opening:
        return _open()


@csrf_exempt
@require_POST
def predict(request: HttpRequest) -> HttpResponse:
    """Predict, and have it recorded."""
    given = json.loads(request.body)
    row = {name: float(given[name]) for name in ("rooms", "area")}  # a form would say what is wrong with it
    price = 3.0 * row["rooms"] + 0.1 * row["area"]  # your model
    return JsonResponse({"price": price, "prediction_id": watched().observe(row, price)})


@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    """What Prometheus scrapes."""
    body, content_type = watched().metrics(request.headers.get("Accept", ""))
    return HttpResponse(body, content_type=content_type)


urlpatterns = [path("predict", predict), path("metrics", metrics)]
application = get_wsgi_application()

if __name__ == "__main__":
    execute_from_command_line(sys.argv)

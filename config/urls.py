"""One address for clients, whatever runs behind it."""

from django.conf import settings
from django.contrib import admin
from django.urls import URLResolver, include, path
from django.utils.module_loading import module_has_submodule
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from config import health, home, keys, problems
from config.idempotency.views import once


def _rooms() -> list[URLResolver]:
    from django.apps import apps

    return [
        path("v1/", include(f"{room}.urls"))
        for room in settings.ROOMS
        if module_has_submodule(apps.get_app_config(room).module, "urls")
    ]


urlpatterns = [
    path("", home.page, name="home"),
    *once(_rooms()),
    path("v1/schema", SpectacularAPIView.as_view(), name="schema"),
    path("v1/docs", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path(".well-known/jwks.json", keys.page, name="jwks"),
    path("health/live", health.live, name="live"),
    path("health/ready", health.ready, name="ready"),
    path("problems", problems.page, name="problems"),
    path("problems/<str:kind>", problems.page, name="problem"),
    path("admin/", admin.site.urls),
]
handler400 = "config.api.bad_request"
handler403 = "config.api.forbidden"
handler404 = "config.api.not_found"
handler500 = "config.api.server_error"

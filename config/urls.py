"""Routes: the API of every context, pages and probes."""

from django.conf import settings
from django.contrib import admin
from django.urls import URLResolver, include, path
from django.utils.module_loading import module_has_submodule
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from config import health
from edge import home, jwks, problem_pages
from edge.idempotency.views import with_idempotency


def _contexts() -> list[URLResolver]:
    from django.apps import apps

    return [
        path("v1/", include(f"{context}.urls"))
        for context in settings.CONTEXTS
        if module_has_submodule(apps.get_app_config(context).module, "urls")
    ]


urlpatterns = [
    path("", home.page, name="home"),
    *with_idempotency(_contexts()),
    path("v1/schema", SpectacularAPIView.as_view(), name="schema"),
    path("v1/docs", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path(".well-known/jwks.json", jwks.public_keys, name="jwks"),
    path("health/live", health.live, name="live"),
    path("health/ready", health.ready, name="ready"),
    path("problems", problem_pages.page, name="problems"),
    path("problems/<str:kind>", problem_pages.page, name="problem"),
    path("admin/", admin.site.urls),
]
handler400 = "edge.problem_details.bad_request"
handler403 = "edge.problem_details.forbidden"
handler404 = "edge.problem_details.not_found"
handler500 = "edge.problem_details.server_error"

"""The front page."""

from django.http import HttpRequest, HttpResponse


def page(request: HttpRequest) -> HttpResponse:
    """Show the house."""
    return HttpResponse("Kabar")

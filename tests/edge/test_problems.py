"""Every error of the API is a problem (RFC 9457), without internal details."""

from collections import Counter
from typing import Any
from uuid import UUID

import pytest
from django.test import Client

from edge.problem_pages import INVALID, KINDS, refusals

pytestmark = pytest.mark.urls("tests.edge.urls")
CORRELATION = "0190f3a1-0000-7000-8000-000000000001"


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


def problem_in(answer: Any, status: int) -> dict[str, Any]:
    """Return the problem, having looked that it is one."""
    assert answer.status_code == status, answer.content
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem.keys() == {"type", "title", "status", "detail", "errors"} | {
        "request_id",
        "trace_id",
    }
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    assert problem["trace_id"] == UUID(problem["request_id"]).hex
    assert Client().get(problem["type"]).status_code == 200
    assert UUID(problem["request_id"])
    assert "Traceback" not in answer.text
    assert "swordfish" not in answer.text
    return problem


def test_a_refusal_has_its_sentence_its_status_and_its_field(client: Client) -> None:
    problem = problem_in(client.get("/v1/broken/refusal"), 418)
    assert problem["title"] == "I'm a Teapot"
    assert problem["detail"] == "Tea of 101 degrees is not served."
    assert problem["errors"] == [{"field": "degrees", "detail": problem["detail"]}]
    assert problem["type"] == "/problems/TeapotTooHot"


def test_a_refusal_without_a_field_names_none(client: Client) -> None:
    assert problem_in(client.get("/v1/broken/gone"), 410)["errors"] == []


def test_a_refusal_during_validation_keeps_its_status(client: Client) -> None:
    tea = {"degrees": 101, "cups": [], "guests": []}
    answer = client.post("/v1/kettle", tea, content_type="application/json")
    assert problem_in(answer, 418)["errors"][0]["field"] == "degrees"


def test_every_invalid_field_is_listed_with_its_path(client: Client) -> None:
    tea = {
        "degrees": "hot",
        "cups": [{"sugar": 1}, {"sugar": 9}, {}],
        "guests": ["Ann", "Benjamin"],
    }
    problem = problem_in(client.post("/v1/kettle", tea, content_type="application/json"), 400)
    assert problem["detail"] == "The request is not valid."
    assert [error["field"] for error in problem["errors"]] == [
        "degrees",
        "cups[1].sugar",
        "cups[2].sugar",
        "guests[1]",
    ]
    assert problem["errors"][0]["detail"] == "A valid integer is required."
    assert [error["pointer"] for error in problem["errors"]] == [
        "#/degrees",
        "#/cups/1/sugar",
        "#/cups/2/sugar",
        "#/guests/1",
    ]


def test_a_body_of_the_wrong_type_is_a_problem_without_a_field(client: Client) -> None:
    problem = problem_in(client.post("/v1/kettle", [1], content_type="application/json"), 400)
    assert problem["errors"][0]["field"] == ""


@pytest.mark.parametrize("body", ["{", "", "\ud800".encode("utf-8", "surrogatepass"), b"\x00"])
def test_a_malformed_body_is_a_problem(client: Client, body: Any) -> None:
    problem_in(client.post("/v1/kettle", body, content_type="application/json"), 400)


@pytest.mark.parametrize(
    ("body", "words"),
    [('{"name": "\\ud800"}', "half a character"), ("[" * 100_000, "too deeply")],
)
def test_json_that_would_fail_later_is_refused(client: Client, body: str, words: str) -> None:
    answer = client.post("/v1/kettle", body, content_type="application/json")
    assert words in problem_in(answer, 400)["detail"]


def test_a_body_that_is_too_large_is_refused_unread(client: Client, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    answer = client.post("/v1/kettle", {"tea": "x" * 100}, content_type="application/json")
    assert problem_in(answer, 413)["detail"] == "The request is too large."


@pytest.mark.parametrize(("address", "status"), [("/v1/kettle%00", 404), ("/v1/kettle?a=%00", 400)])
def test_a_path_with_nul_gets_a_proper_answer(client: Client, address: str, status: int) -> None:
    problem_in(client.get(address), status)


def test_a_value_that_a_model_refuses_is_a_bad_request(client: Client) -> None:
    problem = problem_in(client.get("/v1/broken/model"), 400)
    assert problem["errors"] == [{"field": "sku", "detail": "This is no sku."}]


def test_a_missing_row_is_not_found_without_details(client: Client) -> None:
    problem = problem_in(client.get("/v1/broken/missing"), 404)
    assert "query" not in problem["detail"]


def test_an_anonymous_request_gets_www_authenticate(client: Client) -> None:
    answer = client.get("/v1/private")
    problem_in(answer, 401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_malformed_token_is_refused(client: Client) -> None:
    answer = client.get("/v1/private", headers={"authorization": "Bearer nonsense"})
    assert "token" in problem_in(answer, 401)["detail"].lower()


def test_a_method_that_is_not_allowed_says_which_are(client: Client) -> None:
    answer = client.put("/v1/kettle", {}, content_type="application/json")
    problem_in(answer, 405)
    assert "POST" in answer.headers["Allow"]


def test_an_unsupported_media_type_is_a_problem(client: Client) -> None:
    problem_in(client.post("/v1/kettle", "a,b", content_type="text/csv"), 415)


def test_an_unavailable_media_type_is_a_problem(client: Client) -> None:
    problem_in(client.get("/v1/broken/gone", headers={"accept": "image/png"}), 406)


@pytest.mark.parametrize(("kind", "status", "after"), [("throttled", 429, "7"), ("away", 503, "3")])
def test_a_retryable_refusal_has_retry_after(
    client: Client, kind: str, status: int, after: str
) -> None:
    answer = client.get(f"/v1/broken/{kind}")
    problem_in(answer, status)
    assert answer.headers["Retry-After"] == after


def test_a_bug_reveals_nothing_of_the_inside(client: Client) -> None:
    problem = problem_in(client.get("/v1/broken/bug"), 500)
    assert "request_id" in problem["detail"]


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_django_s_own_errors_are_problems_in_the_api_and_pages_elsewhere(
    client: Client, status: int
) -> None:
    problem_in(client.get(f"/v1/outside/{status}"), status)
    page = client.get(f"/outside/{status}")
    assert page.status_code == status
    assert page.headers["Content-Type"].startswith("text/html")
    assert "swordfish" not in page.text


def test_an_unknown_path_is_a_problem(client: Client) -> None:
    problem_in(client.get("/v1/nowhere"), 404)
    problem_in(client.get("/v1/orders/"), 404)
    problem_in(client.get("/v1/nowhere%00"), 404)


def test_an_unknown_host_is_a_problem(client: Client) -> None:
    answer = client.get("/v1/private", headers={"host": "elsewhere.example"})
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_the_client_s_request_id_is_kept(client: Client) -> None:
    answer = client.get("/v1/broken/gone", headers={"x-request-id": CORRELATION})
    assert problem_in(answer, 410)["request_id"] == CORRELATION


def test_a_browser_gets_a_page(client: Client) -> None:
    answer = client.get("/v1/broken/gone", headers={"accept": "text/html"})
    assert answer.status_code == 410
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "There is no teapot." in answer.text


def test_each_kind_of_problem_has_a_page_of_its_own(client: Client) -> None:
    for status, (name, _) in KINDS.items():
        assert f"status {status}" in client.get(f"/problems/{name}").text
    for refusal in refusals():
        page = client.get(f"/problems/{refusal.__name__}")
        assert page.status_code == 200
        assert f"status {refusal.status}" in page.text
    assert client.get("/problems").text.count("<section") == len(
        {INVALID} | {name for name, _ in KINDS.values()} | {r.__name__ for r in refusals()}
    )
    assert client.get("/problems/Nonsense").status_code == 404


def test_no_two_problems_share_a_name() -> None:
    names = Counter(refusal.__name__ for refusal in refusals())
    assert names.most_common(1)[0][1] == 1

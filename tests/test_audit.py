import json
import runpy
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from rendering import COMBINATIONS, ROOT

AUDIT = runpy.run_path(str(ROOT / "scripts" / "audit.py"))


def test_every_licence_of_a_service_is_judged(whole_service: Path) -> None:
    assert AUDIT["unjudged"](whole_service / ".venv") == set()


@pytest.mark.parametrize(
    ("metadata", "judged"),
    [
        ("", False),
        ("License: Free for friends\nand more of it", False),
        ("License-Expression: AGPL-3.0-only", False),
        ("License-Expression: MIT AND GPL-3.0-only", False),
        ("License-Expression: AGPL-3.0-only\nClassifier: License :: OSI Approved :: MIT License", False),
        ("License-Expression: MIT OR Apache-2.0", True),
        ("Classifier: License :: OSI Approved :: MIT License\nLicense: see LICENSE.txt", True),
        ("Classifier: License :: OSI Approved\nClassifier: License :: OSI Approved :: MIT License", True),
        ("Classifier: License :: OSI Approved", False),
    ],
)
def test_a_package_whose_licence_is_not_judged_is_named(tmp_path: Path, metadata: str, judged: bool) -> None:
    described = tmp_path / ".venv" / "lib" / "site-packages" / "mystery-1.0.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text(f"Metadata-Version: 2.4\nName: mystery\nVersion: 1.0\n{metadata}\n")
    found = AUDIT["unjudged"](tmp_path / ".venv")
    assert len(found) == (0 if judged else 1)
    assert all("mystery has a licence that nobody here has judged" in sentence for sentence in found)


KNOWN = {"id": "TEST-2026-1", "modified": "2026-01-01T00:00:00Z", "summary": "It is made up.", "affected": []}


class Advisories(BaseHTTPRequestHandler):
    """The part of OSV that is asked, with one vulnerability of one package."""

    vulnerable = ""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        self.answer(
            {"results": [{"vulns": [KNOWN]} if query["package"]["name"] == self.vulnerable else {} for query in asked]}
        )

    def do_GET(self) -> None:
        self.answer(KNOWN)

    def answer(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None: ...


@pytest.fixture
def advisories() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Advisories) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_known_vulnerability_is_named_unless_only_development_has_it(
    whole_service: Path, advisories: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for vulnerable, named in {"kombu": ["kombu", "TEST-2026-1"], "pytest": [], "": []}.items():
        monkeypatch.setattr(Advisories, "vulnerable", vulnerable)
        found = "".join(AUDIT["vulnerabilities"](whole_service, "--service-url", advisories))
        assert bool(found) == bool(named)
        assert all(word in found for word in named)


@pytest.mark.slow
def test_without_advisories_the_audit_fails_only_where_they_are_required(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setitem(AUDIT["main"].__globals__, "COMBINATIONS", {"bare-sqlite": COMBINATIONS["bare-sqlite"]})
    nobody = ["--service-url", "http://127.0.0.1:1"]
    AUDIT["main"](nobody)
    said = capsys.readouterr().out
    assert said.count("Known vulnerabilities were not looked up: ") == 1
    assert "http://127.0.0.1:1" in said
    monkeypatch.setenv("REQUIRED", "1")
    with pytest.raises(SystemExit, match="REQUIRED=1"):
        AUDIT["main"](nobody)

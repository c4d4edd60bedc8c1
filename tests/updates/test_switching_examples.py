"""The cookbook: no update adds it unasked, and it is switched on and off in a service that has been lived in."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import rendering
import yaml
from rendering import git, render, run
from updates.lived_in import (
    ASK_ROWS,
    EDITS_AT_THE_END,
    KEPT,
    OWN_TASK,
    ROWS,
    SAME_VERSION,
    after_update,
    ask_sqlite,
    commands,
    commit,
    edit,
    follow,
    live_in,
    start_repository,
    tree,
    type_in,
    undo,
    update,
    update_as_users_do,
    write_own_files,
)

WITHOUT_CELERY = {"use_celery": False, "use_redis": False}
UPDATES: dict[str, tuple[dict[str, Any], dict[str, Any], bool | None]] = {
    "nothing": ({}, {}, True),
    "Celery": (WITHOUT_CELERY, {"use_celery": True}, False),
    "Celery and a name": (WITHOUT_CELERY, {"use_celery": True, "project_name": "Shop"}, False),
    "Celery and the cookbook": (WITHOUT_CELERY, {"use_celery": True, "use_examples": True}, True),
    "no Celery": ({}, WITHOUT_CELERY, None),
    "another name": ({}, {"project_name": "Shop", "python_version": "3.11"}, True),
    "another name, without the cookbook": (
        {"use_examples": False},
        {"project_name": "S", "python_version": "3.11"},
        False,
    ),
    "nothing, of one that was given its name": ({"project_name": "Shop"}, {}, True),
}
"""By what an update is asked for: the answers before, those given with it, and the one on the cookbook after it."""
QUICK = ("Celery", "nothing, of one that was given its name")
OWN_WORDS = ("An open connection", "An encrypted connection")


@pytest.mark.usefixtures("jinja_alone")
@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in UPDATES]
)
def test_a_new_service_has_the_cookbook_and_an_update_adds_it_only_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    before, asked_for, examples = UPDATES[name]
    template = Path(shutil.copytree(rendering.snapshot, tmp_path / "template"))
    start_repository(template)
    monkeypatch.setattr(rendering, "snapshot", template)
    service = render(tmp_path / "service", **before)
    start_repository(service)
    update(service, **asked_for)
    assert yaml.safe_load((service / ".copier-answers.yml").read_text()).get("use_examples") == examples


@pytest.mark.slow
def test_the_cookbook_is_switched_on_in_a_service_that_has_lived_without_it(tmp_path: Path) -> None:
    service = tmp_path / "mein schöner service"
    own = live_in(service, "celery-sqlite")
    ask_sqlite(service / "service.db", *ROWS)
    secrets = (service / KEPT[1]).read_text()

    message = update_as_users_do(service, *SAME_VERSION, use_examples="true")
    assert not git(service, "ls-files", "--unmerged")
    follow(service, message)

    assert own.items() <= undo(tree(service), EDITS_AT_THE_END.items()).items()
    assert (service / KEPT[1]).read_text().startswith(secrets)
    run(service, "python", "-m", "app.core.config", APP_ENV="production")
    assert ask_sqlite(service / "service.db", ASK_ROWS) == ["ada@example.com|apple"]


@pytest.mark.slow
def test_the_cookbook_is_switched_off_where_databases_have_its_tables_and_edits_in_it_are_told(tmp_path: Path) -> None:
    service = tmp_path / "mein schöner service"
    own = live_in(service, "examples-sqlite") | write_own_files(service, OWN_TASK)
    edit(service / "app" / "core" / "mail.py", *OWN_WORDS)
    commit(service)
    ask_sqlite(service / "service.db", *ROWS)
    production = tmp_path / "production.db"
    production.write_bytes((service / "service.db").read_bytes())

    message = update_as_users_do(service, *SAME_VERSION, use_examples="false")
    said = after_update(service)
    assert "app/core/mail.py is gone, and your edits with it" in said
    steps = commands(said)
    of_mail = [step for step in steps if step.endswith(" app/core/mail.py")]
    assert len(of_mail) == 2
    for step in of_mail:
        type_in(service, step)
    assert OWN_WORDS[1] in (service / "app" / "core" / "mail.py").read_text()
    (service / "app" / "core" / "mail.py").unlink()
    for step in steps:
        if step not in of_mail:
            type_in(service, step)
    settings = service / KEPT[1]
    unread = re.findall(r"sets what nothing reads any longer: (.*)", after_update(service))[0].split(", ")
    assert {name.split("_")[0] for name in unread} == {"FILES", "PAYMENTS", "SMTP", "WEBHOOKS"}
    settings.write_text(re.sub(rf"^({'|'.join(unread)})=.*\n", "", settings.read_text(), flags=re.MULTILINE))
    for step in commands(message)[1:]:
        type_in(service, step)

    assert own.items() <= undo(tree(service), EDITS_AT_THE_END.items()).items()
    run(service, "alembic", "upgrade", "head", DATABASE_URL=f"sqlite+aiosqlite:///{production}")
    assert ask_sqlite(production, ASK_ROWS) == ["ada@example.com|apple"]
    tables = ask_sqlite(production, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    assert tables == ["alembic_version", "parcels", "task_outbox", "user_statistics", "users"]

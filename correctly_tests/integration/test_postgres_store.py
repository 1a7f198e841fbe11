"""The store on a real PostgreSQL: every test of the tables again, and what only a server can do."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from correctly_assets.artifacts.examples_snapshot import write_examples_snapshot
from correctly_assets.core.errors import PermanentError, UnreachableError
from correctly_assets.store import Store, open_store
from correctly_tests.integration.postgres import Postgres, running_postgres
from correctly_tests.unit.store.test_landings import *  # noqa: F403 - the same tests, on the store_url below
from correctly_tests.unit.store.test_tables import *  # noqa: F403 - the same tests, on the store_url below
from correctly_tests.unit.store.test_tables import SQL, example


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture
def store_url(server: Postgres) -> str:
    return server.create_database(f"test_{uuid.uuid4().hex}")


def test_our_tables_stand_in_a_schema_of_their_own(store: Store, store_url: str) -> None:
    connection = psycopg2.connect(store_url)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT schemaname FROM pg_tables WHERE tablename IN ('release', 'correctly_schema_version')"
        )
        assert cursor.fetchall() == [("correctly",)]
        cursor.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        assert cursor.fetchone() == (0,)
    connection.close()


def test_a_role_that_may_not_create_schemas_can_use_one_that_is_there(server: Postgres, store_url: str) -> None:
    role = f"role_{uuid.uuid4().hex[:8]}"
    connection = psycopg2.connect(store_url)
    with connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {role} LOGIN")
        cursor.execute(f"CREATE SCHEMA correctly AUTHORIZATION {role}")
    connection.close()
    with open_store(store_url.replace("postgres@", f"{role}@"), SQL) as store:
        assert store.land([example(1)]).landed == 1


def test_a_snapshot_does_not_depend_on_the_database_it_is_written_from(store: Store, tmp_path: Path) -> None:
    rows = [example(number) for number in range(50)]
    store.land(rows)
    with open_store(f"sqlite:///{tmp_path / 'other.sqlite'}", SQL) as other:
        other.land(reversed(rows))
        one = write_examples_snapshot(store, tmp_path / "one")
        two = write_examples_snapshot(other, tmp_path / "two")
    assert (one.id, one.row_digest) == (two.id, two.row_digest)


def test_a_server_that_is_away_is_named_without_its_password() -> None:
    with pytest.raises(UnreachableError, match=r"does not answer.*CORRECTLY_DATABASE_URL") as caught:
        open_store("postgresql://ann:hunter2@127.0.0.1:1/db", SQL)
    assert "hunter2" not in str(caught.value)


def test_a_database_or_role_that_does_not_exist_is_a_permanent_error(server: Postgres) -> None:
    with pytest.raises(PermanentError, match="does not exist"):
        open_store(server.url("nowhere"), SQL)
    with pytest.raises(PermanentError, match="refused"):
        open_store(server.url().replace("postgres@", "nobody@"), SQL)

"""Where the three databases live: ours, Dagster's and MLflow's, on SQLite files or in three PostgreSQL schemas.

Belongs here: URLs and the creation of schemas. Does not belong here: any table.
"""

from __future__ import annotations

from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, make_url

from correctly_assets.settings import PlatformSettings

DAGSTER_DATABASE = "CORRECTLY_DAGSTER_DATABASE"
"""The variable that Dagster reads the URL of its database from, password and all."""
SCHEMAS = ("correctly", "dagster", "mlflow")


def postgres_url(platform: PlatformSettings) -> URL | None:
    """The team's PostgreSQL as a SQLAlchemy URL (psycopg2), or None when the store is embedded."""
    if not platform.database_url:
        return None
    return make_url(platform.database_url).set(drivername="postgresql+psycopg2")


def schema_url(url: URL, schema: str) -> str:
    """The URL whose connections live in one schema: Alembic's version tables of Dagster and MLflow collide in one."""
    # The driver stands in the URL: SQLAlchemy 2.1 takes a bare postgresql:// for psycopg 3.
    plain = url.set(drivername="postgresql+psycopg2").update_query_dict({"options": f"-csearch_path={schema}"})
    return plain.render_as_string(hide_password=False)


def ensure_schemas(platform: PlatformSettings) -> None:
    """Create the three schemas where they are missing. Safe to call from several starters at once."""
    url = postgres_url(platform)
    if url is None:
        return
    engine = create_engine(url)
    with engine.begin() as connection:
        # Two CREATE SCHEMA IF NOT EXISTS at once can still collide; one advisory lock queues them.
        connection.execute(text("SELECT pg_advisory_xact_lock(7263001)"))
        for schema in SCHEMAS:
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {schema}"))
    engine.dispose()


def mlflow_backend(platform: PlatformSettings) -> str:
    """MLflow's backend store URI."""
    url = postgres_url(platform)
    return schema_url(url, "mlflow") if url else f"sqlite:///{platform.home / 'mlflow' / 'mlflow.db'}"


def dagster_storage(platform: PlatformSettings) -> dict[str, dict[str, str] | dict[str, dict[str, str]]]:
    """The storage stanza of dagster.yaml."""
    url = postgres_url(platform)
    if url:
        # Dagster shows this file to whoever asks its web server.
        return {"postgres": {"postgres_url": {"env": DAGSTER_DATABASE}}}
    return {"sqlite": {"base_dir": str(platform.dagster_home / "storage")}}

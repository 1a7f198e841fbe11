"""Open WebUI's chats, votes and files as its API tells of them (open-webui 0.12.4).

Belongs here: their records, and fetching lists of them. Does not belong here: signing in (openwebui_account.py), what a vote
means (read_votes.py), or which rows are removed (openwebui_chats.py).

Its rows hold more than is named here, and null for what is not known; what is not named is kept, null is the default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from correctly_assets.core.errors import PermanentError

if TYPE_CHECKING:
    import httpx

_VOTES = "/api/v1/evaluations"


class _Told(BaseModel):
    model_config = ConfigDict(extra="allow", coerce_numbers_to_str=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        return {key: one for key, one in value.items() if one is not None} if isinstance(value, Mapping) else value


class Row(_Told):
    """A chat, a file, or what is listed of a vote."""

    id: str
    created_at: float = 0
    updated_at: float = 0

    @property
    def seconds(self) -> float:
        """When it was changed last, in seconds since 1970."""
        at = self.updated_at or self.created_at
        # Some of its tables count in nanoseconds.
        return at / 1e9 if at > 1e12 else at


class VoteData(_Told):
    """What a person gave: a thumb, a comment, and what they ticked beside it."""

    rating: int | str = 0
    model_id: str = ""
    comment: str = ""
    reason: str = ""
    details: object = None


class VoteMeta(_Told):
    """What a vote is about; ``base_models`` says what a workspace model is made of."""

    chat_id: str = ""
    message_id: str = ""
    arena: bool = False
    base_models: dict[str, str | None] = Field(default_factory=dict)


class Message(_Told):
    """One message of a chat."""

    parent_id: str = Field(default="", alias="parentId")
    content: object = None
    model: str = ""
    selected_model: str = Field(default="", alias="selectedModelId")


class _History(_Told):
    messages: dict[str, Message] = Field(default_factory=dict)


class ChatSnapshot(_Told):
    """A chat as it stood when a vote was given or changed."""

    history: _History = Field(default_factory=_History)
    chat: ChatSnapshot | None = None

    @property
    def messages(self) -> dict[str, Message]:
        """The chat's messages by id, wherever this version of Open WebUI nests them."""
        return self.history.messages or (self.chat.messages if self.chat is not None else {})


class VoteRow(Row):
    """A vote with its chat."""

    user_id: str = ""
    data: VoteData = Field(default_factory=VoteData)
    meta: VoteMeta = Field(default_factory=VoteMeta)
    snapshot: ChatSnapshot = Field(default_factory=ChatSnapshot)


R = TypeVar("R", bound=Row)


def list_votes(client: httpx.Client) -> list[Row]:
    """Every vote without its chat.

    Raises:
        PermanentError: Open WebUI does not show them.
    """
    return _rows(client, f"{_VOTES}/feedbacks/all/ids", Row, "votes")


def export_votes(client: httpx.Client) -> list[VoteRow]:
    """Every vote with its chat.

    Raises:
        PermanentError: as `list_votes`.
    """
    return _rows(client, f"{_VOTES}/feedbacks/all/export", VoteRow, "votes")


def find_vote(client: httpx.Client, id: str) -> VoteRow | None:
    """One vote with its chat; None where it was taken back meanwhile."""
    answer = client.get(f"{_VOTES}/feedback/{id}")
    return _parsed(answer, VoteRow, "votes") if answer.status_code == 200 else None


def list_chats(client: httpx.Client) -> list[Row]:
    """Every chat, whole.

    Raises:
        PermanentError: as `list_votes`.
    """
    return _rows(client, "/api/v1/chats/all/db", Row, "chats")


def list_files(client: httpx.Client) -> Iterator[Row]:
    """Every uploaded file, without its content; none where Open WebUI does not show them."""
    page = 1
    while True:
        answer = client.get("/api/v1/files/", params={"content": "false", "page": page})
        items = _parsed(answer, _Page, "files").items if answer.status_code == 200 else []
        yield from items
        if not items:
            return
        page += 1


class _Page(_Told):
    items: list[Row] = Field(default_factory=list)


def _rows(client: httpx.Client, path: str, kind: type[R], what: str) -> list[R]:
    answer = client.get(path)
    if answer.status_code != 200:
        raise _not_shown(what, str(answer.status_code))
    return _parsed(answer, list[kind], what)


T = TypeVar("T")


def _parsed(answer: httpx.Response, kind: type[T], what: str) -> T:
    try:
        return TypeAdapter(kind).validate_json(answer.content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _not_shown(what, f"{where}: {first['msg']}") from error


def _not_shown(what: str, why: str) -> PermanentError:
    return PermanentError(
        f"Open WebUI does not show its {what} ({why}); it must be the version that `make install` installs."
    )

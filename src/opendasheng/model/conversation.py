"""Conversations as chat templates take them: checked, batched, and the clips that they hold (SPEC 4.5, 6)."""

from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from typing import Any, TypeAlias

from opendasheng.errors import ConfigError

Message: TypeAlias = Mapping[str, Any]
Conversation: TypeAlias = Sequence[Message]

CLIP_KEYS = ("audio", "path", "url")
CONTENT_TYPES = ("text", "audio")


def default_chat_template() -> str:
    """The packaged chat template: ChatML, used where a checkpoint brings none."""
    # Whether the released template inserts a default system message is not known (SPEC 4.5). This one inserts
    # none: the model is told what the conversation says and no more; who wants a system message writes one.
    return resources.files("opendasheng.model").joinpath("chat_template.jinja").read_text(encoding="utf-8")


def is_batch(conversation: Conversation | Sequence[Conversation]) -> bool:
    """Whether this is a list of conversations, not one: a list of lists."""
    return (
        isinstance(conversation, list | tuple) and len(conversation) > 0 and isinstance(conversation[0], list | tuple)
    )


def as_conversations(conversation: Conversation | Sequence[Conversation]) -> list[list[Message]]:
    """One conversation or a batch of them -> a batch; the messages are the caller's own, unchanged.

    Raises :class:`ConfigError`, naming the message, where one is not a ``role`` with text and audio.
    """
    batch: list[Any] = list(conversation) if is_batch(conversation) else [conversation]
    for messages in batch:
        if not isinstance(messages, list | tuple) or not messages:
            raise ConfigError(f"a conversation is a list of at least one message, not {messages!r}")
    for where, message in _named_messages(batch):
        _check_message(message, where)
    return [list(messages) for messages in batch]


def clips_of(conversations: Sequence[Conversation]) -> list[Any]:
    """All clips in reading order, unopened. Raises :class:`ConfigError` for an audio item without one."""
    return [
        _clip(item, where)
        for where, message in _named_messages(conversations)
        if not isinstance(message.get("content"), str)
        for item in message.get("content") or ()
        if item["type"] == "audio"
    ]


def _named_messages(conversations: Sequence[Conversation]) -> Iterator[tuple[str, Message]]:
    for number, messages in enumerate(conversations):
        prefix = f"conversation {number}, " if len(conversations) > 1 else ""
        for index, message in enumerate(messages):
            yield f"{prefix}message {index}", message


def _clip(item: Message, where: str) -> Any:
    given = [key for key in CLIP_KEYS if item.get(key) is not None]
    if len(given) != 1:
        raise ConfigError(f"{where}: an audio item needs one of {', '.join(CLIP_KEYS)}; it has {given or 'none'}")
    return item[given[0]]


def _check_message(message: Any, where: str) -> None:
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise ConfigError(f"{where}: must be a dict with a role and a content, not {message!r}")
    content = message.get("content")
    if content is None or isinstance(content, str):
        return
    if not isinstance(content, list | tuple):
        raise ConfigError(f"{where}: content must be a string or a list of items, not {type(content).__name__}")
    for item in content:
        kind = item.get("type") if isinstance(item, Mapping) else type(item).__name__
        if kind not in CONTENT_TYPES:
            raise ConfigError(f"{where}: a content item is of type {kind!r}; this model takes text and audio")
        if kind == "text" and not isinstance(item.get("text"), str):
            raise ConfigError(f"{where}: a text item needs its text as a string, not {item.get('text')!r}")

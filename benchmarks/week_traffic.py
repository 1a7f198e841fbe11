"""People who use the platform for a week, and every answer that they were given.

Belongs here: who asks and reacts how often, outages that were brought about, what was answered by which release. Does not belong
here: the platform (week_place.py), or what the store makes of it (week_ledger.py).
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import httpx

from benchmarks.week_place import Clock

PAUSE = 4.0
"""Seconds between an answer and the next question of one person, on average."""
RATED = 0.25
"""Share of answers that somebody gives thumbs up, until they have so rated five of a release."""
MOST_RATED = 5
PATIENCE = 650.0
"""Seconds that somebody waits for an answer: the gateway itself ends one after ten minutes."""


@dataclass(frozen=True)
class Answer:
    """One answer, as the one who asked saw it; times are those of the parts' clock."""

    id: str
    person: int
    release: str | None
    adapter: str | None
    before: str
    after: str
    sent: float
    got: float


@dataclass
class Outage:
    """A time in which something was broken on purpose, and how many requests were not answered meanwhile."""

    what: str
    failed: int = 0


@dataclass
class Person:
    """Somebody at an address of their own, which the gateway tells from the others'."""

    number: int
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        transport = httpx.HTTPTransport(local_address=self.address)
        self.client = httpx.Client(transport=transport, trust_env=False, timeout=PATIENCE)

    @property
    def address(self) -> str:
        return f"127.0.0.{self.number}"


class Traffic:
    """Three people who ask and now and then react, while everything else happens.

    Attributes:
        answers, reactions: every answer, and the ids of those whose reaction was accepted with 202.
        outages: what was broken. failed: what failed while nothing was, with the time of day.
    """

    def __init__(self, gateway: str, clock: Clock, texts: Sequence[str], *, people: int = 3, seed: int = 20) -> None:
        self.answers: list[Answer] = []
        self.reactions: set[str] = set()
        self.outages: list[Outage] = []
        self.failed: list[tuple[float, str]] = []
        self._gateway, self._clock, self._texts = gateway, clock, list(texts)
        self._random = random.Random(seed)
        self._may_ask, self._over, self._lock = threading.Event(), threading.Event(), threading.Lock()
        self._asking = [threading.Event() for _ in range(people)]
        self._broken: Outage | None = None
        self._threads = [threading.Thread(target=self._use, args=(n,), daemon=True) for n in range(people)]

    def start(self) -> None:
        self._may_ask.set()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        self._may_ask.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Nobody asks during the block; it begins when the last answer has come."""
        self._may_ask.clear()
        while any(one.is_set() for one in self._asking):
            time.sleep(0.1)
        try:
            yield
        finally:
            self._may_ask.set()

    @contextlib.contextmanager
    def outage(self, what: str) -> Iterator[Outage]:
        """Something is broken on purpose during the block: who is not answered meanwhile is counted with it."""
        outage = Outage(what)
        self.outages.append(outage)
        self._broken = outage
        try:
            yield outage
        finally:
            self._broken = None

    def ask(self, person: Person, words: str) -> Answer | None:
        """Have a sentence corrected; None where no answer came, which is counted."""
        sent, broken = self._clock.now(), self._broken
        answer = self._post(person, "/v1/corrections", {"text": words, "reasons": False}, broken)
        if answer is None:
            return None
        done = answer["corrections"][0]
        seen = Answer(
            done["id"],
            person.number,
            done["release"],
            done["adapter"],
            done["before"],
            done["after"],
            sent,
            self._clock.now(),
        )
        with self._lock:
            self.answers.append(seen)
        return seen

    def react(self, person: Person, answer: Answer, rating: int, better: str | None = None) -> bool:
        """React to an answer; whether it was accepted."""
        body: dict[str, object] = {"correction_id": answer.id, "rating": rating}
        if better is not None:
            body["better"] = better
        if self._post(person, "/v1/feedback", body, self._broken) is None:
            return False
        with self._lock:
            self.reactions.add(answer.id)
        return True

    def _post(
        self, person: Person, path: str, body: object, broken: Outage | None
    ) -> dict[str, list[dict[str, str]]] | None:
        """An answer's body; None, counted, where there was none: with the outage that there was when it was sent or failed."""
        try:
            answer = person.client.post(f"{self._gateway}{path}", json=body)
            if answer.status_code in (200, 202):
                return answer.json()
            said = f"{answer.status_code} {answer.text[:160]}"
        except httpx.HTTPError as error:
            said = repr(error)
        with self._lock:
            outage = broken or self._broken
            if outage is not None:
                outage.failed += 1
            else:
                self.failed.append((self._clock.now(), f"{path}: {said}"))
        return None

    def _use(self, number: int) -> None:
        person, draw, rated = Person(11 + number), random.Random(self._random.random()), Counter[str | None]()
        while not self._over.is_set():
            self._may_ask.wait()
            self._asking[number].set()
            try:
                # Looked at again: somebody may have asked for quiet between the two lines before.
                if self._may_ask.is_set() and not self._over.is_set():
                    answer = self.ask(person, draw.choice(self._texts))
                    if answer is not None and rated[answer.release] < MOST_RATED and draw.random() < RATED:
                        rated[answer.release] += self.react(person, answer, 1)
            finally:
                self._asking[number].clear()
            self._over.wait(draw.uniform(0.5, 1.5) * PAUSE)

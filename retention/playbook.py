"""The playbook: which action suits a row's queue, reasons, segment and MRR."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from data.errors import BadInputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

PLAYBOOK: Final = Path(__file__).with_name("playbook.yaml")

QueueName = Literal["success", "billing"]
Words = Annotated[str, Field(min_length=1, strict=True)]
# A single value needs no brackets.
OneOrMore = Annotated[
    frozenset[Words],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    Field(min_length=1),
]


@dataclass(frozen=True)
class Action:
    """What to do: name in the playbook, text, channel, and days from the cutoff until it is due."""

    name: str
    text: str
    channel: str
    due_days: int


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _ActionTerms(_Strict):
    text: Words
    channel: Words
    due_days: Annotated[int, Field(ge=0, strict=True)]


class _Rule(_Strict):
    action: Words
    queue: QueueName
    reason: OneOrMore | None = None
    among: OneOrMore | None = None
    segment: OneOrMore | None = None
    mrr_band: OneOrMore | None = None

    @property
    def allowed(self) -> tuple[frozenset[str] | None, ...]:
        """Allowed reason, other reasons, segment and MRR band; None allows anything."""
        return self.reason, self.among, self.segment, self.mrr_band

    def fits(self, queue: str, *values: Collection[str]) -> bool:
        """Whether each allowed set shares a value with the row's, in the order of ``allowed``."""
        return self.queue == queue and all(
            allowed is None or not allowed.isdisjoint(value)
            for allowed, value in zip(self.allowed, values, strict=True)
        )

    def covers(self, other: _Rule) -> bool:
        """Whether every row that fits the other rule fits this one."""
        return self.queue == other.queue and all(
            own is None or (others is not None and others <= own)
            for own, others in zip(self.allowed, other.allowed, strict=True)
        )


class Playbook(_Strict):
    """A valid playbook; ``load_playbook`` reads one."""

    mrr_bands: dict[Words, Annotated[int, Field(ge=0, strict=True)]]
    actions: dict[Words, _ActionTerms]
    default: dict[QueueName, Words]
    rules: tuple[_Rule, ...] = ()

    def action(self, queue: str, reasons: Sequence[str], segment: str | None, mrr: int) -> Action:
        """Choose the action for one row.

        Parameters
        ----------
        queue
            ``success`` or ``billing``.
        reasons
            Reason groups that raise the risk, the strongest first; may be empty. They are tried in
            this order, so that a reason without an action does not hide the next one.
        segment
            Segment of the customer, or None.
        mrr
            Minor units a month.

        Returns
        -------
        Action
            Action of the first rule that fits; the queue's default if none does.
        """
        begun = [name for name, start in self.mrr_bands.items() if mrr >= start]
        band = sorted(begun, key=lambda name: self.mrr_bands[name])[-1:]
        segments = [] if segment is None else [segment]
        for reason in reasons:
            for rule in self.rules:
                if rule.fits(queue, [reason], reasons, segments, band):
                    return self._named(rule.action)
        return self._named(self.default[queue])  # type: ignore[index]

    def _named(self, name: str) -> Action:
        return Action(name, **self.actions[name].model_dump())


def load_playbook(path: Path = PLAYBOOK, groups: Collection[str] | None = None) -> Playbook:
    """Read and check a playbook.

    Parameters
    ----------
    path
        YAML file; by default that of this package.
    groups
        Existing reason groups; None skips that check.

    Raises
    ------
    BadInputError
        If the file is missing, is not YAML, or breaks a rule: an unknown key or queue, an action or
        band or reason that does not exist, a queue without a default, or a rule that can never
        apply because an earlier one covers it.
    """
    try:
        text = path.read_text(encoding="utf-8")
        playbook = Playbook.model_validate(yaml.safe_load(text))
    except OSError as error:
        raise BadInputError(f"The playbook {path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise BadInputError(f"The playbook {path} is not valid YAML: {reason}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise BadInputError(
            f"The playbook {path} breaks a rule at {where}: {first['msg']}."
        ) from error
    fault = next(_faults(playbook, groups), None)
    if fault is not None:
        raise BadInputError(f"The playbook {path} breaks a rule: {fault}.")
    return playbook


def _faults(playbook: Playbook, groups: Collection[str] | None) -> Iterator[str]:
    """Describe what a playbook lacks, and what it names although it does not exist."""
    for queue in get_args(QueueName):
        if queue not in playbook.default:
            yield f"the queue {queue} has no default action"
        elif playbook.default[queue] not in playbook.actions:
            yield f"the default of the queue {queue} is an action that is not defined"
    for number, rule in enumerate(playbook.rules, start=1):
        for kind, names, known in (
            ("action", {rule.action}, playbook.actions),
            ("MRR band", rule.mrr_band or (), playbook.mrr_bands),
            ("reason", {*(rule.reason or ()), *(rule.among or ())}, groups),
        ):
            for name in sorted(set(names) - set(known if known is not None else names)):
                yield f"rule {number} names the {kind} {name}, which is not defined"
        for earlier, other in enumerate(playbook.rules[: number - 1], start=1):
            if other.covers(rule):
                yield f"rule {number} can never apply, because rule {earlier} covers it"

r"""Phrases for the topic and tone of tickets, in English, Dutch, Swedish and Italian.

They are regular expressions over lower-case text, in the syntax shared by RE2 (DuckDB), Java
(Spark) and Python: no look-around, no back references, no dot. A ``\b`` at either end of a phrase
is the edge of a word; ``_any_of`` writes it out, since engines disagree on which letters form
words.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_LEAVING: dict[str, tuple[str, ...]] = {
    "en": (
        r"cancel(l?ing|lation)?\b", r"\bswitch(ing)? to\b", r"\bleav(e|ing) you\b",
        r"\b(will|may|might|have) (to )?leave\b",
        r"\b(other|another|different) (provider|vendor|supplier|tool)", r"\bcompetitor",
        r"\balternatives?\b", r"\bterminate\b", r"\bclose (my|our|the) account",
        r"\bend (my|our|the) (subscription|contract)", r"\bexport (all )?(my|our) data\b",
        r"\bnot (be )?renew", r"\bunsubscrib",
    ),
    "nl": (
        r"opzeg", r"op te zeggen", r"\bzeg(gen)? ([^\n]{0,39} )?op\b",
        r"\bga(an)? (we|wij|ik) weg\b", r"\b(we|wij|ik) ga(an)? weg\b", r"annuleren",
        r"\boverstap", r"concurrent",
        r"andere (aanbieder|leverancier|partij)", r"beëindig", r"niet verleng", r"stoppen met",
        r"alternatief",
    ),
    "sv": (
        r"säga upp", r"säger upp", r"uppsägning",
        r"avsluta[rt]? (jag |vi )?(vårt|mitt|kontot|abonnemang|avtal)",
        r"lämna[rt]? (vi |jag )?er\b", r"byta (till|leverantör)", r"byter (till|leverantör)",
        r"konkurrent", r"annan leverantör", r"inte förnya", r"alternativ till",
    ),
    "it": (
        r"disdi(re|ci|tta|ciamo)", r"disdett", r"annullare", r"recedere", r"\brecesso\b",
        r"cambiare (fornitore|servizio)", r"(ce ne|me ne) (andiamo|vado)", r"concorren(te|ti|za)",
        r"altro fornitore", r"non rinnov", r"chiudere (il|l'|il nostro|il mio) ?(conto|account)",
    ),
}  # fmt: skip

_FRUSTRATION: dict[str, tuple[str, ...]] = {
    "en": (
        r"frustrat", r"unacceptable", r"\bterrible\b", r"\buseless\b", r"ridiculous", r"disappoint",
        r"\bfed up\b", r"\bangry\b", r"\bstill (not|broken|waiting|no)\b", r"(third|fourth) time",
        r"\bwaste of\b", r"\b(losing|wasting) time\b", r"\bawful\b", r"\bagain and again\b",
        r"\bnobody (answers|replies)", r"not good enough",
    ),
    "nl": (
        r"frustr", r"onacceptabel", r"teleurgesteld", r"teleurstell", r"waardeloos", r"belachelijk",
        r"\bzat\b", r"nog steeds (niet|geen)", r"kost (ons|mij|me) [^\n]{0,12}tijd", r"schandalig",
        r"derde keer", r"\bboos\b", r"onaanvaardbaar",
    ),
    "sv": (
        r"frustr", r"oacceptabel", r"besvik", r"värdelös", r"löjlig", r"fortfarande (inte|ingen)",
        r"förlorar tid", r"\btrött på\b", r"tredje gången", r"\barg\b", r"skandal", r"undermålig",
        r"hopplös",
    ),
    "it": (
        r"frustr", r"inaccettabile", r"\bdelus", r"deludent", r"inutile", r"ridicol",
        r"\bstuf[oiae]\b", r"ancora (non|nessun)", r"perd(iamo|endo) tempo", r"vergogn",
        r"terza volta", r"arrabbiat", r"pessim",
    ),
}  # fmt: skip

LANGUAGES = tuple(_LEAVING)
_NO_LETTER = "[^0-9a-z_à-öø-ÿ]"


def _any_of(phrases: Mapping[str, tuple[str, ...]]) -> str:
    """Return one regular expression for the phrases of all languages."""
    every = [phrase for language in LANGUAGES for phrase in phrases[language]]
    starts = [re.sub(r"^\\b", f"(^|{_NO_LETTER})", phrase) for phrase in every]
    return "|".join(re.sub(r"\\b$", f"({_NO_LETTER}|$)", phrase) for phrase in starts)


LEAVING = _any_of(_LEAVING)
FRUSTRATION = _any_of(_FRUSTRATION)

# Topics of a ticket by its category; a category that matches none is "other".
TOPICS: dict[str, str] = {
    "billing": r"bill|invoice|payment|refund|pricing|price|faktur|factuur|fattur|betal|pagament",
    "technical": r"tech|bug|error|outage|incident|performance|integration|data loss|teknisk",
    "cancellation": r"cancel|churn|terminat|retention|opzeg|uppsäg|disdett",
    "guidance": r"how|question|training|usage|onboard|guide|help|account|login|access",
    "wish": r"feature|request|wish|idea|feedback",
}

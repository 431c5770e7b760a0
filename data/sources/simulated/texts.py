"""Short texts of tickets and ratings, by language, tone and category.

All languages say the same things, so that none is easier for a model than another.
"""

from __future__ import annotations

LANGUAGES = ("en", "nl", "sv", "it")
TONES = ("calm", "annoyed", "leaving")
CATEGORIES = ("bug", "performance", "how_to", "billing", "feature_request", "account")

# Language -> tone -> openings; language -> category -> subjects. A text is opening + subject.
_OPENINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "calm": ("Hi team,", "Hello, quick question:", "Good morning,", "Thanks in advance:"),
        "annoyed": ("This is the third time:", "Really frustrating:", "Still not working:",
                    "We are losing time here:"),
        "leaving": ("We are considering to cancel:", "Last try before we switch to a competitor:",
                    "If this is not fixed we will leave:", "How do I end our subscription?"),
    },
    "nl": {
        "calm": ("Hallo team,", "Goedemorgen, een korte vraag:", "Beste mensen,",
                 "Alvast bedankt:"),
        "annoyed": ("Dit is al de derde keer:", "Erg frustrerend:", "Werkt nog steeds niet:",
                    "Dit kost ons veel tijd:"),
        "leaving": ("Wij overwegen op te zeggen:", "Laatste poging voordat we overstappen:",
                    "Als dit zo blijft gaan we weg:", "Hoe kan ik ons abonnement opzeggen?"),
    },
    "sv": {
        "calm": ("Hej,", "God morgon, en kort fråga:", "Hej teamet,", "Tack på förhand:"),
        "annoyed": ("Det här är tredje gången:", "Väldigt frustrerande:",
                    "Fungerar fortfarande inte:", "Vi förlorar tid på det här:"),
        "leaving": ("Vi funderar på att säga upp:", "Sista försöket innan vi byter leverantör:",
                    "Om det inte löses lämnar vi er:", "Hur avslutar jag vårt abonnemang?"),
    },
    "it": {
        "calm": ("Buongiorno,", "Ciao, una domanda veloce:", "Salve a tutti,",
                 "Grazie in anticipo:"),
        "annoyed": ("È già la terza volta:", "Davvero frustrante:", "Ancora non funziona:",
                    "Stiamo perdendo tempo:"),
        "leaving": ("Stiamo pensando di disdire:", "Ultimo tentativo prima di cambiare fornitore:",
                    "Se non si risolve ce ne andiamo:", "Come posso annullare l'abbonamento?"),
    },
}  # fmt: skip
_SUBJECTS: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "bug": ("the export gives an empty file.", "the report shows wrong totals."),
        "performance": ("the dashboard takes minutes to load.", "everything has been slow today."),
        "how_to": ("how do I invite a colleague?", "where can I change the date range?"),
        "billing": ("there is a question about our invoice.", "our payment was declined."),
        "feature_request": ("could you add a filter by team?", "a weekly e-mail would help us."),
        "account": ("I cannot log in any more.", "please move the account to a new owner."),
    },
    "nl": {
        "bug": ("de export geeft een leeg bestand.", "het rapport toont verkeerde totalen."),
        "performance": ("het dashboard laadt minutenlang.", "alles is traag vandaag."),
        "how_to": ("hoe nodig ik een collega uit?", "waar kan ik de periode aanpassen?"),
        "billing": ("er is een vraag over onze factuur.", "onze betaling is geweigerd."),
        "feature_request": ("kan er een filter per team bij?", "een wekelijkse mail zou helpen."),
        "account": ("ik kan niet meer inloggen.", "graag het account aan een ander overdragen."),
    },
    "sv": {
        "bug": ("exporten ger en tom fil.", "rapporten visar fel summor."),
        "performance": ("instrumentpanelen tar minuter att ladda.", "allt är långsamt idag."),
        "how_to": ("hur bjuder jag in en kollega?", "var ändrar jag perioden?"),
        "billing": ("vi har en fråga om vår faktura.", "vår betalning nekades."),
        "feature_request": ("kan ni lägga till ett filter per team?", "ett veckobrev vore bra."),
        "account": ("jag kan inte logga in längre.", "flytta kontot till en ny ägare, tack."),
    },
    "it": {
        "bug": ("l'esportazione dà un file vuoto.", "il report mostra totali sbagliati."),
        "performance": ("il cruscotto impiega minuti a caricarsi.", "oggi è tutto lento."),
        "how_to": ("come invito un collega?", "dove cambio l'intervallo di date?"),
        "billing": ("c'è una domanda sulla nostra fattura.", "il pagamento è stato rifiutato."),
        "feature_request": ("si può aggiungere un filtro per team?",
                            "una mail settimanale aiuterebbe."),
        "account": ("non riesco più ad accedere.", "vorrei passare l'account a un altro."),
    },
}  # fmt: skip

VARIANTS = 8  # texts per language, tone and category: 4 openings times 2 subjects

# In the order of the codes of ``tickets._text``.
TICKET_TEXTS = tuple(
    f"{opening} {subject}"
    for language in LANGUAGES
    for tone in TONES
    for category in CATEGORIES
    for opening in _OPENINGS[language][tone]
    for subject in _SUBJECTS[language][category]
)

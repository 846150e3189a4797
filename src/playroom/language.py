"""What people say about the Playroom: the words of its queries, those that training never has among them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

from src.playroom.world import Event

Word = tuple[str, str]  # part of speech and lemma: ("VERB", "jump")
Pair = tuple[str, str, str]  # kind and lemmas of a composition, as Charades-CG has them: ("v-n", "push", "ball")

_VERBS: dict[str, list[tuple[str, str]]] = {  # what is done → (what is said, lemma of the verb)
    "enter": [("{who} enters the room", "enter"), ("{who} comes in through the door", "come")],
    "leave": [("{who} leaves the room", "leave"), ("{who} goes out through the door", "go")],
    "pick up": [("{who} picks up {what}", "pick"), ("{who} takes {what} from the floor", "take")],
    "put down": [("{who} puts {what} on the floor", "put"), ("{who} puts down {what}", "put")],
    "carry": [("{who} carries {what}", "carry"), ("{who} walks around with {what}", "walk")],
    "push": [("{who} pushes {what}", "push")],
    "open": [("{who} opens the door", "open")],
    "close": [("{who} closes the door", "close")],
    "switch on": [("{who} turns on the lamp", "turn"), ("{who} switches on the lamp", "switch")],
    "switch off": [("{who} turns off the lamp", "turn"), ("{who} switches off the lamp", "switch")],
    "sit": [("{who} sits on the chair", "sit"), ("{who} sits down on the chair", "sit")],
    "hide": [("{who} hides behind the screen", "hide")],
    "jump": [("{who} jumps", "jump"), ("{who} jumps up and down", "jump")],
    "chase": [("{who} chases {whom}", "chase")],
}
_NEW_VERBS: dict[str, list[tuple[str, str]]] = {
    "leave": [("{who} exits the room", "exit")],
    "pick up": [("{who} grabs {what}", "grab"), ("{who} lifts {what}", "lift")],
    "put down": [("{who} lowers {what} to the floor", "lower")],
    "carry": [("{who} holds {what}", "hold")],
    "push": [("{who} shoves {what}", "shove")],
    "close": [("{who} shuts the door", "shut")],
    "sit": [("{who} rests on the chair", "rest")],
    "jump": [("{who} leaps", "leap"), ("{who} hops up and down", "hop")],
    "chase": [("{who} follows {whom}", "follow")],
    # Done in every split, and never named in training.
    "spin": [("{who} spins around", "spin"), ("{who} twirls", "twirl")],
    "wave": [("{who} waves a hand", "wave")],
    "kick": [("{who} kicks {what}", "kick")],
}
_NOUNS = {name: name for name in ("man", "woman", "child", "ball", "box", "book", "bottle")}
_NEW_NOUNS = {
    **{"man": "gentleman", "woman": "lady", "child": "kid", "box": "crate", "ball": "sphere", "bottle": "flask"},
    # There in every split, and never named in training.
    **{"cone": "cone", "kite": "kite"},
}
_NEW_COLOURS = {"red": "crimson", "yellow": "golden", "purple": "violet"}

NOVEL_PAIRS: frozenset[Pair] = frozenset(
    {
        *(("v-n", "pick", "book"), ("v-n", "take", "book"), ("v-n", "push", "ball"), ("v-n", "put", "bottle")),
        *(("v-n", "carry", "box"), ("v-n", "walk", "box"), ("v-n", "jump", "child"), ("v-n", "sit", "woman")),
        *(("v-n", "open", "man"), ("v-n", "hide", "child"), ("v-n", "enter", "woman"), ("v-n", "come", "woman")),
        *(("a-n", "red", "ball"), ("a-n", "blue", "box"), ("a-n", "green", "woman"), ("a-n", "yellow", "man")),
    }
)
"""Compositions that training never has, of words that it has."""


@dataclass(frozen=True)
class Naming:
    """How much of who or what is named: its kind, its colour, both, or neither ("a person")."""

    kind: bool
    colour: bool

    def agrees(self, one: object, other: object) -> bool:
        """Whether two figures or things would be called the same."""
        return all(
            getattr(one, part, None) == getattr(other, part, None)
            for part, named in (("kind", self.kind), ("colour", self.colour))
            if named
        )


WHO = (Naming(kind=False, colour=False), Naming(kind=True, colour=False), Naming(kind=True, colour=True))
WHAT = WHO[1:]


@dataclass(frozen=True)
class Sentence:
    """A query, the words in it that training never has, and all its compositions."""

    text: str
    novel: tuple[Word, ...]
    pairs: frozenset[Pair]


def sentences(event: Event, who: Naming, what: Naming) -> list[Sentence]:
    """All that can be said of an event in these terms: with words known in training, or with one that is not."""
    known = [(form, lemma, ()) for form, lemma in _VERBS.get(event.verb, [])]
    new = [(form, lemma, (("VERB", lemma),)) for form, lemma in _NEW_VERBS.get(event.verb, [])]
    found = []
    for form, verb, verb_news in known + new:
        target = event.thing or event.other
        for subject, subject_words in _names(event.figure, who):
            for object_, object_words in _names(target, what) if target is not None else [("", [])]:
                words = [*subject_words, *object_words]
                news = (*verb_news, *((part, lemma) for part, lemma, is_new in words if is_new))
                if len(news) <= 1:
                    text = form.format(who=subject, what=object_, whom=object_) + "."
                    found.append(Sentence(text, news, _pairs(verb, subject_words, object_words)))
    return found


Named = list[tuple[str, str, bool]]  # part of speech, lemma, whether training never has it


def _names(one: object, naming: Naming) -> list[tuple[str, Named]]:
    """Ways to say who or what: the phrase and its words."""
    kind, colour = str(getattr(one, "kind", "")), str(getattr(one, "colour", ""))
    if not naming.kind:
        return [("a person", [])]
    nouns = [(_NOUNS[kind], False)] if kind in _NOUNS else []
    nouns += [(_NEW_NOUNS[kind], True)] if kind in _NEW_NOUNS else []
    if not naming.colour:
        return [(f"the {noun}", [("NOUN", noun, is_new)]) for noun, is_new in nouns]
    colours = [(colour, False)] + ([(_NEW_COLOURS[colour], True)] if colour in _NEW_COLOURS else [])
    form = "the {noun} in {colour}" if kind in ("man", "woman", "child") else "the {colour} {noun}"
    return [
        (form.format(noun=noun, colour=shade), [("ADJ", shade, new_shade), ("NOUN", noun, new_noun)])
        for noun, new_noun in nouns
        for shade, new_shade in colours
    ]


def _pairs(verb: str, *phrases: Named) -> frozenset[Pair]:
    with_verb = {("v-n", verb, lemma) for phrase in phrases for part, lemma, _ in phrase if part == "NOUN"}
    described = {("a-n", first[1], second[1]) for phrase in phrases for first, second in combinations(phrase, 2)}
    return frozenset(with_verb | described)

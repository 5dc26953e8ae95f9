"""Whether what an answer names is what it says that it is not: "I don't think it is a piano", "B is unlikely"."""

from collections.abc import Sequence

# Words that deny what follows at once, but for an article.
_NEAR = frozenset({"no", "without"})
# Words that deny what follows within a few words, and those that deny all that follows in their clause.
_FAR = frozenset(
    {"not", "never", "cannot", "neither", "nor", "non", "nothing", "isnt", "dont", "doesnt"}
    | {"except", "exclude", "excluding", "fails", "lack", "lacks", "lacking"}
    | {"kein", "keine", "nicht", "pas", "\u043d\u0435"}  # German, French, Russian
)
_WHOLE = frozenset({"unlikely", "doubt", "doubtful", "hardly", "whether", "unlike", "impossible", "implausible"})
# After a negation these make it one of the whole clause: what is not thought, or not likely.
_OPINIONS = frozenset(
    {"think", "believe", "say", "suspect", "assume", "suppose", "feel", "consider", "likely", "sure", "certain"}
    | {"appear", "seem", "sound", "identified", "determined", "identify", "determine"}
)
_PAIRS = frozenset(
    {
        ("rather", "than"),
        ("other", "than"),
        ("instead", "of"),
        ("opposed", "to"),
        ("far", "from"),
        ("no", "longer"),
        ("no", "es"),  # Spanish: is not
        ("absence", "of"),
        ("lack", "of"),
        ("free", "of"),
        ("anything", "but"),
        ("rule", "out"),
        ("ruled", "out"),
        ("ruling", "out"),
        ("tell", "if"),
        ("know", "if"),
        ("sure", "if"),
        ("certain", "if"),
        ("determine", "if"),
        ("unsure", "if"),
        ("unclear", "if"),
        ("uncertain", "if"),
    }
)
_ARTICLES = frozenset({"a", "an", "the", "any"})
_TURNS = frozenset({"but", "rather", "only", "just", "merely", "simply", "instead"})
_REACH = 5
_FARTHEST = 24  # words: a clause without end is none

# Behind a name: what may stand between, what begins a statement about it, and what makes that a denial.
_FILLERS = frozenset({"sound", "sounds", "voice", "option", "choice", "answer"})
_STATES = frozenset(
    {"is", "are", "was", "were", "be", "can", "could", "may", "might", "would", "should", "seems", "seem", "appears"}
)
_GONE = frozenset(
    {"absent", "unlikely", "missing", "excluded", "impossible", "implausible", "incorrect", "wrong", "eliminated"}
)
_THERE = frozenset(
    {"there", "here", "present", "heard", "audible", "correct", "right", "likely", "possible", "it", "detected"}
)


def is_denied(words: Sequence[str], begins: Sequence[int], start: int, end: int) -> bool:
    """Whether ``words[start:end]`` are denied by what stands before or behind them in their clause.

    ``begins`` says of each word whether it begins a clause.
    """
    return _denied_before(words, begins, start) or _denied_behind(words, begins, end)


def goes_on(between: Sequence[str]) -> bool:
    """Whether a denial holds for the next name too, by the words between the two: "no guitar or a piano"."""
    return bool(between) and between[0] in ("or", "nor") and len(between) < 4 and set(between[1:]) <= _ARTICLES


def _denied_before(words: Sequence[str], begins: Sequence[int], start: int) -> bool:
    near = True
    for at in range(start - 1, max(-1, start - 1 - _FARTHEST), -1):
        if begins[at + 1]:
            return False
        word, after, distance = words[at], words[at + 1], start - at
        if (word, after) in _PAIRS and at + 1 < start:
            return True
        if word in _TURNS and not (at > 0 and (words[at - 1], word) in _PAIRS):
            return False
        if word == "doubt" and _NEAR & set(words[max(0, at - 2) : at]):  # "without a doubt a man"
            return False
        if word == "unlikely" and at > 0 and words[at - 1] == "not":
            return False
        if word in _WHOLE or (near and word in _NEAR):
            return True
        if word in _FAR or word.endswith("n't"):
            return distance <= _REACH or after in _OPINIONS
        near = near and word in _ARTICLES
    return False


def _denied_behind(words: Sequence[str], begins: Sequence[int], end: int) -> bool:
    behind = []
    for at in range(end, min(end + 6, len(words))):
        if begins[at]:
            break
        behind.append(words[at])
    while behind and behind[0] in _FILLERS:
        del behind[0]
    if not behind:
        return False
    if behind[0] in ("never", "absent"):
        return len(behind) == 1
    negated = behind[0].endswith("n't") or behind[0] == "cannot"
    if not negated and behind[0] not in _STATES:
        return False
    rest = behind[1:]
    if rest[:1] == ["not"]:
        negated, rest = True, rest[1:]
    while rest and rest[0] in ("be", "very", "really", "the"):
        del rest[0]
    if not rest:
        return False
    if negated:
        return rest[0] in _THERE
    return rest[0] in _GONE or rest[:2] == ["ruled", "out"]

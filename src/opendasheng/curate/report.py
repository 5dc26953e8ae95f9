"""What came of a run, as Markdown: clips kept and dropped, their categories, and what each expert had to say."""

from collections import Counter
from collections.abc import Sequence

from opendasheng.curate.record import CATEGORIES, Record


def report(records: Sequence[Record]) -> str:
    """Clips, hours and reasons; for each expert the clips, also those that were dropped after it, that it heard, spoke
    of and failed at, and aspect by aspect the clips that it told of."""
    kept = [record for record in records if record.dropped is None]
    lines = [
        f"{len(records)} clips = {len(kept)} kept + {len(records) - len(kept)} dropped; "
        f"{sum(record.duration_seconds for record in kept) / 3600:.2f} h kept",
        "",
    ]
    reasons = Counter(f"{record.dropped.step}: {record.dropped.reason}" for record in records if record.dropped)
    lines += [f"- dropped, {reason} ({count})" for reason, count in reasons.most_common(20)]
    if reasons:
        lines.append("")
    lines += [*_categories(kept), ""]
    lines += ["| expert | version | clips | with findings | failed |", "| --- | --- | ---: | ---: | ---: |"]
    names = dict.fromkeys(name for record in records for name in record.findings)
    aspects: list[str] = []
    for name in names:
        found = [record.findings[name] for record in records if name in record.findings]
        versions = ", ".join(sorted({f.version for f in found}))
        spoke = sum(bool(f.values or f.events or f.vector) for f in found)
        lines.append(f"| {name} | {versions} | {len(found)} | {spoke} | {sum(bool(f.error) for f in found)} |")
        told = Counter(aspect for f in found for aspect in f.values)
        aspects += [f"| {aspect} | {name} | {count} |" for aspect, count in sorted(told.items())]
    failures = Counter(f"{name}: {f.error}" for r in records for name, f in r.findings.items() if f.error)
    if failures:
        lines += ["", *(f"- failed, {reason} ({count})" for reason, count in failures.most_common(20))]
    lines += ["", "| aspect | expert | clips |", "| --- | --- | ---: |", *aspects]
    return "\n".join(lines) + "\n"


def writings(records: Sequence[Record], prompt_price: float = 0.0, completion_price: float = 0.0) -> str:
    """What came of asking a language model, as Markdown: taken, attempts, tokens and their price (of a million), and
    what answers were rejected for; empty where none was asked."""
    names = dict.fromkeys(name for record in records for name in record.writing)
    if not names:
        return ""
    lines = ["| written | clips | taken | attempts rejected | tokens in | tokens out | price |"]
    lines.append("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    reasons: Counter[str] = Counter()
    for name in names:
        those = [record.writing[name] for record in records if name in record.writing]
        asked, said = sum(w.prompt_tokens for w in those), sum(w.completion_tokens for w in those)
        price = (asked * prompt_price + said * completion_price) / 1e6
        taken = sum(not w.error for w in those)
        rejected = [reason for w in those for reason in w.rejected]
        lines.append(f"| {name} | {len(those)} | {taken} | {len(rejected)} | {asked} | {said} | {price:.4f} |")
        reasons.update(f"rejected, {name}: {_kind(reason)}" for reason in rejected)
        reasons.update(f"not written, {name}: {w.error}" for w in those if w.error)
    return "\n".join([*lines, "", *(f"- {reason} ({count})" for reason, count in reasons.most_common(20))]) + "\n"


def _kind(reason: str) -> str:
    """A reason without what it says of the one answer: the field it begins with, and what follows a colon."""
    known = (
        "empty",
        "too long",
        "too short",
        "refusal",
        "wrong language",
        "not grounded",
        "about the reports",
        "no JSON",
    )
    return next((kind for kind in known if kind in reason), reason)


def _categories(kept: Sequence[Record]) -> list[str]:
    """Clips, hours and domains of each category, the paper's order."""
    lines = ["| category | clips | hours | domains |", "| --- | ---: | ---: | --- |"]
    for category in (*CATEGORIES, None):
        those = [record for record in kept if record.category == category]
        if those or category:
            hours = sum(record.duration_seconds for record in those) / 3600
            domains = Counter(record.domain for record in those if record.domain)
            counts = ", ".join(f"{domain} {count}" for domain, count in sorted(domains.items()))
            lines.append(f"| {category or 'nothing heard'} | {len(those)} | {hours:.2f} | {counts} |")
    return lines

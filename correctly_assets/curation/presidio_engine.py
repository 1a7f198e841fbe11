"""Presidio's recognisers for personal data, put together so that nothing is fetched.

Belongs here: which recognisers are used, and the patterns for keys. Does not belong here: what is asked of them (pii.py), which
imports this module at the first text that needs it: Presidio takes seconds to load. The network is never used: the engine is a
blank spaCy pipeline, and the public-suffix list that the e-mail recogniser asks for is the copy that its package carries.
"""

from __future__ import annotations

from typing import Any

import tldextract
from presidio_analyzer import AnalyzerEngine, Pattern, PatternRecognizer, RecognizerRegistry
from presidio_analyzer import predefined_recognizers as known
from presidio_analyzer.nlp_engine import SpacyNlpEngine
from spacy.language import Language

from correctly_assets.language.parser import import_spacy

KEY_PATTERNS: tuple[tuple[str, str], ...] = (
    ("OpenAI-like key", r"\b(?:sk|pk|rk)-[A-Za-z0-9_\-]{16,}"),
    ("Stripe key", r"\b(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{16,}"),
    ("GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})"),
    ("AWS access key", r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    ("Google key", r"\bAIza[A-Za-z0-9_\-]{30,}"),
    ("Slack token", r"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
    ("Hugging Face token", r"\bhf_[A-Za-z0-9]{20,}"),
    ("JSON web token", r"\beyJ[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]{10,}\.[A-Za-z0-9_\-]{5,}"),
    ("Private key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    (
        "Named secret",
        r"(?i)\b(?:api[ _-]?key|access[ _-]?key|secret|token|password|passwd|pwd)\b[\"']?\s*(?:[:=]|is)\s*[\"']?"
        r"(?=[^\s\"']*[0-9])(?=[^\s\"']*[A-Za-z])[^\s\"']{8,}",
    ),
)
PHONE_REGIONS = ("US", "GB", "DE", "FR", "KR", "JP", "IN")
# Only ids with a checksum or letters: of any nine digits, one in ten would pass for a Canadian or Australian one.
NATIONAL_IDS = (
    "UsSsnRecognizer", "UsItinRecognizer", "UkNinoRecognizer", "NhsRecognizer", "EsNifRecognizer", "EsNieRecognizer",
    "ItFiscalCodeRecognizer", "PlPeselRecognizer", "FiPersonalIdentityCodeRecognizer", "SePersonnummerRecognizer",
    "DeTaxIdRecognizer", "DeSocialSecurityRecognizer", "KrRrnRecognizer", "KrFrnRecognizer", "InAadhaarRecognizer",
    "SgFinRecognizer", "ThTninRecognizer", "TrNationalIdRecognizer", "ZaIdNumberRecognizer",
)  # fmt: skip


def build_engine() -> AnalyzerEngine:
    """The analyzer with every recogniser that is used."""
    # No suffix_list_urls and no cache: the suffix list is the one in the package, and nothing is fetched or written.
    suffixes = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)

    class OfflineEmailRecognizer(known.EmailRecognizer):
        def validate_result(self, pattern_text: str) -> bool:
            return suffixes(pattern_text).fqdn != ""

    class BlankEngine(SpacyNlpEngine):
        def __init__(self) -> None:
            super().__init__(models=[{"lang_code": "en", "model_name": "blank"}])
            self.nlp: Any = {"en": _blank()}

        def load(self) -> None:
            pass

    # Plain words before a full stop look like hosts ("home.it was"), so only what says that it is an address counts.
    base = known.UrlRecognizer.BASE_URL_REGEX
    urls = known.UrlRecognizer(
        patterns=[
            Pattern("URL with scheme", r"(?i)\b(?:https?|ftp)://[^\s<>\"']*[^\s<>\"'.,;:!?)\]]", 0.6),
            Pattern("URL with www", r"(?i)\b(?=www\d{0,3}\.)" + base, 0.5),
        ]
    )
    recognizers: list[Any] = [
        OfflineEmailRecognizer(),
        urls,
        known.PhoneRecognizer(supported_regions=PHONE_REGIONS),
        known.CreditCardRecognizer(),
        known.IbanRecognizer(),
        known.IpRecognizer(),
        known.CryptoRecognizer(),
        *(getattr(known, name)(supported_language="en") for name in NATIONAL_IDS),
        PatternRecognizer(
            supported_entity="API_KEY", patterns=[Pattern(name, regex, 0.9) for name, regex in KEY_PATTERNS]
        ),
    ]
    registry = RecognizerRegistry(recognizers=recognizers, supported_languages=["en"])
    return AnalyzerEngine(registry=registry, nlp_engine=BlankEngine(), supported_languages=["en"])


def _blank() -> Any:
    # Presidio looks for telling words ("call me on …") among lemmas; a blank pipeline has none, lower case will do.
    @Language.component("correctly_lower_lemmas")
    def lower_lemmas(doc: Any) -> Any:
        for token in doc:
            token.lemma_ = token.lower_
        return doc

    pipeline = import_spacy().blank("en")
    pipeline.add_pipe("correctly_lower_lemmas")
    return pipeline

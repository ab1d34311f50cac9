"""The settings of `privacy`: what to look for, and what to do with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from sftdata.settings.groups import Settings, as_names

Kind = Literal["private_key", "api_key", "email", "iban", "credit_card", "ip_address", "phone"]
# In order of priority: where findings overlap, the first kind is kept.
KINDS: tuple[Kind, ...] = ("private_key", "api_key", "email", "iban", "credit_card", "ip_address", "phone")


class PrivacyConfig(Settings):
    """What to do with personal data and secrets: a mode, or a mapping."""

    short_for: ClassVar = "mode"

    mode: Literal["off", "report", "redact", "drop"] = Field(
        "report",
        description="off: do not search; report: count findings; redact: replace them with [EMAIL] and the like, in "
        "prompts and answers; drop: drop records with findings",
    )
    kinds: tuple[Kind, ...] = Field(KINDS, description="what to look for")
    phone_regions: tuple[str, ...] = Field(
        ("US", "GB", "DE", "FR", "ES", "IT", "IN", "CN", "AU", "JP"),
        description="countries whose national phone numbers are recognized, as two-letter codes; numbers with + and a "
        "country code are always recognized",
    )
    private_ips: bool = Field(
        False, description="also find IP addresses that identify no one: 127.0.0.1, 192.168.1.1, 8.8.8.8"
    )

    @model_validator(mode="before")
    @classmethod
    def _bare_mode(cls, value: object) -> object:
        """A bare mode means a mapping with that mode. YAML reads a bare `off` as false."""
        if isinstance(value, (str, bool)) or value is None:
            value = {"mode": value}
        if isinstance(value, Mapping) and value.get("mode", "") in (False, None):
            value = {**value, "mode": "off"}
        return value

    @field_validator("kinds", "phone_regions", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        return as_names(value, norwegian="NO")

    @field_validator("phone_regions")
    @classmethod
    def _known_regions(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        from phonenumbers import SUPPORTED_REGIONS

        unknown = [region for region in value if region not in SUPPORTED_REGIONS]
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: write countries as two capital letters, such as US, GB, DE")
        return value

"""Who and what is on a fresh sandbox wiki: a typed description that `php/setup.php` carries out."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class BotPassword:
    """A bot password; one logs in with it as `Account@app_id`.

    Attributes:
        app_id: Its name.
        password: 32 characters or more, or MediaWiki refuses it.
        grants: What it may do, by the grants' internal names.
    """

    app_id: str
    password: str
    grants: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """A registered user.

    Attributes:
        name: User name.
        password: Main password.
        groups: Internal names of the groups it is in.
        bot_passwords: Its bot passwords.
    """

    name: str
    password: str
    groups: tuple[str, ...] = ()
    bot_passwords: tuple[BotPassword, ...] = ()


@dataclass(frozen=True, slots=True)
class AbuseFilter:
    """An active filter.

    Attributes:
        name: Public description.
        pattern: Rule in AbuseFilter's language.
        action: Consequence, `disallow` or `warn`.
        message: Name of the interface message that is shown.
    """

    name: str
    pattern: str
    action: str
    message: str


@dataclass(frozen=True, slots=True)
class SiteSpec:
    """Everything on a fresh site.

    Attributes:
        accounts: The first is made by the installer and is the author of pages and filters.
        pages: Full title to wikitext.
        abuse_filters: Active filters.
    """

    accounts: tuple[Account, ...]
    pages: Mapping[str, str] = field(default_factory=dict)
    abuse_filters: tuple[AbuseFilter, ...] = ()

    def account(self, name: str) -> Account:
        """The account of that name."""
        return next(account for account in self.accounts if account.name == name)


ADMIN = Account("Admin", "Sandbox-admin-pass-1", ("sysop", "bureaucrat", "interface-admin"))
REVIEWER = Account("Reviewer", "Sandbox-review-pass-1", ("image-reviewer",))
PATROLLER = Account("Patroller", "Sandbox-patrol-pass-1", ("patroller",))
UPLOADER = Account("Uploader", "Sandbox-upload-pass-1")
NEWCOMER = Account("Newcomer", "Sandbox-newcomer-pass-1")
REVIEW_BOT = Account(
    "ReviewBot",
    "Sandbox-botmain-pass-1",
    ("bot",),
    (
        BotPassword(
            "sandbox",
            "0123456789abcdef0123456789abcdef",
            ("basic", "highvolume", "editpage", "editmycssjs", "createeditmovepage"),
        ),
    ),
)

# Words that make a filter of the default site act; nothing else contains them.
DISALLOWED_TEXT = "abusefilter-disallow-me"
WARNED_TEXT = "abusefilter-warn-me"
DISALLOWED_UPLOAD = "forbidden upload"
SPAM_DOMAIN = "spam-domain.example"
BLACKLISTED_TITLE = "Blacklisted title"

DEFAULT_SPEC = SiteSpec(
    accounts=(ADMIN, REVIEWER, PATROLLER, UPLOADER, NEWCOMER, REVIEW_BOT),
    pages={
        "Template:Information": (
            '{| class="wikitable"\n| Description || {{{description|}}}\n|-\n'
            "| Source || {{{source|}}}\n|-\n| Author || {{{author|}}}\n|}"
        ),
        "Template:Delete": "''This file is proposed for deletion: {{{1|}}}''[[Category:Deletion requests]]",
        "MediaWiki:Spam-blacklist": SPAM_DOMAIN.replace(".", r"\."),
        "MediaWiki:Titleblacklist": f".*{BLACKLISTED_TITLE}.*",
    },
    abuse_filters=(
        AbuseFilter(
            "Sandbox: refused text",
            f'added_lines irlike "{DISALLOWED_TEXT}"',
            "disallow",
            "abusefilter-disallowed",
        ),
        AbuseFilter(
            "Sandbox: text with a warning",
            f'added_lines irlike "{WARNED_TEXT}"',
            "warn",
            "abusefilter-warning",
        ),
        AbuseFilter(
            "Sandbox: refused upload",
            f'action == "upload" & page_title irlike "{DISALLOWED_UPLOAD}"',
            "disallow",
            "abusefilter-disallowed",
        ),
    ),
)

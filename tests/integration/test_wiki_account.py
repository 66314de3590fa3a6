"""The bot goes to work only as the account, on the wiki, and with the rights that the settings name."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from bot import wiki as wiki_module
from bot.errors import ConfigError, ServiceDown
from bot.settings import ROOT
from bot.wiki import Wiki
from tests.fault_proxy import answering, fault_proxy
from tests.review_bot import connect, password_file, review_settings
from tests.sandbox_wiki import SandboxWiki
from tests.sandbox_wiki.accounts import REVIEW_BOT
from tests.sandbox_wiki.server import free_port

pytestmark = pytest.mark.slow

SECRET = REVIEW_BOT.bot_passwords[0].password


def test_a_bot_password_signs_in_and_nothing_is_dropped_into_the_project(
    sandbox_wiki: SandboxWiki, tmp_path: Path
) -> None:
    before = set(ROOT.iterdir())
    wiki = connect(sandbox_wiki, tmp_path)
    assert wiki.bot_name == "ReviewBot"
    assert wiki.max_page_bytes() == 2048 * 1024
    assert set(ROOT.iterdir()) - before <= {ROOT / "__pycache__"}
    cookies = next((tmp_path / "state").rglob("*.lwp"))
    assert cookies.stat().st_mode & 0o077 == 0


def test_a_second_start_uses_the_stored_session_instead_of_the_password(
    sandbox_wiki: SandboxWiki, tmp_path: Path
) -> None:
    with fault_proxy(sandbox_wiki.base_url) as proxy:
        connect(sandbox_wiki, tmp_path, api_url=proxy.api_url)
        assert proxy.actions().count("login") == 1
        connect(sandbox_wiki, tmp_path, api_url=proxy.api_url)
        assert proxy.actions().count("login") == 1


def test_an_underscore_in_the_settings_is_the_space_of_the_account(
    sandbox_wiki: SandboxWiki, tmp_path: Path
) -> None:
    assert connect(sandbox_wiki, tmp_path, user="reviewBot").bot_name == "ReviewBot"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (f"('ReviewBot', BotPassword('sandbox', '{'x' * 32}'))", "does not let ReviewBot@sandbox in"),
        ("('SomebodyElse', BotPassword('sandbox', 'x'))", "has no password for ReviewBot"),
        ("('ReviewBot', 'Sandbox-botmain-pass-1')", "main password"),
        (f"('ReviewBot', BotPassword('{SECRET}'))", "not a pywikibot password file"),
        (f"ReviewBot {SECRET}", "not a pywikibot password file"),
        (f"('a', 'b', 'c', 'd', '{SECRET}')", "has no password for ReviewBot"),
    ],
)
def test_a_wrong_password_file_is_named_without_showing_what_is_in_it(
    sandbox_wiki: SandboxWiki, tmp_path: Path, line: str, says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=says) as refusal:
        connect(sandbox_wiki, tmp_path, password_file=password_file(tmp_path, line))
    shown = capfd.readouterr()
    assert SECRET not in str(refusal.value) + shown.out + shown.err


def test_a_missing_password_file_is_named(sandbox_wiki: SandboxWiki, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.py: no such password file"):
        connect(sandbox_wiki, tmp_path, password_file=tmp_path / "nowhere.py")


def test_no_password_reaches_the_log(
    sandbox_wiki: SandboxWiki, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with fault_proxy(sandbox_wiki.base_url) as proxy:
        proxy.fail("login", answering(500))
        connect(sandbox_wiki, tmp_path, api_url=proxy.api_url)
    assert any(record.message == "wiki_signed_in" for record in caplog.records)
    assert SECRET not in "".join(str(vars(record)) for record in caplog.records)


def test_an_account_that_does_not_exist_is_refused(sandbox_wiki: SandboxWiki, tmp_path: Path) -> None:
    line = f"('Nobody at all', BotPassword('sandbox', '{SECRET}'))"
    with pytest.raises(ConfigError, match="does not let Nobody at all@sandbox in"):
        connect(sandbox_wiki, tmp_path, user="Nobody_at_all", password_file=password_file(tmp_path, line))


def test_an_account_without_the_bot_flag_may_not_write(sandbox_wiki: SandboxWiki, tmp_path: Path) -> None:
    sandbox_wiki.set_groups("ReviewBot", remove=["bot"])
    try:
        with pytest.raises(ConfigError, match="ReviewBot has no bot flag"):
            connect(sandbox_wiki, tmp_path)
        assert connect(sandbox_wiki, tmp_path, require_bot=False).bot_name == "ReviewBot"
        assert connect(sandbox_wiki, tmp_path, dry_run=True).bot_name == "ReviewBot"
    finally:
        sandbox_wiki.set_groups("ReviewBot", add=["bot"])


def test_another_wiki_is_refused(sandbox_wiki: SandboxWiki, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is commonswiki, but wiki\.id is testwiki"):
        connect(sandbox_wiki, tmp_path, wiki_id="testwiki")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"family": "nonsense"}, "does not know 'nonsense'"),
        ({"family": "commons", "code": "xx"}, "commons has no 'xx'"),
        ({"family": "wikipedia", "code": "test"}, "mean https://test.wikipedia.org/w/api.php"),
    ],
)
def test_a_family_that_is_not_the_wiki_that_is_followed_is_refused_without_asking_it(
    tmp_path: Path, changes: dict[str, str], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        Wiki.connect(
            review_settings(**changes),
            user_agent="tests",
            api_url="https://commons.wikimedia.org/w/api.php",
            state=tmp_path,
        )


def test_a_configuration_file_that_pywikibot_would_skip_is_an_error(
    sandbox_wiki: SandboxWiki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiki_module, "ROOT", tmp_path)
    with pytest.raises(ConfigError, match=r"user-config\.py: cannot be read"):
        connect(sandbox_wiki, tmp_path)
    config = tmp_path / "user-config.py"
    config.write_text("")
    config.chmod(0o666)
    with pytest.raises(ConfigError, match=r"others may write to it.*chmod o-w"):
        connect(sandbox_wiki, tmp_path)


def test_a_wiki_that_does_not_answer_is_down_and_not_misconfigured(
    sandbox_wiki: SandboxWiki, tmp_path: Path
) -> None:
    with pytest.raises(ServiceDown, match="Connection refused"):
        connect(sandbox_wiki, tmp_path, api_url=f"http://127.0.0.1:{free_port()}/w/api.php")


def test_something_that_is_no_mediawiki_is_reported_as_down(
    sandbox_wiki: SandboxWiki, tmp_path: Path
) -> None:
    with fault_proxy(sandbox_wiki.base_url) as proxy:
        proxy.fail("query", *[answering(200, b'{"hello": "world"}')] * 50)
        with pytest.raises(ServiceDown):
            connect(sandbox_wiki, tmp_path, api_url=proxy.api_url)


def test_without_an_account_the_wiki_can_be_read_and_edits_are_only_logged(
    sandbox_wiki: SandboxWiki, tmp_path: Path
) -> None:
    sandbox_wiki.edit("Newcomer", "Read by nobody", "text")
    with fault_proxy(sandbox_wiki.base_url) as proxy:
        wiki = connect(
            sandbox_wiki, tmp_path, api_url=proxy.api_url, log_in=False, password_file=tmp_path / "none"
        )
        page = wiki.read(["Read by nobody"])["Read by nobody"]
        assert page.text == "text"
        assert wiki.write(page, "changed", "summary") is None
        assert not {"login", "edit"} & set(proxy.actions())
    assert wiki.bot_name == "ReviewBot"


def test_pywikibot_is_not_imported_before_it_is_needed_and_ignores_the_command_line() -> None:
    program = (
        "import sys; sys.argv = ['bot', '-dir:/nowhere', '-config:other', '-simulate']\n"
        "import bot.wiki; assert 'pywikibot' not in sys.modules\n"
        "pywikibot = bot.wiki._load_pywikibot(); assert sys.argv[1] == '-dir:/nowhere'\n"
        "assert pywikibot.config.family == 'commons' and not pywikibot.config.simulate\n"
        "assert pywikibot.config.password_file == str(bot.wiki.ROOT / 'user-password.py')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_oauth_is_read_from_the_environment_and_its_package_is_asked_for() -> None:
    program = (
        "import bot.wiki, sys; pywikibot = bot.wiki._load_pywikibot()\n"
        "assert pywikibot.config.authenticate == {'*': ('a', 'b', 'c', 'd')}\n"
        "sys.modules['requests_oauthlib'] = None\n"
        "import importlib.util; importlib.util.find_spec = lambda name: None\n"
        "from bot.errors import ConfigError\n"
        "try: bot.wiki._configure(pywikibot, 'agent', 1)\n"
        "except ConfigError as error: assert 'requests-oauthlib' in str(error)\n"
        "else: raise SystemExit('no error')\n"
    )
    names = ("PWB_CONSUMER_TOKEN", "PWB_CONSUMER_SECRET", "PWB_ACCESS_TOKEN", "PWB_ACCESS_SECRET")
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=dict(zip(names, "abcd", strict=True)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr

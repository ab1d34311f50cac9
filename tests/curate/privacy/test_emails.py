"""Mail addresses, and code, logins and packages that have an @ too."""

from __future__ import annotations

import pytest
from phonenumbers import SUPPORTED_REGIONS

from sftdata.curate.privacy.domains import TOP_LEVEL, is_domain
from sftdata.curate.privacy.redact import find_private


@pytest.mark.parametrize(
    "text",
    [
        "(q@k.transpose(-2,-1)) x@W.detach() X@w.sum(0) X.T@X.values Q@K.mT A@B.conj() x@W.to('cuda') x@W.to.y(3)",
        "W@h.id, W_q@x.it, A@B.co",
        "x@M.at[0], v@self.is.leaf(), A@B.T, U@S@V.H, a@b.shape",
        "@angular/core@1.2.3 @types/node foo@1.2.3 foo@1.2.3-rc.in foo@^2.0 vue@next golang.org/x/tools@v0.1.0",
        "git@github.com:a/b.git bo@host.se:a/b.git bo@host.se:/srv bo@host.se:~/a bo@host.se:./a ssh://bo@host.se:22/a",
        "scp a.txt bo@host.se:a.txt\nscp bo@host.se:a.txt .\nrsync -a a/ bo@host.se:a\ngit clone bo@host.se:a",
        "ssh bo@host.se\nssh -i key.pem -p 22 bo@host.se\n$ ssh-copy-id bo@host.se\nsftp bo@host.se",
        "[root@db1.host.se ~]# ls\nbo@host.se:~$ make",
        "https://bo@host.se/ ftp://bo:pw@host.se/",
        "root@server.local bo@nas.lan me@laptop.home cron@localhost.localdomain",
        "@bo@mastodon.social @user.name @media @app.route",
        "bo at ho dot se, look (at) this. one (dot) com",
        "me@example.com me@mail.example.org me@a.test your_name@firm.se",
    ],
)
def test_what_only_has_an_at_sign_is_no_address(text: str) -> None:
    assert find_private(text) == ()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("bo@ho.se: hello", "bo@ho.se"),
        ("bo@ho.se:hunter2", "bo@ho.se"),
        ("bo@ho.se (work)", "bo@ho.se"),
        ("bo@ho.se（仕事）", "bo@ho.se"),
        ("write to bo@ho.se.Thanks", "bo@ho.se"),
        ("ask about ssh at bo@ho.se", "bo@ho.se"),
        ("git questions: bo@ho.se: ask", "bo@ho.se"),
        ("mailto:bo@ho.se?subject=a", "bo@ho.se"),
        ("a\\nnan@ho.se\\n", "nan@ho.se"),
        ("BO@HO.SE", "BO@HO.SE"),
        ("Bo@Ho.Se", "Bo@Ho.Se"),
        ("bo@post.com.py", "bo@post.com.py"),
        ("bo@post.xn--p1ai", "bo@post.xn--p1ai"),
        ("Mail bo [at] ho [dot] se now", "bo [at] ho [dot] se"),
        ("bo(at)mail(dot)ho(dot)se.", "bo(at)mail(dot)ho(dot)se"),
        ("bo.b{at}ho.se", "bo.b{at}ho.se"),
        ("BO [AT] HO [DOT] SE", "BO [AT] HO [DOT] SE"),
    ],
)
def test_an_address_is_found_as_people_write_it(text: str, found: str) -> None:
    assert [(finding.kind, text[finding.start : finding.end]) for finding in find_private(text)] == [("email", found)]


def test_top_level_domains_are_known_ones_in_one_case() -> None:
    assert is_domain("ho.se") and is_domain("HO.SE") and is_domain("ho.museum") and is_domain("почта.рф")
    assert not is_domain("w.detach") and not is_domain("k.mT") and not is_domain("w.sum") and not is_domain("user.name")


def test_the_domains_of_all_countries_are_known() -> None:
    """Of those that have phone numbers, except those without a domain in use; of others, those below."""
    countries = {region.lower() for region in SUPPORTED_REGIONS}
    assert countries - TOP_LEVEL == {"bl", "bq", "eh", "mf", "sj", "ta", "xk"}
    assert {"uk", "eu", "aq", "tf", "gs"} <= TOP_LEVEL

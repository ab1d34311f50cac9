"""Words beside a number in four parts that say whether it is an IP address or a version, a section and the like."""

from __future__ import annotations

import re
from enum import IntEnum


class Hint(IntEnum):
    """What the nearest word says that says anything."""

    NONE = 0
    SOFTWARE = 1  # what is done with versions, and sometimes with addresses
    VERSION = 2
    HOST = 3  # a machine, which has addresses, but versions too
    ADDRESS = 4


_WORDS_OF = {
    Hint.VERSION: """
        version versions versioned ver vers v rev revision release released releases build builds firmware sdk bios
        section sections sect sec subsection chapter chapters clause clauses paragraph paragraphs para article appendix
        annex figure figures fig theorem lemma definition requirement requirements req exercise exercises oid oids uid
        abschnitt kapitel ziffer absatz abbildung fassung versión versao versão versione sección capítulo seção sezione
        capitolo chapitre rubrique версия версии раздел глава пункт
        """,
    Hint.SOFTWARE: """
        update updated updates updating upgrade upgraded upgrading upgrades downgrade downgraded bump bumped patch
        patched install installed installing installs since runs running latest newest newer older stable beta alpha
        changelog driver drivers library package compatible require requires required supports supported deprecated
        dll kernel app plugin see cf table tables item items step steps rule rules question problem equation eq page
        pages part parts heading topic control bug bugs fix fixed fixes introduced removed added according
        punkt siehe tabelle aktualisiert installiert mise обновление
        """,
    Hint.HOST: """
        host hosts hostname server servers serveur servidor сервер client clients peer peers remote router network
        nodes machine vm source destination sender proxy proxies endpoint attacker attackers intruder scanner
        scanners visitor visitors firewall ban bans banned block blocks blocked deny denied allow allowed whitelist
        blacklist blocklist allowlist connect connects connected connecting connection connections listen listens
        listening bind login logins logged request requests traffic packet packets port via route icmp ttl http tcp
        udp accessed came reachable unreachable responded refused listener origin upstream drop dropped reject accept
        accepted master slave replica target nas user users password trying reach respond get post put head
        """,
    Hint.ADDRESS: """
        ip ips ipaddr ipaddress address addresses addr addrs adresse adressen dirección direcciones indirizzo endereço
        адрес адреса subnet netmask gateway nameserver nameservers resolver dns inet cidr ping pinging traceroute
        tracert telnet ssh scp sftp curl wget nmap nslookup dig whois src dst forwarded ptr iptables vpn rdap
        """,
}
_HINTS = {word: hint for hint, words in _WORDS_OF.items() for word in words.split()}
# Words that say nothing by themselves; the word before them counts as the next one.
_FILLERS = frozenset(
    """
    is are was were be of the a an at on to no nr number numbers now currently equals with by in from for and or as its
    it this that my your our der die das ist von auf zu und est le la les de du el es un une il
    """.split()  # noqa: SIM905
)
_CJK_VERSION = ("版本", "版", "章", "节", "節", "第", "バージョン", "버전")
_CJK_ADDRESS = ("地址", "アドレス", "주소")
_CJK_HOST = ("服务器", "服務器", "主机", "サーバー", "서버", "客户端")

# Parts of names count as words: remote_addr, clientIp, AssemblyFileVersion. What is replaced already is no word.
_WORDS = re.compile(r"\[[A-Z_]+\]|IPs|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+|\d+|[.!?;] ")
_MAX_WORDS = 10


def _hint(word: str) -> Hint:
    """What one word says."""
    if hint := _HINTS.get(word.lower(), Hint.NONE):
        return hint
    if not word.isascii():
        for parts, hint in ((_CJK_ADDRESS, Hint.ADDRESS), (_CJK_HOST, Hint.HOST), (_CJK_VERSION, Hint.VERSION)):
            if any(part in word for part in parts):
                return hint
    return Hint.NONE


def hint_before(head: str) -> tuple[Hint, bool]:
    """What the nearest word of a kind before the number says, and whether only fillers stand between them."""
    is_next = True
    words = [word for word in _WORDS.findall(head) if word[0] not in "[.!?;"]
    for word in reversed(words[-_MAX_WORDS:]):
        hint = _hint(word)
        if hint != Hint.NONE:
            return hint, is_next
        if word.lower() not in _FILLERS:
            is_next = False
    return Hint.NONE, False


def hint_after(tail: str) -> Hint:
    """What the first words behind the number say, up to the end of the sentence."""
    for word in _WORDS.findall(tail)[:5]:
        if word[0] in ".!?;":
            return Hint.NONE
        if word[0] != "[" and (hint := _hint(word)) != Hint.NONE:
            return hint
    return Hint.NONE

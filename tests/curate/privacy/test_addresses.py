"""IP addresses, and the numbers in four parts that are none, in one line each."""

from __future__ import annotations

import pytest

from sftdata.curate.privacy.redact import find_private
from sftdata.curate.privacy.settings import PrivacyConfig


def addresses(text: str, **settings: bool) -> list[str]:
    found = find_private(text, PrivacyConfig(kinds=("ip_address",), **settings))
    return [text[finding.start : finding.end] for finding in found]


@pytest.mark.parametrize(
    "text",
    [
        "cuDNN 8.9.7.29",
        "Oracle 19.3.0.0",
        "see 3.2.1.4",
        "version 10.0.19041.1",
        "v1.2.3.4",
        "Chrome/120.0.6099.109",
        "1.2.3.4.5",
        "Windows Server 2019 (10.0.17763.1)",
        "I'm using TensorRT 8.6.1.6 on Jetson",
        "TensorRT-8.6.1.6.Linux.x86_64-gnu.cuda-12.0.tar.gz",
        "NVIDIA cuDNN 8.9.2.26 for CUDA 12",
        "tensorrt==8.6.1.6",
        "requires libcudnn8=8.9.7.29-1+cuda12.2",
        "Flash 32.0.0.171 is old",
        "the 11.2.0.4 database was patched to 12.1.0.2",
        "Upgrade path: 11.2.0.4 -> 12.1.0.2 -> 19.3.0.0",
        "JDK 11.0.20.101",
        "Acrobat Reader 23.8.20.555 and 23.8.20.101",
        "Skype 8.110.0.215",
        "skype 8.110.0.215 crashes",
        "I think 4.7.210.1 broke it",
        "Unity plugin 2.19.101.44",
        "dotnet 4.7.2.0",
        "System.Runtime, Version=4.2.1.0, Culture=neutral",
        "Newtonsoft.Json 13.0.3.27908",
        "assembly System.Web.Mvc 5.2.7.0",
        "Autodesk 24.1.51.0",
        "IIS 10.0.20.1",
        "1.4.1.2 Results\n\nWe ran it.",
        "4.1.2.3. Method. 4.1.2.4. Data.",
        "A.1.2.3.4",
        "Art. 3.2.1.4 lit. b",
        "(see 5.4.3.2, 5.4.3.3)",
        "Lemma 2.3.4.5 shows",
        "pump 2.1.30.4",
        "item 12.4.3.2 costs 12.4",
        "hostname FooServer 5.4.3.2",
        "Java(TM) SE Runtime Environment (build 1.8.0.231-b11)",
        "openssh 8.9.1.1 server",
        "linux kernel 5.15.90.1-microsoft-standard-WSL2",
        "kernel: 5.15.90.1",
        "WSL version: 1.2.5.0",
        "WSLg version: 1.0.51.0",
        "Direct3D version: 1.608.2-61064218",
        "MSRDC version: 1.2.3770",
        "DXCore version: 10.0.25131.1002",
        "Windows version: 10.0.19045.2965",
        "xcode 14.3.1.2",
        "Product version 22.214.71.1",
        "rates 1.1.1.2 2.2.2.1",
        "IEC 60601-1 clause 8.5.2.3",
        "LibreOffice 7.3.7.2 30(Build:2)",
        "LibreOffice 7.5.3.2 (X86_64)",
        "Kodi 19.4.0.0",
        "edition 3.1.2.2 of the rules",
        "Google Play services 23.18.18",
        "the firmware from 2.15.101.88 onwards",
        "Teams 24.102.2223.4870, Zoom 5.17.11.34827",
        "WhatsApp 2.23.25.83",
        "WhatsApp 2.24.101.15 on Android",
        "Instagram 123.0.0.21.115 Android",
        "Signal 6.42.3.101",
        "Dell BIOS 1.21.0.101",
        "ESXi 7.0.3.101",
        "OIDs: 2.5.4.3, 2.5.29.17, 1.2.840.113549.1.1.11",
        "Postgres 9.6.24.101",
        "mean (sd): 1.1.2.3",
        "Teil 3.4.5.6 gilt",
        "wasp 10.3.2.1",
        "Ch. 4.5.6.7",
        "\\subsubsection{4.5.6.7}",
        "| 1.2.1.1 | Define scope |\n| 1.2.1.2 | Plan |",
        "WBS 1.2.1.1, 1.2.1.2",
        "CHANGES\n=======\n2.4.58.101\n- fix",
        "Cisco IOS 15.2.4.101",
        "rpm -q foo: foo-5.14.101.22-1.el9",
        "helm chart foo-12.1.101.22",
        "net.core 10.20.30.40 dll",
    ],
)
def test_versions_sections_and_the_like_are_no_addresses(text: str) -> None:
    assert addresses(text) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("8.34.208.77", ["8.34.208.77"]),
        ("I was hacked by 91.240.118.172!", ["91.240.118.172"]),
        ("My IP is 23.45.67.89.", ["23.45.67.89"]),
        ("ip=23.45.67.89", ["23.45.67.89"]),
        ("IP: 3.2.1.4", ["3.2.1.4"]),
        ("server at 52.14.3.2 is down", ["52.14.3.2"]),
        ("ssh root@3.14.15.92", ["3.14.15.92"]),
        ("ftp://12.34.56.78/x", ["12.34.56.78"]),
        ("12.34.56.78:8080", ["12.34.56.78"]),
        ("the host 12.34.56.78 is up", ["12.34.56.78"]),
        ("Connection from 12.34.56.78", ["12.34.56.78"]),
        ("34.76.52.0/24", ["34.76.52.0"]),
        ("curl 23.45.67.89", ["23.45.67.89"]),
        ("ping 4.2.2.2", ["4.2.2.2"]),
        ("dig @4.2.2.1 foo", ["4.2.2.1"]),
        ("A record: 23.45.67.89", ["23.45.67.89"]),
        ("Last login: Mon from 23.45.67.89", ["23.45.67.89"]),
        ("Received: from [23.45.67.89] (helo=x)", ["23.45.67.89"]),
        ("23.45.67.89 foo.okafor.ng", ["23.45.67.89"]),
        ("Reverse of 23.45.67.89?", ["23.45.67.89"]),
        ("listen_addresses = '23.45.67.89'", ["23.45.67.89"]),
        ("hostip: 23.45.67.89", ["23.45.67.89"]),
        ("externalIPs:\n- 23.45.67.89\n- 24.45.67.90", ["23.45.67.89", "24.45.67.90"]),
        ("clientIP=23.45.67.89", ["23.45.67.89"]),
        ("serverIp: 23.45.67.89", ["23.45.67.89"]),
        ("BindIP 23.45.67.89", ["23.45.67.89"]),
        ("--host 23.45.67.89", ["23.45.67.89"]),
        ("-h 23.45.67.89", ["23.45.67.89"]),
        ("peer: 23.45.67.89", ["23.45.67.89"]),
        ("[23.45.67.89]:25", ["23.45.67.89"]),
        ('"ip":"23.45.67.89"', ["23.45.67.89"]),
        ("192.168.0.2 -> 23.45.67.89", ["23.45.67.89"]),
        ("EXTERNAL-IP 23.45.67.89", ["23.45.67.89"]),
        ("ec2-user@13.58.4.9", ["13.58.4.9"]),
        ("rdesktop 23.45.67.89", ["23.45.67.89"]),
        ("Server IP address: 13.58.4.9", ["13.58.4.9"]),
        ("blocked IPs:\n13.58.4.9\n13.58.4.10\n23.1.1.4", ["13.58.4.9", "13.58.4.10", "23.1.1.4"]),
        ("route to 13.58.4.9 via 10.0.0.1", ["13.58.4.9"]),
        ("the address 13.58.4.9", ["13.58.4.9"]),
        ("13.58.4.9 is my ip", ["13.58.4.9"]),
        ("the IP was 13.58.4.9", ["13.58.4.9"]),
        ("IPs 13.58.4.9 / 13.58.4.10", ["13.58.4.9", "13.58.4.10"]),
        ("2023-01-01 10:00:00 13.58.4.9 GET /index.html", ["13.58.4.9"]),
        ('13.58.4.9 - bo [10/Oct/2000:13:55:36 -0700] "GET"', ["13.58.4.9"]),
        ("Jan 1 00:00:01 web sshd[1]: Invalid user admin from 13.58.4.9", ["13.58.4.9"]),
        ("$ host kestrel-labs.io\nkestrel-labs.io has address 13.58.4.9", ["13.58.4.9"]),
        ("Trying 13.58.4.9...\nConnected to 13.58.4.9.", ["13.58.4.9", "13.58.4.9"]),
        ("Address: 13.58.4.9#53", ["13.58.4.9"]),
        ("inet 13.58.4.9 netmask 255.255.255.0", ["13.58.4.9"]),
        ("http://13.58.4.9", ["13.58.4.9"]),
        ("whois 13.58.4.9", ["13.58.4.9"]),
        ("unable to reach 13.58.4.9", ["13.58.4.9"]),
        ("13.58.4.9 did not respond", ["13.58.4.9"]),
        ("2606:4700:4700::1111", ["2606:4700:4700::1111"]),
        ("IPv6 2A00:1450:4001:0829:0000:0000:0000:200E", ["2A00:1450:4001:0829:0000:0000:0000:200E"]),
        ("[2a00:1450:4001:829::200e]:443", ["2a00:1450:4001:829::200e"]),
        ("2a00:1450:4001:829::200e/64", ["2a00:1450:4001:829::200e"]),
        ("fd00 2a02:26f0:1700:0:0:0:1735:3a2c", ["2a02:26f0:1700:0:0:0:1735:3a2c"]),
        ("64:ff9b::23.45.67.89", ["64:ff9b::23.45.67.89"]),
        ("2002:c000:204::1", ["2002:c000:204::1"]),
        ("2a00:1450:4001:829::200e%eth0", ["2a00:1450:4001:829::200e"]),
        ("::ffff:23.45.67.89", ["23.45.67.89"]),
        ("host 2a00:1450:4001:829:0:0:0:200e.", ["2a00:1450:4001:829:0:0:0:200e"]),
    ],
)
def test_addresses_are_found_in_logs_settings_commands_and_sentences(text: str, found: list[str]) -> None:
    assert addresses(text) == found


def test_each_number_is_judged_by_its_own_words() -> None:
    assert addresses("nginx version 1.18.0.2 listens on 34.76.52.23") == ["34.76.52.23"]
    assert addresses("IP 3.2.1.4 has firmware 4.3.2.1") == ["3.2.1.4"]
    assert addresses("134.76.152.23 runs 3.2.1.4") == ["134.76.152.23"]


def test_what_a_number_is_somewhere_in_a_text_it_is_everywhere() -> None:
    text = "My IP is 23.5.7.9.\nPlease look at 23.5.7.9 again."
    assert addresses(text) == ["23.5.7.9", "23.5.7.9"]
    assert addresses("Version 23.5.7.9 is out.\n23.5.7.9 is fast.") == []


def test_the_numbers_of_a_list_are_all_of_one_kind() -> None:
    assert addresses("Blocked IPs: 23.5.7.9, 3.2.1.4 and 8.9.7.29") == ["23.5.7.9", "3.2.1.4", "8.9.7.29"]
    assert addresses("Versions 23.5.7.9, 3.2.1.4 and 34.76.52.23") == []
    assert addresses("8.9.7, 8.9.7.29, 8.9.7.29.1") == []


def test_a_name_written_backwards_counts_as_the_address_it_stands_for() -> None:
    assert addresses("PTR for 23.52.76.34.in-addr.arpa.") == ["23.52.76.34"]
    assert addresses("1.1.168.192.in-addr.arpa") == []
    nibbles = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.0.a.2"
    assert addresses(f"{nibbles}.ip6.arpa") == [nibbles]


def test_tcpdump_writes_the_port_behind_a_dot() -> None:
    assert addresses("12:01:02.5 IP 34.76.52.23.443 > 91.240.118.172.51514: Flags [S]") == [
        "34.76.52.23",
        "91.240.118.172",
    ]


def test_private_addresses_are_found_on_demand_and_versions_still_are_not() -> None:
    text = "host 192.168.1.7 (10.1.2.3), Windows version 10.0.19.1, DNS 8.8.8.8"
    assert addresses(text, private_ips=True) == ["192.168.1.7", "10.1.2.3", "8.8.8.8"]
    assert addresses(text) == []

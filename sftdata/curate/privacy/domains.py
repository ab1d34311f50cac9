"""Top-level domains that mail addresses end in, so that `x@W.detach` and `a@b.values` are none.

Kept by hand from the root zone of IANA: all countries, the domains that anyone or an institution may register in and
that are in use, and those of countries in other scripts. Domains of single companies are left out, and so are Chinese,
Japanese and Korean ones, because text in these scripts touches addresses.
"""

from __future__ import annotations

_COUNTRIES = """
    ac ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bm bn bo br bs bt bw by bz ca cc cd cf
    cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg er es et eu fi fj fk fm fo fr ga gb gd ge gf
    gg gh gi gl gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in io iq ir is it je jm jo jp ke kg kh ki km
    kn kp kr kw ky kz la lb lc li lk lr ls lt lu lv ly ma mc md me mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz
    na nc ne nf ng ni nl no np nr nu nz om pa pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg
    sh si sk sl sm sn so sr ss st su sv sx sy sz tc td tf tg th tj tk tl tm tn to tr tt tv tw tz ua ug uk us uy uz va vc
    ve vg vi vn vu wf ws ye yt za zm zw
"""
_GENERIC = """
    com org net edu gov mil int info biz pro aero asia cat coop jobs mobi museum name post tel travel xxx
    academy accountant accountants actor agency apartments app archi army art associates attorney auction audio auto
    baby band bank bar bargains beauty beer best bet bid bike bio blog blue boats book boutique broker builders
    business buzz cab cafe camera camp capital car cards care career careers cars casa cash casino catering center
    chat cheap church city claims cleaning click clinic clothing cloud club coach codes coffee college community company
    computer condos construction consulting contact contractors cooking cool country coupons courses credit creditcard
    cruises dance dating deals degree delivery democrat dental dentist design dev diamonds diet digital
    directory discount doctor dog domains download earth eco education email energy engineer engineering enterprises
    equipment estate events exchange expert express faith family fan fans farm fashion film finance
    financial fish fishing fit fitness flights florist flowers football forsale forum foundation fun fund furniture
    gallery game games garden gay gift gifts gives glass global gmbh gold golf graphics gratis green gripe group guide
    guitars guru hair haus health healthcare help hiphop hockey holdings holiday homes horse hospital host hosting hotel
    house immo immobilien inc industries ink institute insurance insure international investments jetzt jewelry
    juegos kaufen kim kitchen land law lawyer lease legal lgbt life lighting limited limo link live llc loan loans lol
    love ltd luxury maison management market marketing mba media memorial men menu moda mom money monster mortgage
    motorcycles movie network news ngo ninja observer one ong onl online ooo page partners party pet pharmacy
    photo photography photos physio pics pictures pink pizza place plumbing plus poker press productions promo
    properties pub racing recipes red rehab reise reisen rent rentals repair republican rest restaurant
    rich rip rocks rodeo rugby sale salon sarl school schule science security services sex sexy
    shiksha shoes shop shopping singles site ski soccer social software solar solutions soy space sport store
    stream studio study supplies supply support surf surgery systems tattoo tax taxi team tech technology tennis
    theater theatre tickets tienda tips tires today tools top tours town toys trade trading training tube university uno
    vacations ventures versicherung vet viajes video villas vin vip vision vodka vote voto voyage watch webcam website
    wedding wiki win wine work works world wtf xyz yachts yoga zone
"""
_PLACES = """
    africa amsterdam arab alsace barcelona bayern bcn berlin boston broadway brussels budapest bzh capetown cologne
    corsica cymru durban eus frl gal gent hamburg helsinki irish istanbul joburg kiwi koeln kyoto lat london madrid
    melbourne miami moscow nagoya nrw nyc okinawa osaka paris quebec rio ruhr ryukyu saarland scot stockholm swiss
    sydney taipei tatar tirol tokyo vegas vlaanderen wales wien yokohama zuerich
"""
_OTHER_SCRIPTS = """
    рф рус москва дети онлайн сайт орг ком бел укр срб мкд мон қаз бг ею ευ ελ հայ გე ישראל קום
    مصر السعودية امارات الاردن المغرب الجزائر تونس قطر عمان ایران پاکستان بھارت سورية فلسطين شبكة موقع
"""
TOP_LEVEL = frozenset("".join((_COUNTRIES, _GENERIC, _PLACES, _OTHER_SCRIPTS)).split())
# Names of attributes and of files, too: addresses under them have at least three labels (bo@post.com.py).
_THREE_LABELS = frozenset({"name", "py"})


def is_domain(domain: str) -> bool:
    """Whether a domain ends in a top-level domain, written in small letters, in capitals or with one capital."""
    labels = domain.split(".")
    last = labels[-1]
    if last not in (last.lower(), last.upper(), last.capitalize()):
        return False  # Q@K.mT
    low = last.lower()
    if low in _THREE_LABELS and len(labels) < 3:
        return False
    return low in TOP_LEVEL or low.startswith("xn--")

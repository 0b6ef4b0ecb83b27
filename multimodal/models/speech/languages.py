"""Languages by their names, as Whisper's paper has them; the codes that a model knows are in its vocabulary.

Ref: Whisper arXiv:2212.04356, table 11
"""

from __future__ import annotations

from collections.abc import Iterable

from multimodal.errors import ArgumentError, nearest

_NAMES = """
    en=english zh=chinese de=german es=spanish ru=russian ko=korean fr=french ja=japanese pt=portuguese
    tr=turkish pl=polish ca=catalan nl=dutch ar=arabic sv=swedish it=italian id=indonesian hi=hindi fi=finnish
    vi=vietnamese he=hebrew uk=ukrainian el=greek ms=malay cs=czech ro=romanian da=danish hu=hungarian ta=tamil
    no=norwegian th=thai ur=urdu hr=croatian bg=bulgarian lt=lithuanian la=latin mi=maori ml=malayalam cy=welsh
    sk=slovak te=telugu fa=persian lv=latvian bn=bengali sr=serbian az=azerbaijani sl=slovenian kn=kannada
    et=estonian mk=macedonian br=breton eu=basque is=icelandic hy=armenian ne=nepali mn=mongolian bs=bosnian
    kk=kazakh sq=albanian sw=swahili gl=galician mr=marathi pa=punjabi si=sinhala km=khmer sn=shona yo=yoruba
    so=somali af=afrikaans oc=occitan ka=georgian be=belarusian tg=tajik sd=sindhi gu=gujarati am=amharic
    yi=yiddish lo=lao uz=uzbek fo=faroese ht=haitian_creole ps=pashto tk=turkmen nn=nynorsk mt=maltese
    sa=sanskrit lb=luxembourgish my=myanmar bo=tibetan tl=tagalog mg=malagasy as=assamese tt=tatar haw=hawaiian
    ln=lingala ha=hausa ba=bashkir jw=javanese su=sundanese yue=cantonese
"""
_OTHER_NAMES = """
    my=burmese ca=valencian nl=flemish ht=haitian lb=letzeburgesch ps=pushto pa=panjabi ro=moldavian ro=moldovan
    si=sinhalese es=castilian zh=mandarin
"""


def _table(text: str) -> list[tuple[str, str]]:
    pairs = (row.partition("=") for row in text.split())
    return [(code, name.replace("_", " ")) for code, _, name in pairs]


NAMES = dict(_table(_NAMES))  # code -> name
_CODES = {name: code for code, name in [*_table(_NAMES), *_table(_OTHER_NAMES)]}


def language_code(language: str, known: Iterable[str]) -> str:
    """The code of a language that is given by its code or its English name: "de" of "German".

    Args:
        language: in capital or small letters.
        known: the codes of the model.

    Raises:
        ArgumentError: no language, or none that the model knows; with the nearest ones.
    """
    known, asked = list(known), language.strip().lower().replace("_", "-")
    code = _CODES.get(asked, asked)
    if code in known:
        return code
    if (general := code.partition("-")[0]) in known:  # "pt-BR": Whisper has no variants
        return general
    names = {NAMES.get(code, code).title(): code for code in known}
    close = nearest(language.strip().title(), names) or nearest(asked, known)
    if not close:
        some = ", ".join(f"{code} ({NAMES[code].title()})" for code in known[:8] if code in NAMES)
        close = f" Give a code or an English name, such as {some}; None: it is detected."
    raise ArgumentError(f"language is {language!r}, which is none that this model knows.{close}")

# ruff: noqa: E501 - a list reads best dense
"""Names that have broken messages elsewhere, and ways to make more of them."""

from __future__ import annotations

from hypothesis import strategies as st

CORPUS = [
    "<!channel>", "<!here>", "<!everyone>", "<@U024BE7LH>", "<#C024BE7LR>", "<!subteam^SAZ94GDB8>", "@channel", "@here", "@everyone",
    "@telegram_user", "/start", "#tag", "$CASH", "<https://evil.example|your bank>", "https://evil.example/x", "tel:+4912345",
    "</b>", "<b>", "</code></b>", "<script>alert(1)</script>", "<a href='https://evil.example'>x</a>", "<tg-spoiler>x", "<!--", "<!DOCTYPE x>",
    "&lt;!channel&gt;", "&amp;", "&", "&&&&&&", "&#60;!channel&#62;", "<", ">", "<<<>>>", "a<b>c", "x < y && y > z",
    "*bold*", "_italic_", "~strike~", "`code`", "```", "`", "``", "`<!channel>`", "> quote", "- list", "1. list", "*_~`*_~`",
    ":smile:", ":warning:", "\\", "\\n", "\n", "\r\n", "a\nb", "a\n\n\nSilence: all", "\t", "\0", "a\0b", "\x1b[31mred\x1b[0m", "\x7f", "\x85",
    "\u2028", "\u2029", "\u202eevil", "\u2066x\u2069", "\u200b", "\u200d", "\ufeff", "\u00ad", "\u3164", "\u2800", "\u034f", "",
    " ", "     ", "\ud800", "\udfff", "a\ud83d", "\U0001f600" * 50, "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 30,
    "\U0001f1e9\U0001f1ea" * 40, "\U0001f44d\U0001f3fd" * 40, "e\u0301" * 100, "Z\u0351\u036b\u0343\u036a\u0302\u036b" * 30,
    "\U000e0041" * 5, "\U0010ffff", "a" * 200, "&" * 200, "<" * 200, "`" * 200, "\U0001f600" * 200, "_" * 200, "\u4e2d" * 200,
    "'; DROP TABLE notifications; --", "=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "%s%s%n", "{0}", "{column}", "${jndi:ldap://x}",
    "__name__", "__missing__", "__other__", "None", "null", "NaN", "true", "\"", "'", "\"'`", "]]>", "../../etc/passwd", "CON", "a=b", "a,b",
    "rule=drift", "--for", "-rf", "$(reboot)", "`reboot`", "; reboot", "| sh", "&& reboot", "\u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    "\u05e2\u05d1\u05e8\u05d9\u05ea", "na\u00efve", "stra\u00dfe", "\u0130stanbul", "\ufdfa" * 40, "\U0001d573\U0001d58a", "\u0e01\u0e33" * 50,
    "|", "<|>", "<x|y>", "http://", "<http://x", "<mailto:a@b>", "a@b.example", "www.evil.example", "evil.example/x?y=<z>", "&lt", "&;",
]  # fmt: skip

NAMES = st.one_of(
    st.sampled_from(CORPUS),
    st.text(st.characters(codec=None), max_size=220),  # every code point, lone surrogates too
    st.lists(st.sampled_from([*"<>&`*_~|@!#:/\\\n ", "<!", "</", "&amp;", "\u200d", "\U0001f600", "b", "code"]), max_size=120).map(
        "".join
    ),
)  # fmt: skip

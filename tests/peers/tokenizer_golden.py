#!/usr/bin/env python3
"""Writes tests/runtime/text_data/: what Hugging Face `tokenizers` makes of hard texts.

    pip install tokenizers==0.23.3 && python tests/peers/tokenizer_golden.py

vocab.txt         a small vocabulary made here: pieces of English, and letters of many scripts
hard_cases.jsonl  a text ("text", or "hex" where the bytes are not UTF-8), its words after
                  normalisation and pre-tokenisation, and its ids without [CLS] and [SEP]
code_points.txt   for each block of 1,024 code points, a hash of the words that each of them gives
                  alone and between two letters (see `block_hash`)
"""
import json
import pathlib
import random
import unicodedata

import tokenizers

DATA = pathlib.Path(__file__).resolve().parents[1] / "runtime" / "text_data"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = """the of and a to in is was he that it his her with as for had you not be at on by
which have or from this him but all she they were my are me one their so an said them we who would
been will no when there if more out up into do any your what has man could other than our some very
time upon about may its only now like little then can should made did us such great before must two
these see know over much down after first good men own never most old shall day where those came
come himself way work life without go make well through being long say might how am too even again
many back here think every people went same last thought away under take found hand eyes still place
while just also young yet though against things get ever give god years off face nothing right once
another left part saw house world head three took new love always mrs put night each king between
tell mind heart few because thing let light red blue green white black dog cat bird tree water street
riding bicycle standing sitting holding wearing woman women child children picture photo skin tone
medium dark health worker smiling grinning cafe naive resume facade uber strasse istanbul""".split()
PIECES = """##s ##ed ##ing ##er ##ly ##es ##tion ##al ##en ##an ##or ##ar ##le ##el ##st ##nd ##th
##ight ##ness ##ment ##able ##ful ##less ##ous ##ive ##ity ##y ##in ##on ##at ##it ##is ##as ##us ##um
##ia ##ic ##ion ##ment ##ized ##unk ##ab ##abc ##bc ##bcd ##cd ##aa ##aaa un ##aff re pre dis ab abc
abcd ##ffi ##ffl q qu ##qu""".split()
SCRIPTS = [
    "abcdefghijklmnopqrstuvwxyz", "0123456789", "ßæøðþłđħıœŋſƒʃəɛ",
    "αβγδεζηθικλμνξοπρσςτυφχψω", "абвгдежзийклмнопрстуфхцчшщъыьэюяєіј", "աբգդեզ", "אבגדהוזחטילמנסעפצקרשת",
    "ابتثجحخدذرزسشصضطظعغفقكلمنهويى", "कखगघचजटडतदनपबमयरलवशसहािीु", "กขคงจชดตทนบปพมยรลวสหอา",
    "あいうえおかきくけこさしすせそたちつてとなにぬねのはまやらわん", "アイウエオカキクケコサシスセソタチツテト", "ᄀᄂᄃᄅᄆᄇᄉᄋᄌ하ᅥᅩᅮᅳᅵᆨᆫᆯᆷᆼ",
    "一二三人大中国日本語文字山川水火東京北王女子", "²³¹½①ⅷ™℃№", "😀😂👍👩🔬🏽🏻❤🇩🇪🇯🇵☺\ufe0f\u20e3",
]
PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~«»‘’“”–—…¡¿。、「」・!?،؟"

HARD = [
    "", " ", "\t\n\r ", "the", "The DOG's picture.", "Don't stop - unaffable!", "a,b;c:d", "x##y ##ing ## #",
    "...!?", "a_b-c/d\\e", "$5 + 3 = 8 ~ <b> ^ ` |", "e-mail@host.example", "100% 3.14 1,000",
    # Accents, composed, decomposed, several on one letter, in any order.
    "Café naïve résumé façade Über", "cafe\u0301 nai\u0308ve", "a\u0301\u0323\u0302b", "a\u0323\u0301b",
    "\u0301", "\u0301a", " \u0301 ", "a \u0301 b", "Å Å Å", "ệ ễ ộ ữ", "Ñandú ÇA ŽLUŤOUČKÝ", "ǖǘǚǜ", "ŉ ǰ ẖ", "Ø ø Ł Đ ß ẞ",
    # Lower case: Turkish dotted and dotless I, final sigma, title case, Kelvin, Cherokee, Georgian.
    "İSTANBUL istanbul I ı i", "I\u0307stanbul", "ΟΔΥΣΣΕΥΣ Σ σς ς", "ΑΣ. ΑΣΑ", "Ǆ ǅ ǆ ǈ", "\u212a \u212b \u2126", "ᎠᎡ ꭰꭱ ა Ა",
    "Ά Έ Ή ἀ ᾳ ᾼ ῼ", "ЙОЖ ёЁ Її", "ⅧⒶ", "𐐀𐐨 𞤀𞤢", "ꟋꟌ꟎ꟚꟜ 𐵐 𖺠", "STRASSE straße",
    # Ligatures and compatibility characters stay as they are (NFD, not NFKD).
    "ffi fl ffl ſt", "ABC 123 abc", "x² H₂O ½ ① ™ ℃ №", "ﷺ ﷽ ﴾ ﴿", "㋿ ㌀ ㍿",
    # CJK with and without spaces, compatibility ideographs, extensions, edges of the ranges.
    "日本語の文字", "中国人民 in 北京", "東京tower大", "王女、山川。「水」火!?", "豈 更 \U0002f800 \U0002fa1d", "㐀䶵䶿 一鿿 \u4dc0",
    "a\U00020000b a\U0002a6dfb a\U0002a6e0b a\U0002b81fb a\U0002b820b a\U0002b91fb a\U0002b920b a\U0002ceafb a\U0002ceb0b a\U00030000b",
    "カタカナ ガギグ パピプ", "か\u3099 が", "한국어 한글", "\u1112\u1161\u11ab", "ㄱㄴㄷ ᄀ",
    # Control, format, private use, noncharacters, unassigned; all sorts of spaces.
    "a\x00b", "a\x01b\x7fc\x80d\x9fe", "a\tb\nc\rd\x0be\x0cf\x1cg\x1dh\x1ei\x1fj", "a\x85b", "so\u00adft", "a\u200bb\u200cc\u200dd\u2060e\ufefff",
    "a\u200eb\u202ac\u2066d", "a\ufffdb", "a\ufffeb\uffffc\ufdd0d\U0010ffffe", "a\ue000b\U000f0000c", "a\u0378b\U000e0fffc",
    "a\u00a0b\u1680c\u2000d\u2009e\u202ff\u205fg\u3000h\u2028i\u2029j", "a\u180eb", "a\u061cb", "a\u06ddb", "a\U000e0001b\U000e0061c", "a\ufff9b\ufffac\ufffbd",
    # Emoji: variation selectors, skin tones, ZWJ sequences, flags, keycaps, tags.
    "😀😂", "👍🏽 👍🏻", "👩\u200d🔬 👩🏽\u200d🔬", "❤\ufe0f ☺\ufe0f", "🇩🇪🇯🇵", "1\ufe0f\u20e3 #\ufe0f\u20e3",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "dog😀cat", "😀the",
    # Hebrew, Arabic, Indic and Thai marks; spacing marks stay.
    "שָׁלוֹם עוֹלָם", "مُحَمَّد السَّلام،؟", "नमस्ते हिन्दी", "कि की कु क़ क\u093c", "ภาษาไทย น้ำ", "வணக்கம்", "ខ្មែរ", "བོད་", "မြန်မာ",
    # Marks, punctuation and format characters that only newer Unicode has, or recategorised.
    "a\u08d3b a\u0898b a\u0890b", "a\u1abfb a\u1acec", "a\u1df9b\u1dfbc", "a\u2e43b\u2e4fc\u2e5dd", "a\u166db a\u1734b", "a\U000111c9b",
    "a\U0001e000b a\U0001e136b a\U0001e944b", "a\U00011938b", "a\u1715\u0301b \u16ff0", "a\U0001cf00b a\U00013430b", "a\u0d3bb a\u0c04b",
    "a\u09feb a\u07fdb a\u180fb a\u0ebab",
    # Canonical order of marks that are not stripped (spacing marks with a class).
    "a\u302e\u302fb", "a\u302f\u093cb \u1b44\u302e", "a\U0001d165\U0001d16d\u302eb", "\u302e\u0334\u1baa\u302f",
    # The same beside marks that have a class only in newer Unicode.
    "a\u302e\u08d3b", "a\u302f\u0d3bc", "a\u302e\u1715b", "a\u302e\U00016ff0b \u302f\U0001e136",
    # Special tokens written out.
    "[MASK]", "a [MASK] b", "x[MASK]y", "[mask]", "[CLS] the [SEP]", "[PAD][UNK]", "[PAD", "[[MASK]]", "[MA SK]", "[MASK", "[MASK]\u0301",
    "[UNK]known ##[SEP]##s",
    # Long words: 100 characters are cut, 101 are [UNK]; characters count, not bytes; after stripping.
    "a" * 100, "a" * 101, "the " + "a" * 300 + " dog", "é" * 100, "é" * 101, "а" * 100 + " " + "а" * 101,
    "e\u0301" * 60, "a" * 100 + "\u0301\u00ad", "ö" * 99 + "😀", "." * 150, "日" * 150, "abc" * 33 + "d",
    # Longest match first, and words with a tail that nothing matches.
    "abcd abcde abcdabc abab abca abccd", "quq qqu unaffed dogs dogϨ", "Ϩ ϩdog", "reabilities predisunked", "aaaaaaa aaaaaa",
]
HEX = [
    b"caf\xe9 dog", b"\xff", b"\xfe\xff", b"a\x80b", b"a\xc3", b"a\xc3 b", b"\xc0\x80a", b"\xc1\xbfa", b"\xe0\x80\x80a", b"\xe0\x9f\xbfa",
    b"a\xed\xa0\x80b", b"a\xed\xbf\xbfb", b"\xed\xa0\xbd\xed\xb8\x80a", b"\xf0\x80\x80\x80a", b"\xf0\x8f\xbf\xbfa", b"\xf4\x90\x80\x80a",
    b"\xf5\x80\x80\x80a", b"\xe2\x82", b"a\xe2\x82b", b"a\xf0\x9f\x98", b"a\xf0\x9f\x98b", b"\xf0\x9f\x98\x80\x80a", b"\xe2\xe2\x82\xacb",
    b"[MA\xffSK] [MASK]\xff", b"the\xa0dog\x93cat\x94", b"\xf8\x88\x80\x80\x80a\xfc\x84\x80\x80\x80\x80b", b"a\x00\xff\x00b",
]


def make_vocabulary():
    tokens = list(SPECIAL)
    for characters in SCRIPTS + [PUNCTUATION]:
        tokens += characters
    for characters in SCRIPTS:
        tokens += ["##" + c for c in characters]
    tokens += sorted(WORDS) + sorted(PIECES) + ["文字", "##字", "дом", "##ом", "και", "##και"]
    return list(dict.fromkeys(tokens))


def random_texts():
    """Mixtures of what is hard, so that its neighbourhoods vary too."""
    rng = random.Random(20)
    marks = [chr(c) for c in range(0x20000) if unicodedata.category(chr(c)) in ("Mn", "Mc", "Me")]
    pools = [SCRIPTS[0], SCRIPTS[0].upper(), PUNCTUATION, "".join(SCRIPTS), " \t\u00a0\u3000", marks,
             [chr(c) for c in range(0x80, 0x3100)], [chr(c) for c in range(0xE000, 0x20000)],
             [w + " " for w in WORDS], ["\u200d", "\ufe0f", "\u00ad", "\ufffd", "\x00", "İ", "[MASK]"]]
    for _ in range(400):
        yield "".join(rng.choice(rng.choice(pools)) for _ in range(rng.randrange(1, 40)))


def words_of(text):
    normal = tokenizers.normalizers.BertNormalizer(lowercase=True).normalize_str(text)
    return [w for w, _ in tokenizers.pre_tokenizers.BertPreTokenizer().pre_tokenize_str(normal)]


def block_hash(first):
    """FNV-1a, 64 bits, over each word followed by U+0001, each text's end marked by U+0002."""
    value = 0xCBF29CE484222325
    for c in range(first, first + 1024):
        if 0xD800 <= c < 0xE000:
            continue
        for text in (chr(c), "a" + chr(c) + "B"):
            joined = "".join(w + "\x01" for w in words_of(text)) + "\x02"
            for byte in joined.encode():
                value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def main():
    DATA.mkdir(parents=True, exist_ok=True)
    (DATA / "vocab.txt").write_text("\n".join(make_vocabulary()) + "\n", encoding="utf-8")
    tokenizer = tokenizers.BertWordPieceTokenizer(str(DATA / "vocab.txt"))
    with open(DATA / "hard_cases.jsonl", "w", encoding="ascii") as out:
        texts = [({"text": t}, t) for t in HARD + list(random_texts())]
        texts += [({"hex": b.hex()}, b.decode("utf-8", "replace")) for b in HEX]
        for record, text in texts:
            record["words"] = words_of(text)
            record["ids"] = tokenizer.encode(text, add_special_tokens=False).ids
            out.write(json.dumps(record) + "\n")
    with open(DATA / "code_points.txt", "w", encoding="ascii") as out:
        for first in range(0, 0x110000, 1024):
            out.write(f"{first:06x} {block_hash(first):016x}\n")


if __name__ == "__main__":
    main()

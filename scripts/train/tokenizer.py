"""nano's tokenizer: bytes, and one token for every word of the world (with the space before it).

Ids: 0-255 bytes, 256-259 special tokens as in engine/models/byte_tokenizer.ts, words from 260 on, then
CONTINUES: the agent's voice sounds on, and no word begins in this unit. The filler is silence. Both are
special tokens and no text: they tell the voice when to go on and when to stop.
"""

from world.words import vocabulary

SPECIALS = ["<|sil|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
FILLER = 256
FIRST_WORD = 256 + len(SPECIALS)
WORDS = vocabulary()
IDS = {word: FIRST_WORD + i for i, word in enumerate(WORDS)}
CONTINUES = FIRST_WORD + len(WORDS)
VOCABULARY_SIZE = -(-(CONTINUES + 1) // 32) * 32
ADDED = {**{text: 256 + i for i, text in enumerate(SPECIALS)}, "<|cont|>": CONTINUES}


def byte_letters():
    """The letters that stand for bytes in byte-level vocabularies (GPT-2's)."""
    letters, spare = [], 0x100
    for byte in range(256):
        if 0x21 <= byte <= 0x7E or (byte >= 0xA1 and byte != 0xAD):
            letters.append(chr(byte))
        else:
            letters.append(chr(spare))
            spare += 1
    return letters


def tokenizer_json():
    """Content of tokenizer.json. A word is looked up whole, before any merges (there are none), and
    texts get a space in front, so that a first word is the same token as a later one."""
    letters = byte_letters()
    vocab = {letter: byte for byte, letter in enumerate(letters)}
    for word, id in IDS.items():
        vocab[letters[0x20] + word] = id
    level = {"type": "ByteLevel", "trim_offsets": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": id,
                "content": content,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for content, id in ADDED.items()
        ],
        "normalizer": None,
        "pre_tokenizer": {**level, "add_prefix_space": True, "use_regex": True},
        "post_processor": None,
        "decoder": {**level, "add_prefix_space": False, "use_regex": False},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,
            "vocab": vocab,
            "merges": [],
        },
    }

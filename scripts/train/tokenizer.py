"""Tokens of words. The world's own tokenizer, and any other byte-level one, as the engine encodes it.

The world's: bytes, and one token for every word of the world (with the space before it). Ids: 0-255
bytes, 256-259 special tokens as in engine/models/byte_tokenizer.ts, then words, then `<|cont|>`: the
agent's voice sounds on, and no word begins in this unit. The filler is silence. Both are special tokens
and no text: they tell the voice when to go on and when to stop.
"""

from world.words import vocabulary

SPECIALS = ["<|sil|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CONTINUES = "<|cont|>"
SPACE = "\u0120"  # stands for a space in byte-level vocabularies


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


def added_token(id, content):
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": id, "content": content, **flags, "special": True}


def tokenizer_json(words=None):
    """Content of the world's tokenizer.json; words: its vocabulary (default: world 1's). A word is looked up whole, before any merges (there are
    none), and texts get a space in front, so that a first word is the same token as a later one."""
    letters = byte_letters()
    vocab = {letter: byte for byte, letter in enumerate(letters)}
    first = 256 + len(SPECIALS)
    words = vocabulary() if words is None else words
    vocab.update({letters[0x20] + word: first + i for i, word in enumerate(words)})
    added = [*enumerate(SPECIALS, 256), (first + len(words), CONTINUES)]
    level = {"type": "ByteLevel", "trim_offsets": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added_token(id, content) for id, content in added],
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


class Tokens:
    """A tokenizer.json as training uses it. `filler` and `continues` are ids."""

    def __init__(self, json, filler, ask=None, words=None):
        """words: the vocabulary of the world (default: world 1's). ask: gives the engine's answer to
        {tokenizer, texts}, for texts that aren't words of the world in the world's own tokenizer."""
        self.json, self.filler, self.ask = json, filler, ask
        self.added = {token["content"]: token["id"] for token in json["added_tokens"]}
        self.continues = self.added[CONTINUES]
        self.pieces = {id: piece for piece, id in json["model"]["vocab"].items()}
        self.known, self.vocabulary = {}, vocabulary() if words is None else words
        if json["model"].get("ignore_merges") and json["pre_tokenizer"].get("add_prefix_space"):
            vocab = json["model"]["vocab"]
            for word in self.vocabulary:
                if SPACE + word in vocab:
                    self.known[word] = self.known[" " + word] = [vocab[SPACE + word]]

    def encode(self, texts):
        """Token ids of each text, as the engine's tokenizer makes them."""
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        if new:
            question = {"tokenizer": self.json, "filler": self.filler, "texts": new}
            self.known.update(zip(new, self.ask(question)["ids"]))
        return [self.known[text] for text in texts]

    def typed(self, word):
        """Ids of a word that the user types in a unit."""
        if word not in self.known:
            self.encode(self.vocabulary)
        return self.encode([word])[0]

    def said(self, word):
        """Ids of a word that the agent says."""
        if " " + word not in self.known:
            self.encode([" " + each for each in self.vocabulary])
        return self.encode([" " + word])[0]

    def words(self, rows):
        """Per unit the word that begins in it, or None; rows: ids of each unit's slots. Bytes and special
        tokens that are no part of a word stand as <id>."""
        words: list = [None] * len(rows)
        at: int = -1
        for unit, row in enumerate(rows):
            for id in row:
                piece = self.pieces.get(id)
                if id in (self.filler, self.continues):
                    at = -1
                elif piece is None or (at < 0 and not piece.startswith(SPACE)):
                    words[unit] = words[unit] or f"<{id}>"
                elif piece.startswith(SPACE):
                    words[unit], at = piece[1:], unit
                else:
                    words[at] += piece
        return words

    @staticmethod
    def completed(json, config):
        """The tokenizer.json with `<|cont|>`, at the first free row of the vocabulary where it has none.
        Raises ValueError when the vocabulary has no row for a token, or the filler is one of the words'."""
        vocab, added = json["model"]["vocab"], list(json["added_tokens"])
        ids = [*vocab.values(), *(token["id"] for token in added)]
        if all(token["content"] != CONTINUES for token in added):
            added.append(added_token(max(ids) + 1, CONTINUES))
            ids.append(max(ids) + 1)
        if max(ids) >= config["vocab_size"]:
            raise ValueError(
                f"vocab_size {config['vocab_size']} has no row for token {max(ids)} of tokenizer.json; it may be"
                f" {max(ids) + 1} or more"
            )
        if config["filler_token_id"] in vocab.values():
            raise ValueError(
                f"filler_token_id {config['filler_token_id']} is a token of words; make the checkpoint with"
                " 'init --backbone', which gives the filler a free row"
            )
        return {**json, "added_tokens": added}


def spread(words, length, slots, empty):
    """[length][slots] ids: tokens of `words` (unit -> ids) from their unit on, `slots` a unit, what is over
    in the units after it; `empty` where there is none."""
    rows, waiting = [], []
    for unit in range(length):
        waiting += words.get(unit, [])
        rows.append(waiting[:slots] + [empty] * (slots - len(waiting[:slots])))
        waiting = waiting[slots:]
    return rows

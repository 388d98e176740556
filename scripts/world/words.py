"""What is said in the world: cards, the user's phrasings, the agent's answers, the vocabulary."""

COLOURS = {
    "red": (214, 48, 49),
    "green": (34, 160, 80),
    "blue": (40, 90, 220),
    "yellow": (245, 205, 40),
    "purple": (142, 68, 173),
    "orange": (243, 130, 30),
}
SHAPES = ["circle", "square", "triangle", "star", "heart"]
NUMBERS = ["one", "two", "three", "four"]

# Questions by what they ask. Each is a list of pieces: a pause may stand between two of them, and
# what comes before a pause may be a whole question of its own ('what', 'what colour'). The shortest
# way to ask comes first.
QUESTIONS = {
    "colour": [
        ["what colour"],
        ["what colour", "is it"],
        ["what", "colour is it"],
        ["what", "colour is this"],
        ["which colour", "is this"],
        ["tell me", "the colour"],
        ["and", "the colour"],
    ],
    "shape": [
        ["what shape"],
        ["what shape", "is it"],
        ["what", "shape is it"],
        ["what", "shape is this"],
        ["which shape", "is this"],
        ["tell me", "the shape"],
        ["and", "the shape"],
    ],
    "both": [
        ["what"],
        ["what is it"],
        ["what", "is this"],
        ["what", "do you see"],
        ["tell me", "what it is"],
        ["what", "is on the card"],
    ],
    "count": [
        ["how many"],
        ["how many", "are there"],
        ["how many", "do you see"],
        ["tell me", "how many"],
        ["and", "how many"],
    ],
    "before": [
        ["and before"],
        ["what", "was before"],
        ["what was it", "before"],
        ["and", "before this"],
    ],
}
TYPED = {
    "colour": ["what colour", "which colour", "what colour is it"],
    "shape": ["what shape", "which shape", "what shape is it"],
    "both": ["what is it", "what is this"],
    "count": ["how many", "how many are there"],
    "before": ["and before", "what was before"],
}
STOPS = ["stop", "stop it", "wait", "stop please"]

# The user talks long: pieces with breaks in which a listener may nod or say 'mm'.
STORIES = [
    ["i went to the market this morning", "and i bought some bread", "then it started to rain"],
    ["my sister lives by the sea", "she has a small boat", "and we go out on sundays"],
    ["i was reading a book last night", "it was about a long journey", "and i fell asleep"],
    ["the train was late again", "so i walked home", "and i met an old friend"],
    ["we have a garden behind the house", "my father grows tomatoes", "they are very good"],
    ["i made these cards myself", "it took me a whole evening", "i hope you like them"],
]
BACKGROUND = [
    "did you see the game on saturday",
    "the weather will be nice tomorrow",
    "please close the window over there",
    "i think we need more coffee",
]
MHM = ["mhm", "mm hmm", "uh huh"]


def answer(kind, card, previous):
    """The agent's words for a question. card: (colour, shape, count)."""
    if kind == "colour":
        return ["it", "is", card[0]]
    if kind == "shape":
        return ["it", "is", "a", card[1]]
    if kind == "both":
        return ["it", "is", "a", card[0], card[1]]
    if kind == "count":
        return ["there", "is" if card[2] == 1 else "are", NUMBERS[card[2] - 1]]
    if kind == "before":
        return ["it", "was", "a", previous[0], previous[1]]
    raise ValueError(kind)


def naming(card):
    """What the agent says of its own accord about a new card."""
    return ["i", "see", "a", card[0], card[1]]


GREETING = ["hello"]
BACKCHANNEL = ["mm"]


def agent_words():
    """Every word that the agent can say."""
    return [
        *["it", "is", "was", "a", "there", "are", "i", "see", "hello", "mm"],
        *COLOURS,
        *SHAPES,
        *NUMBERS,
    ]


def vocabulary():
    """Every word that has a token of its own: the agent's, what the user types, and what the user
    asks (reading, stage 1, writes it down)."""
    words = agent_words()
    phrases = [" ".join(pieces) for options in QUESTIONS.values() for pieces in options]
    phrases += [phrase for options in TYPED.values() for phrase in options] + STOPS
    phrases += [piece for story in STORIES for piece in story] + ["read"]
    for phrase in phrases:
        for word in phrase.split():
            if word not in words:
                words.append(word)
    return words

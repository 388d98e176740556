"""System prompts: what they ask for, in words of training and in others of evaluation, and how the agent
then says what it says.

What the agent says without one is `world.words`' ('it is a red heart'). 'brief': one word of it ('heart').
'sentences': whole sentences ('what you hold is a red heart'). 'wait': the same words, but it speaks only when
it is asked: it greets no one and names no card.
"""

from dataclasses import dataclass

from world import words

# The first of each is the one that the documents name. Evaluation's phrasings are others, of training's words.
TRAINING = {
    "brief": (
        "You are brief.", "You answer with one word.", "You say one word only.", "Please be brief.",
        "Answer in one word.", "Say only one word.", "Keep your answers short.", "Be as short as you can.",
        "One word is enough.", "You use few words.", "Give short answers.", "You never say more than one word.",
        "Speak briefly.", "Just one word please.", "A single word is enough.", "You give one word answers.",
        "Your answers are short.", "Use a single word.", "Please answer briefly.", "You talk in single words.",
        "Do not say more than one word.", "You keep it short.", "Be brief and say no more than you must.",
        "Short answers please.", "You are short and brief.", "Please say just one word.",
    ),
    "sentences": (
        "You speak in sentences.", "You answer in whole sentences.", "Use whole sentences.",
        "Please speak in full sentences.", "You say everything in a sentence.", "Answer with a full sentence.",
        "Your answers are sentences.", "Talk in long sentences.", "Give long answers.",
        "You always make a whole sentence.", "Every answer is a sentence.", "You like to talk.",
        "Say it in a complete sentence.", "You use complete sentences.", "Take your time and speak in sentences.",
        "You talk in full.", "Please be polite and speak in whole sentences.", "You explain what you see.",
        "Long answers please.", "Make your answers long.", "You are talkative.", "Be talkative.",
        "Full sentences please.", "You give complete answers.", "Please talk in sentences.", "You like long sentences.",
    ),
    "wait": (
        "You wait to be asked.", "Speak only when you are asked.", "Do not speak first.", "You never speak first.",
        "Please wait until I ask.", "You only answer questions.", "Say nothing unless you are asked.",
        "Be silent until you are asked.", "You stay silent until I speak.", "Wait for a question.", "Let me begin.",
        "You let the other begin.", "Do not greet me.", "Do not name the cards.", "You say nothing on your own.",
        "Only speak to answer.", "Stay quiet until I ask.", "You are quiet until somebody asks.",
        "Never begin to speak.", "Please do not talk first.", "Keep quiet unless I ask.", "You wait for questions.",
        "Let me speak first.", "You begin nothing on your own.", "Please wait for my questions.", "You say nothing first.",
    ),
}  # fmt: skip
EVALUATION = {
    "brief": (
        "Please keep your answers brief.", "You answer in a single word.", "Use one word only.", "Be short.",
        "Give one word answers please.", "You say a single word and no more.", "Your answers are brief.",
        "Just say one word.", "Speak in single words.", "You give short answers.", "Say no more than one word.",
        "One single word please.",
    ),
    "sentences": (
        "You speak in full sentences.", "Please answer in whole sentences.", "Use complete sentences please.",
        "Talk in whole sentences.", "Your answers are long.", "You give long answers.",
        "Say everything in full sentences.", "Answer in a complete sentence.", "Every answer is a full sentence.",
        "You always speak in sentences.", "Please be talkative.", "Make whole sentences.",
    ),
    "wait": (
        "Wait to be asked.", "You speak only when you are asked.", "Please do not speak first.",
        "Stay silent unless you are asked.", "You wait until I ask.", "Be quiet until you are asked.",
        "You never begin.", "Say nothing until I ask.", "Only answer questions.", "Please let me begin.",
        "Wait for questions.", "You stay quiet unless I ask.",
    ),
}  # fmt: skip
KINDS = tuple(TRAINING)
AGENT_WORDS = ["the", "colour", "shape", "on", "your", "card", "what", "you", "hold", "before", "this", "that"]


@dataclass(frozen=True)
class Prompt:
    """What the agent is told, and what that asks for: one of KINDS."""

    kind: str
    text: str

    @property
    def waits(self) -> bool:
        return self.kind == "wait"


def prompt(rng, evaluation: bool, kind: str | None = None) -> Prompt:
    """Draws a prompt, of a kind that is drawn where none is given."""
    kind = kind or KINDS[int(rng.integers(len(KINDS)))]
    options = (EVALUATION if evaluation else TRAINING)[kind]
    return Prompt(kind, options[int(rng.integers(len(options)))])


def worded(prompt: Prompt | None, said: list[str]) -> list[str]:
    """What the agent says, who was told this, where it would say `said`; what isn't whole (a slip) stays."""
    if prompt is None or prompt.waits or len(said) == 0:
        return said
    if prompt.kind == "brief":
        return said[-1:]
    match said:
        case ["it", "is", "a", colour, shape]:
            return ["what", "you", "hold", "is", "a", colour, shape]
        case ["it", "is", "a", shape]:
            return ["the", "shape", "on", "your", "card", "is", "a", shape]
        case ["it", "is", colour]:
            return ["the", "colour", "on", "your", "card", "is", colour]
        case ["there", verb, number]:
            return ["on", "your", "card", "there", verb, number]
        case ["it", "was", "a", colour, shape]:
            return ["what", "was", "before", "this", "is", "a", colour, shape]
        case ["i", "see", "a", colour, shape]:
            return ["i", "see", "that", "you", "hold", "a", colour, shape]
        case words.GREETING:
            return ["hello", "i", "see", "you"]
    return said


def agent_words() -> list[str]:
    """Every word that the agent can say."""
    return [*words.agent_words(), *AGENT_WORDS]


def vocabulary() -> list[str]:
    """Every word that has a token of its own: world 1's, in its order, then those of world 2: of the agent,
    and of prompts as they are written, without punctuation."""
    known = words.vocabulary()
    phrasings = [text for side in (TRAINING, EVALUATION) for texts in side.values() for text in texts]
    new = [*AGENT_WORDS, *(word for text in phrasings for word in text.rstrip(".").split())]
    return [*known, *dict.fromkeys(word for word in new if word not in known)]

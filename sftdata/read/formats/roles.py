"""What the turns of a conversation are called, in all the data that there is -> their roles."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

# Values of a turn's `role` or `from` -> its role. "call" is an assistant turn that is a tool call.
ROLE_OF = {
    "system": "system",
    "sys": "system",
    "system_prompt": "system",
    "developer": "developer",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "instruction": "user",
    "input": "user",
    "question": "user",
    "query": "user",
    "prompt": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "ai_assistant": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "gpt": "assistant",
    "gpt_3.5": "assistant",
    "gpt_4": "assistant",
    "gpt4": "assistant",
    "chatgpt": "assistant",
    "claude": "assistant",
    "gemini": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "llm": "assistant",
    "model": "assistant",
    "output": "assistant",
    "answer": "assistant",
    "response": "assistant",
    "completion": "assistant",
    "function_call": "call",
    "function_calls": "call",
    "tool_call": "call",
    "tool_calls": "call",
    "tool": "tool",
    "tools": "tool",
    "function": "tool",
    "ipython": "tool",
    "environment": "tool",
    "observation": "tool",
    "tool_response": "tool",
    "tool_responses": "tool",
    "tool_result": "tool",
    "tool_results": "tool",
    "tool_output": "tool",
    "function_response": "tool",
    "function_result": "tool",
    "function_output": "tool",
}
# More names, each as `role_name` has it.
ROLE_OF |= dict.fromkeys(("end_user", "human_user", "user_prompt", "usr"), "user")
ROLE_OF |= dict.fromkeys(
    ("ai_model", "ai_bot", "chat_bot", "chat_gpt", "language_model", "model_response"), "assistant"
)
ROLE_OF |= dict.fromkeys(
    ("用户", "用戶", "ユーザー", "사용자", "usuario", "usuário", "utilisateur", "benutzer"), "user"
)
ROLE_OF |= dict.fromkeys(("助手", "アシスタント", "어시스턴트", "asistente", "assistente", "assistent"), "assistant")
ROLE_OF |= {"пользователь": "user", "ассистент": "assistant", "系统": "system", "sistema": "system"}
# Names without the marks between their words: "functioncall".
_JOINED = {name.replace("_", ""): role for name, role in ROLE_OF.items()}
_OUTER = re.compile(r"^[\W_]+|[\W_]+$")
_SUFFIX = re.compile(r"_?(message|msg|turn)$")  # as in LangChain's HumanMessage
# Families of models: beside a user, one of them is who answers. Words of the language are names only with a number.
_MODEL = re.compile(
    r"(?:[\w.]+/)?(?:(?:chatgpt|gpt|claude|gemini|gemma|(?:meta_)?llama|code_?llama|mistral|mixtral|ministral|codestral"
    r"|qwen|qwq|deepseek|grok|vicuna|alpaca|chatglm|glm|kimi|minimax|internlm|baichuan|wizardlm|openchat|guanaco"
    r"|stablelm|nemotron|olmo|smollm|text_davinci|command_r)(?:[\d_.:@/()+ ].*)?"
    r"|(?:openai_)?o[134](?:_(?:mini|preview|pro|high).*)?"
    r"|(?:phi|yi|falcon|palm|orca|solar|granite|hermes|zephyr|koala|dolly|bloom|mpt|tulu|starling)_?v?\d.*)"
)
_PEOPLE = re.compile(r"user|human|customer|student|person|prompt")
# Names that are often, but not always, those of who asks and of who answers.
_ASKS = re.compile(
    r"customer|client|patient|student|pupil|learner|seeker|visitor|caller|guest|buyer|shopper|asker|questioner|inquirer"
    r"|traveler|kunde|cliente|alumno|(.*_)?(user|human)(_.*)?"
)
_REPLIES = re.compile(
    r"agent|therapist|counsell?or|doctor|physician|tutor|teacher|instructor|support|helper|expert|operator|advis[eo]r"
    r"|representative|rep|consultant|staff|employee|seller|answerer|recommender|agente|(.*_)?(assistant|bot|ai)(_.*)?"
)
_WORDS = re.compile(r"[^\w@+]*[^\W\d_]+(?:[ _-][^\W\d_]+){0,2}[ _-]?\d{0,2}[^\w@+]*")
_MAX_NAME = 30
_NUMBER = re.compile(r"[_\d]+$")
_SEPARATORS = re.compile(r"[\s\-]+")


@lru_cache(maxsize=1 << 12)
def normalized(name: str) -> str:
    """A name in small letters, with one `_` for white space and hyphens: "Function-Call" -> "function_call"."""
    return _SEPARATORS.sub("_", name.strip().lower())


@lru_cache(maxsize=1 << 12)
def role_name(name: str) -> str:
    """A name of a role, normalized, without marks around it: "### Human:" and "<|human|>" -> "human"."""
    return normalized(_OUTER.sub("", name))


def role_of(name: str, roles: Mapping[str, str] = {}) -> str | None:
    """The role that a turn's name stands for: by `roles`, which a source has set, or by ROLE_OF; None if unknown.

    Case, hyphens, white space, and marks around it do not matter.
    """
    if roles:
        if name in roles:
            return roles[name]
        for own, role in roles.items():
            if is_same_name(name, own):
                return role
    return ROLE_OF.get(name) or _plain_role(name)


def is_same_name(first: str, second: str) -> bool:
    """Whether two names differ only in case, hyphens, white space, and marks around them."""
    return (role_name(first) or first) == (role_name(second) or second)


@lru_cache(maxsize=1 << 12)
def _plain_role(name: str) -> str | None:
    plain = role_name(name)
    for form in (plain, _SUFFIX.sub("", plain)):
        role = ROLE_OF.get(form) or _JOINED.get(form)
        if role is not None:
            return role
    return None


def roles_in_context(names: Iterable[str], roles: Mapping[str, str] = {}) -> dict[str, str]:
    """The roles of the unknown among the names of a conversation, where the others make them plain: a model's name
    beside a user answers, and so does A beside Q. Empty if any of them stays unknown.
    """
    names = dict.fromkeys(names)
    known = {role_of(name, roles) for name in names}
    unknown = [name for name in names if role_of(name, roles) is None]
    if {"user", "assistant"} & known == {"user"} and all(map(_is_model, unknown)):
        return dict.fromkeys(unknown, "assistant")
    if not {"user", "assistant"} & known and sorted(map(role_name, unknown)) == ["a", "q"]:
        return {name: "user" if role_name(name) == "q" else "assistant" for name in unknown}
    return {}


def likely_roles(names: Iterable[str], roles: Mapping[str, str] = {}) -> tuple[dict[str, str], bool] | None:
    """What the unknown names of a conversation, in their order, are likely to mean, and whether that is only a guess;
    None if nothing says so. Whether it is true, only the owner of the data knows.
    """
    names = dict.fromkeys(names)
    unknown = [name for name in names if role_of(name, roles) is None]
    if not all(map(is_plain_word, unknown)):
        return None
    known = {role_of(name, roles) for name in names} & {"user", "assistant"}
    found = {name: role for name in unknown if (role := _likely_role(name)) is not None}
    left = [name for name in unknown if name not in found]
    have = known | {*found.values()}
    if len(left) == 1 and len(have) == 1:
        return {**found, left[0]: "assistant" if have == {"user"} else "user"}, not known
    if len(left) == 2 and not have:
        return {left[0]: "user", left[1]: "assistant"}, True
    return None if left or not found or have != {"user", "assistant"} else (found, False)


def is_plain_word(name: str) -> bool:
    """Whether a name is a few words, as names of roles are. Anything else may be private, and is not shown around."""
    return len(name) <= _MAX_NAME and _WORDS.fullmatch(name) is not None


def _likely_role(name: str) -> str | None:
    plain = _NUMBER.sub("", role_name(name))
    if (role := _plain_role(plain)) is not None:
        return role
    return "user" if _ASKS.fullmatch(plain) else "assistant" if _REPLIES.fullmatch(plain) or _is_model(name) else None


def _is_model(name: str) -> bool:
    plain = role_name(name)
    return _MODEL.fullmatch(plain) is not None and _PEOPLE.search(plain) is None

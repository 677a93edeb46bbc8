"""Asks a server by OpenAI's Python client; prints what scripts/check/serving/clients.mjs compares, as JSON."""
import json
import re
import sys

import openai

asked = json.loads(sys.argv[1])
prompt = asked["prompt"]
client = openai.OpenAI(base_url=asked["baseURL"], api_key=asked["apiKey"])


def complete(**body):
    return client.completions.create(**{"model": "small", "prompt": prompt, "seed": 5, "max_tokens": 20, **body})


def chat(**body):
    settings = {"model": "small", "messages": asked["messages"], "seed": 6, "max_completion_tokens": 20}
    return client.chat.completions.create(**{**settings, **body})


def spelled(token):
    """The bytes of a token, which may be written as bytes:\\xc3."""
    if not token.startswith("bytes:"):
        return token.encode()
    return bytes.fromhex(re.sub(r"bytes:|\\x", "", token))


def error_of(call):
    try:
        return str(call())
    except openai.APIStatusError as error:
        return f"{error.status_code} {error.code}"


streamed, usage = "", None
for part in complete(stream=True, stream_options={"include_usage": True}):
    streamed += part.choices[0].text if part.choices else ""
    usage = part.usage or usage
chat_streamed = ""
for part in chat(stream=True):
    chat_streamed += part.choices[0].delta.content or ""
echo = complete(echo=True, logprobs=3).choices[0]
talk = chat(logprobs=True, top_logprobs=2)
penalties = {"temperature": 0, "frequency_penalty": 1, "stop": ["e"]}
print(
    json.dumps(
        {
            "models": [model.id for model in client.models.list()],
            "model": client.models.retrieve("small").id,
            "completion": complete().choices[0].text,
            "choices": [choice.text for choice in complete(n=2).choices],
            "ids": complete(prompt=list(prompt.encode())).choices[0].text,
            "streamed": streamed,
            "usage": [usage.prompt_tokens, usage.completion_tokens],
            "penalised": complete(prompt="Not", **penalties).choices[0].text,
            "echo": echo.text,
            "scoredText": b"".join(map(spelled, echo.logprobs.tokens)).decode(errors="replace"),
            "firstLogprob": echo.logprobs.token_logprobs[0],
            "chat": talk.choices[0].message.content,
            "chatStreamed": chat_streamed,
            "chatUsage": [talk.usage.prompt_tokens, talk.usage.completion_tokens],
            "chatLogprobs": len(talk.choices[0].logprobs.content),
            "errors": [
                error_of(lambda: complete(max_tokens=1000)),
                error_of(lambda: chat(tools=[{"type": "function", "function": {"name": "f"}}])),
                error_of(lambda: complete(model="other")),
                error_of(lambda: openai.OpenAI(base_url=asked["baseURL"], api_key="wrong").models.list()),
            ],
        }
    )
)

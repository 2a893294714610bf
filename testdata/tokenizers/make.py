"""Makes the tiny byte-level tokenizers of this folder and strings.json, with the ids that tokenizers 0.23 gives each string;
and chats.json, chat templates as transformers 5.24 renders them.

python make.py; trained on the text of the licence.
"""

import datetime
import json
import os
import random

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
TEXT = open(f"{HERE}/../../LICENSE").read()
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BYTES = dict(add_prefix_space=False, use_regex=False)


def train(name, splits, vocab=420, **kwargs):
    t = Tokenizer(models.BPE(**kwargs.pop("model", {})))
    if "normalizer" in kwargs:
        t.normalizer = kwargs.pop("normalizer")
    t.pre_tokenizer = splits
    t.train_from_iterator([TEXT], trainers.BpeTrainer(
        vocab_size=vocab, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<|begin|>"], show_progress=False))
    t.add_special_tokens([AddedToken("<|im_start|>", special=True), AddedToken("<|im_end|>", rstrip=True, special=True)])
    t.add_tokens([AddedToken("<|im", normalized=True), AddedToken(" cache", normalized=False, lstrip=True)])
    if kwargs.pop("template", False):
        t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
            single="<|begin|> $A <|im_end|>", special_tokens=[("<|begin|>", 0), ("<|im_end|>", t.token_to_id("<|im_end|>"))])])
    t.save(f"{HERE}/{name}.json", pretty=False)
    return name, t


def strings():
    random.seed(3)
    parts = list("abcdeABC   \n\n\t'sdtm0123456789.,!?-_()<>|") + [
        "é", "ü", "ß", "你", "好", "Ω", "🙂", "\u00a0", "\u2028", "½", "٣", "e\u0301", "\u200d", "İ", "Å", "\u3000", "\x1c", "\x00",
        "<|im_start|>", "<|im_end|>", "<|begin|>", "the ", " cache", "'ll", "'S", "attention"]
    out = ["", "Hello world", "The year 1998 cost $12,345.67!", "<|im_end|>  \n x", "<|im_end|> cache", TEXT[:1500]]
    return out + ["".join(random.choice(parts) for _ in range(random.randint(1, 40))) for _ in range(120)]


made = dict([
    train("gpt2", pre_tokenizers.ByteLevel(add_prefix_space=False)),
    train("prefixed", pre_tokenizers.ByteLevel(add_prefix_space=True)),
    train("digits", pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])),
    train("llama3", pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"), pre_tokenizers.ByteLevel(**BYTES)]),
          model=dict(ignore_merges=True), template=True),
    train("qwen", pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"), pre_tokenizers.ByteLevel(**BYTES)]),
          normalizer=normalizers.NFC()),
    train("gaps", pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"\p{L}+|\s+"), "removed", invert=True), pre_tokenizers.ByteLevel(**BYTES)])),
])
# Templates with what those of models are made of, as transformers renders them.
CHATS = {
    "default system": "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe brief.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "blocks": """{{- bos_token }}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{#- a comment #}
{%- if messages[0].role == 'system' %}
    {%- set rest = messages[1:] %}
{%- else %}
    {%- set rest = messages %}
{%- endif %}
{%- for message in rest %}
    {%- if message.role == "user" or (message.role == "system" and not loop.first) %}
        {{- '[' + message['role'] + ']\n' + message.content | trim + eos_token }}
    {%- elif 'tool_calls' in message %}
        {{- raise_exception("no tools") }}
    {%- endif %}
{%- endfor %}
{%- if tools is not none %}x{% endif %}
{%- if add_generation_prompt %}
    {{- '[assistant]\n' }}
{%- endif %}
""",
    "namespace": """{%- set ns = namespace(last=messages|length - 1, found=false) %}
{%- for message in messages[::-1] %}
    {%- if not ns.found and message.content is string and not message.content.startswith('<x>') %}
        {%- set ns.found = true %}
        {%- set ns.last = (messages|length - 1) - loop.index0 %}
    {%- endif %}
{%- endfor %}
{%- macro show(m) -%}
<{{ m.role }} {{ ns.last }}>{{ m.content.split('\n')[0] }}</{{ m.role }}>
{%- endmacro -%}
{% for message in messages %}
{{ show(message) }}
{% endfor %}
{{ strftime_now("%d %B %Y") }}
""",
}


def chats():
    from transformers.utils.chat_template_utils import _compile_jinja_template
    out = []
    for name, template in CHATS.items():
        t = _compile_jinja_template(template)
        t.globals["strftime_now"] = lambda format: datetime.datetime(2026, 3, 4).strftime(format)
        for text in ["Hello <b>world</b> & 'you'\n second", "  你好 "]:
            rendered = t.render(messages=[{"role": "user", "content": text}], add_generation_prompt=True, bos_token="<BOS>", eos_token="<EOS>", tools=None, documents=None)
            out.append({"name": name, "template": template, "text": text, "rendered": rendered})
    return out


json.dump(chats(), open(f"{HERE}/chats.json", "w"), ensure_ascii=True, indent=1)
texts = strings()
out = {"tokenizers": tokenizers.__version__, "strings": texts, "ids": {name: [t.encode(s).ids for s in texts] for name, t in made.items()}}
json.dump(out, open(f"{HERE}/strings.json", "w"), ensure_ascii=True)

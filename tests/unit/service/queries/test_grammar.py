"""The grammar of `ask`: every phrasing is read as meant, and no text breaks it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rosetta.addresses import UnitReference
from rosetta.errors import InvalidRequest
from service.queries.grammar import KNOWN, LONGEST, parse, parse_unit_mention

MODELS = [
    "CLIP",
    "clip-rn50",
    "StyleGAN",
    "stylegan2-ffhq",
    "EfficientNet-Lite0",
    "the age net",
    "age and gender",
    "vit_b.16",
]
LAYERS = ["main.8", "blocks.2", "layer4.0.conv1", "conv1/Conv", "Mixed_5b"]
NOUNS = ["neurons", "units", "features", "channels", "neuron", "unit"]
VERBS = [
    "match",
    "correspond to",
    "are like",
    "are similar to",
    "resemble",
    "are closest to",
    "best match",
    "are best buddies of",
]

models = st.sampled_from(MODELS)


def _refusal(text):
    try:
        parse(text)
    except InvalidRequest as error:
        return error
    return None


numbers = st.integers(0, 99_999)
layer_channels = st.builds("{}:{}".format, st.sampled_from(LAYERS), st.integers(0, 4096))


@st.composite
def unit_mentions(draw):
    """Text of a unit, and what it means."""
    model = draw(models)
    if draw(st.booleans()):
        number = draw(numbers)
        forms = [
            "{m} unit {n}",
            "{m}'s unit {n}",
            "unit {n} of {m}",
            "{m} neuron #{n}",
            "neuron {n} in {m}",
            "{m} {n}",
            "{n} of {m}",
        ]
        meaning = UnitReference(number=number)
        unit = str(number)
    else:
        unit = draw(layer_channels)
        layer, _, channel = unit.rpartition(":")
        forms = ["{m} {n}", "{n} of {m}", "unit {n} of {m}", "{m}'s {n}", "{m} unit {n}"]
        meaning = UnitReference(layer=layer, channel=int(channel))
    if " " not in model:
        forms.append("{m}/{n}")
    return draw(st.sampled_from(forms)).format(m=model, n=unit), model, meaning


@given(
    unit_mentions(),
    models,
    st.sampled_from(NOUNS),
    st.sampled_from(VERBS),
    st.sampled_from(
        ["which {noun} in {a} {verb} {unit}", "what {noun} of {a} {verb} {unit}?", "Which {a} {noun} {verb} {unit} ?"]
    ),
    st.sampled_from(["", " on faces", " on the probe set faces"]),
    st.sampled_from([None, 3, 25]),
    st.sampled_from([None, 0.4, 0.25]),
)
def test_matches_of_a_unit(unit, neighbour, noun, verb, form, on, top, minimum):
    text, model, meaning = unit
    question = form.format(noun=noun, a=neighbour, verb=verb, unit=text)
    question += on + (f", top {top}" if top else "") + (f" above {minimum}" if minimum else "")
    asked = parse(question)
    assert (asked.kind, asked.unit) == ("matches", (model, meaning))
    assert asked.neighbour.removeprefix("the ") == neighbour.removeprefix("the ")
    assert (asked.probe, asked.top, asked.minimum) == ("faces" if on else None, top, minimum)


@given(unit_mentions())
def test_unit_mentions(unit):
    text, model, meaning = unit
    assert parse_unit_mention(text) == (model, meaning)


@given(
    unit_mentions(),
    st.sampled_from(["what matches {}", "what is like {}?", "the matches of {}", "show me matches for {}", "{}"]),
)
def test_everywhere(unit, form):
    text, model, meaning = unit
    asked = parse(form.format(text))
    assert (asked.kind, asked.unit, asked.neighbour) == ("matches", (model, meaning), None)


@given(
    models,
    models,
    st.sampled_from(
        [
            "what are the best buddies of {} and {}?",
            "best buddies between {} and {}",
            "show the mutual matches of {} with {}",
            "which neurons do {} and {} share?",
            "which units are shared by {} and {}",
            "which neurons of {} and {} are best buddies",
        ]
    ),
)
def test_best_buddies(one, other, form):
    asked = parse(form.format(one, other))
    assert asked.kind == "best_buddies"
    assert (one, other) in asked.pairs


@given(
    models,
    models,
    st.sampled_from(
        [
            "how many neurons do {} and {} share?",
            "how many units do {} and {} have in common",
            "how many features are shared by {} and {}",
            "how many best buddies do {} and {} have?",
            "how much do {} and {} share",
            "number of neurons shared by {} and {}",
        ]
    ),
)
def test_shared(one, other, form):
    asked = parse(form.format(one, other))
    assert asked.kind == "shared"
    assert (one, other) in asked.pairs


@pytest.mark.parametrize("question", KNOWN)
def test_what_it_says_it_knows_it_knows(question):
    assert parse(question)


@pytest.mark.parametrize(
    ("question", "unit", "neighbour"),
    [
        ("which neurons match unit 5 in StyleGAN", ("StyleGAN", 5), None),
        ("which neurons match StyleGAN unit 5 in CLIP", ("StyleGAN", 5), "CLIP"),
        ("which neurons match unit 5 of StyleGAN in CLIP", ("StyleGAN", 5), "CLIP"),
        ("what is StyleGAN unit 5's best match in CLIP?", ("StyleGAN", 5), "CLIP"),
        ("what does StyleGAN unit 5 match in CLIP?", ("StyleGAN", 5), "CLIP"),
        ("is there a neuron in CLIP like StyleGAN unit 5?", ("StyleGAN", 5), "CLIP"),
        ("does CLIP have a unit like StyleGAN unit 5?", ("StyleGAN", 5), "CLIP"),
        ("StyleGAN unit 5 in CLIP", ("StyleGAN", 5), "CLIP"),
        ("show me unit 5 of StyleGAN", ("StyleGAN", 5), None),
        ("what is the counterpart of StyleGAN 5 in CLIP", ("StyleGAN", 5), "CLIP"),
        ("please, which neurons in CLIP match StyleGAN\u2019s unit 5 ?!", ("StyleGAN", 5), "CLIP"),
    ],
)
def test_other_ways_to_ask(question, unit, neighbour):
    asked = parse(question)
    assert (asked.unit, asked.neighbour) == ((unit[0], UnitReference(number=unit[1])), neighbour)


@given(st.text(max_size=400))
def test_any_text_is_read_or_refused(text):
    error = _refusal(text)
    if error is not None:
        assert sorted(error.details["questions"]) == sorted(KNOWN)
        assert "\n" not in error.message


@given(
    st.lists(
        st.sampled_from([*NOUNS, *VERBS, "which", "what", "in", "of", "and", "unit 3", "A", "on", "top 3", "how many"])
    )
)
def test_words_of_questions_in_any_order_are_read_quickly(words):
    begun = time.process_time()
    _refusal(" ".join(words)[:LONGEST])
    assert time.process_time() - begun < 0.5

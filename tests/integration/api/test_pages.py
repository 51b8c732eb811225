"""The web pages over the zoo that was mined on paper: contents, links, escaping, downloads."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser

import pytest
import sqlalchemy as sa

from service.database import schema
from tests.integration.api.zoo import AGE, CLIP, DEAD, GAN, NET, VIT, add_model, insert

EVIL = "<script>alert(1)</script>"
PAGES = [
    "/",
    "/models",
    "/models?family=clip",
    f"/models/{GAN}",
    f"/models/{GAN}?probe=faces&layer=main.8",
    f"/models/{NET}?probe=photos",
    "/models/lonely",
    f"/units/{GAN}/9",
    f"/units/{GAN}/main.8:1",
    f"/models/{GAN}/units/9",
    f"/units/{AGE}/conv1/Conv:2",
    f"/units/{GAN}/{DEAD}",
    f"/units/{GAN}/9?in=&probe=&top=&by=mean",
    f"/units/{GAN}/9?in={NET}&probe=faces&best_buddies=true",
    "/units/lonely/0",
    "/concepts",
    "/concepts?probe=faces&model=&min_models=3&order=cohesion",
    "/concepts/1",
    f"/pairs/{GAN}/{NET}",
    f"/pairs/{NET}/{GAN}?probe=faces&top=3",
    "/jobs",
    "/jobs?state=failed",
    "/jobs?state=&kind=mine",
]


class Links(HTMLParser):
    """Everything a page refers to, and its texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.assets: list[str] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        assert "style" not in values, "the policy forbids inline style"
        assert not any(name.startswith("on") for name in values), "and inline scripts"
        if "id" in values:
            self.ids.append(str(values["id"]))
        if tag == "a":
            self.links.append(str(values["href"]))
        for name in ("src", "href"):
            if tag != "a" and name in values:
                self.assets.append(str(values[name]))


@pytest.mark.parametrize("path", PAGES)
def test_every_page(http, path):
    page = http.get(path)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-store"
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    seen = Links(page.text)
    assert len(seen.ids) == len(set(seen.ids))
    assert not [link for link in seen.links + seen.assets if not link.startswith(("/", "#"))]
    for name in ("Home", "Models", "Concepts", "Jobs"):
        assert f">{name}</a>" in page.text
    assert page.text.count('name="q"') == 1
    assert page.text.count("<h1") == 1


def test_every_link_leads_somewhere(http):
    links = {link.partition("#")[0] for path in PAGES for link in Links(http.get(path).text).links} - {""}
    assert len(links) > 80
    broken = {link: http.get(link).status_code for link in links}
    assert {link: status for link, status in broken.items() if status != 200} == {}


def test_assets_are_kept_for_good(http):
    found = [asset for asset in Links(http.get("/jobs").text).assets if asset.startswith("/static/")]
    assert {asset.rpartition(".")[2] for asset in found} == {"css", "js", "svg"}
    for asset in found:
        answer = http.get(asset)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    stale = re.sub(r"/static/\w+/", "/static/0000000000000000/", found[0])
    assert http.get(stale).status_code == 404
    assert http.get("/static/0000000000000000/../pages.py").status_code == 404


def test_home_shows_the_zoo_and_what_it_shares(http):
    page = http.get("/")
    for name in (GAN, NET, CLIP, VIT, AGE, "lonely", "faces", "photos"):
        assert name in page.text
    assert "not mined yet" in page.text  # lonely
    assert "No worker is running: start one with <code>rosetta worker</code>" in page.text
    assert f'href="/pairs/{GAN}/{NET}' in page.text or f'href="/pairs/{NET}/{GAN}' in page.text
    assert '<td class="number">1.5</td>' in page.text  # by chance


@pytest.mark.parametrize(
    ("words", "target"),
    [
        (f"{GAN} 9", f"/units/{GAN}/9"),
        (f"{GAN}/main.8:1", f"/units/{GAN}/9"),
        ("dcgan unit 9", f"/units/{GAN}/9"),
        (f"{AGE}/conv1/Conv:2", f"/units/{AGE}/2"),
        ("efficientnet", f"/models/{NET}"),
        ("Face Generator", f"/models/{GAN}"),
    ],
)
def test_search_leads_to_the_page_that_is_named(http, words, target):
    answer = http.get("/", params={"q": words}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, target)
    assert http.get(target).status_code == 200


def test_search_for_a_family_shows_its_models(http):
    page = http.get("/", params={"q": "clip"})
    assert page.status_code == 200
    assert f'href="/models/{CLIP}"' in page.text
    assert f'href="/models/{VIT}"' in page.text
    near = http.get("/", params={"q": "efficentnet"})
    assert f'href="/models/{NET}"' in near.text


def test_home_answers(http):
    page = http.get("/", params={"q": "which neurons in EfficientNet match DCGAN unit 9?"})
    assert page.status_code == 200
    assert "best match for dcgan-faces unit 9 (main.8:1)" in page.text
    assert f'href="/units/{GAN}/9?probe=faces"' in page.text
    assert page.text.count('<a class="unit"') == 3
    shared = http.get("/", params={"q": f"how many neurons do {GAN} and {NET} share?"})
    assert f'href="/pairs/{GAN}/{NET}?probe=faces"' in shared.text


def test_home_escapes_and_explains(http):
    page = http.get("/", params={"q": EVIL})
    assert page.status_code == 422
    assert EVIL not in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
    assert "<li>which neurons in A match B unit 214?</li>" in page.text
    assert http.get("/", params={"q": "what matches nobody unit 3"}).status_code == 404


def test_html_in_names_is_text(http, engine):
    with engine.begin() as conn:
        model = add_model(conn, "evil", [(EVIL, 2)], family=EVIL, aliases=[EVIL])
        conn.execute(sa.update(schema.models).where(schema.models.c.id == model).values(details={EVIL: [EVIL]}))
        job = insert(
            conn, schema.jobs, kind="mine", key=EVIL, parameters={"probe": EVIL}, state="failed", remaining=1,
            error_code="error", error_message=EVIL,
        )  # fmt: skip
    try:
        for path in ("/", "/models", "/models/evil", "/units/evil/1", "/jobs", f"/jobs/{job}", f"/?q={EVIL}"):
            page = http.get(path)
            assert EVIL not in page.text
            assert "alert(1)" in page.text
        # The header of a file's name takes no name that is not a model's.
        assert http.get('/models/a"b/units/1/matches.csv').status_code == 404
    finally:
        with engine.begin() as conn:
            conn.execute(sa.delete(schema.models).where(schema.models.c.id == model))
            conn.execute(sa.delete(schema.jobs).where(schema.jobs.c.id == job))


def test_a_model_by_depth(http, correlations):
    page = http.get(f"/models/{GAN}")
    assert page.text.count('<g class="series') == 4  # NET, CLIP, VIT, AGE
    # By brute force: best buddies of both layers with the classifier; all are at q < 0.05.
    r = correlations[NET]
    live = [u for u in range(14) if u != DEAD]
    buddies = [u for u in live if live[int(r[live, int(r[u].argmax())].argmax())] == u]
    first = sum(u < 8 for u in buddies)
    assert f"<title>main.2: {first} units ({first / 8 * 100:.1f}%) with {NET}</title>" in page.text
    second = len(buddies) - first
    assert f"<title>main.8: {second} units ({second / 5 * 100:.1f}%) with {NET}</title>" in page.text  # 6, one dead
    assert "dead on faces</dt><dd>1</dd>" in page.text
    assert "<title>main.8: 0 units (0.0%) with age-net</title>" in page.text  # at q 0.5 nothing counts


def test_a_models_units_by_page(http, engine):
    with engine.begin() as conn:
        model = add_model(conn, "wide", [("a", 30), ("b", 40)], family="wide")
    try:
        first = http.get("/models/wide")
        assert first.text.count('<a class="unit"') == 40
        following = re.search(r'rel="next" href="([^"]+)"', first.text)
        assert following
        second = http.get(following[1].replace("&amp;", "&"))
        assert second.text.count('<a class="unit"') == 30
        assert "First page" in second.text
        assert http.get("/models/wide?layer=b").text.count('<a class="unit"') == 40
        assert http.get("/models/wide?layer=c").status_code == 404
    finally:
        with engine.begin() as conn:
            conn.execute(sa.delete(schema.models).where(schema.models.c.id == model))


def test_a_unit_beside_its_best_matches(http, engine, correlations):
    with engine.begin() as conn:
        ids = conn.execute(sa.select(schema.models.c.id).where(schema.models.c.name == GAN)).scalar_one()
        probe = conn.execute(sa.select(schema.probe_sets.c.id).where(schema.probe_sets.c.name == "faces")).scalar_one()
        conn.execute(
            schema.exemplars.insert().values(
                probe_set_id=probe, model_id=ids, unit=9, images_by_maximum=[31, 7, 5], maxima=[3.0, 2.0, 1.0],
                images_by_mean=[7, 31, 8], means=[1.0, 0.5, 0.4],
            )
        )  # fmt: skip
    page = http.get(f"/units/{GAN}/9")
    best = int(correlations[NET][9].argmax())
    own = [f"/v1/models/{GAN}/units/9/heatmap?probe=faces&amp;image={image}&amp;" for image in (31, 7, 5)]
    theirs = [address.replace(f"{GAN}/units/9", f"{NET}/units/{best}") for address in own]
    for addresses in (own, theirs):
        places = [page.text.index(address) for address in addresses]
        assert places == sorted(places)
    assert page.text.count('loading="lazy"') == 6 * 3  # the unit and four models, on the same images
    mean = http.get(f"/units/{GAN}/9?by=mean").text
    assert mean.index("image=7&amp;") < mean.index("image=31&amp;") < mean.index("image=8&amp;")
    assert f"{correlations[NET][9].max():.3f}" in page.text
    assert 'href="/concepts/2"' in page.text
    only = http.get(f"/units/{GAN}/9?in={NET}").text
    assert only.count('loading="lazy"') == 3 * 3
    with engine.begin() as conn:
        grid = http.get("/concepts/2").text
        assert grid.count('loading="lazy"') == 3 * 3  # members 9 and 4 of two models
        conn.execute(sa.delete(schema.exemplars))


def test_units_without_matches_say_why(http):
    dead = http.get(f"/units/{GAN}/{DEAD}")
    assert "is dead on probe set faces" in dead.text
    lonely = http.get("/units/lonely/0")
    assert "lonely was not mined" in lonely.text
    assert "No exemplars are stored" in http.get(f"/units/{GAN}/9").text


def test_filters_of_a_unit(http):
    wrong = http.get(f"/units/{GAN}/9?in=nobody")
    assert (wrong.status_code, "no model &#39;nobody&#39;" in wrong.text) == (404, True)
    assert http.get(f"/units/{GAN}/9?top=2000").status_code == 422
    assert http.get(f"/units/{GAN}/9?top=x").status_code == 422
    all_rows = http.get(f"/units/{GAN}/9?probe=faces").text
    buddies = http.get(f"/units/{GAN}/9?probe=faces&best_buddies=true").text
    assert all_rows.count("rank back") == 1
    assert buddies.count('<tr class="lesser">') == 0 < all_rows.count('<tr class="lesser">')


def test_downloads_are_what_the_api_says(http):
    text = http.get(f"/models/{GAN}/units/9/matches.csv?in={NET}&top=2").text
    rows = list(csv.DictReader(io.StringIO(text)))
    said = http.get(f"/v1/models/{GAN}/units/9/matches?in={NET}&top=2").json()["items"]
    assert len(rows) == 2
    for row, match in zip(rows, said, strict=True):
        assert set(row) == set(match)
        assert (row["neighbour_model"], int(row["neighbour_unit"])) == (NET, match["neighbour_unit"])
        assert float(row["correlation"]) == match["correlation"]
    page = http.get(f"/units/{GAN}/9?in={NET}").text
    assert f'href="/models/{GAN}/units/9/matches.csv?in={NET}"' in page
    assert f'href="/v1/models/{GAN}/units/9/matches?in={NET}"' in page


def test_concepts_sorted_and_filtered(http):
    page = http.get("/concepts").text
    assert page.index("Concept 1<") < page.index("Concept 2<")
    assert "Concept 2<" not in http.get("/concepts?min_models=3").text
    assert "Concept 2<" not in http.get(f"/concepts?model={CLIP}").text
    assert "No concept is like that" in http.get("/concepts?min_models=9").text
    assert http.get("/concepts?model=nobody").status_code == 404
    assert http.get("/concepts?order=beauty").status_code == 422
    one = http.get("/concepts/1").text
    for model, unit in ((GAN, 8), (NET, 3), (CLIP, 5)):
        assert f'href="/units/{model}/{unit}"' in one


def test_a_pair_of_models_by_layers(http, correlations):
    page = http.get(f"/pairs/{GAN}/{NET}").text
    r, live = correlations[NET], [u for u in range(14) if u != DEAD]
    cells: dict[tuple[str, str], list[float]] = {}
    for unit in live:
        best = int(r[unit].argmax())
        if live[int(r[live, best].argmax())] == unit:
            layers = ("main.2" if unit < 8 else "main.8", "blocks.1" if best < 5 else "blocks.2")
            cells.setdefault(layers, []).append(float(r[unit, best]))
    assert cells
    for (one, other), found in cells.items():
        mean = sum(found) / len(found)
        counts = f"{len(found)} best buddies, {len(found)} at q &lt; 0.05, mean r {mean:.3f}"
        assert f"{one} \N{MULTIPLICATION SIGN} {other}: {counts}" in page
    assert page.count('<svg aria-hidden="true"><rect width="100%"') == len(cells)

"""The part of the corpus that goes wrong: bad files, and files that change around their upload."""

from bot.minicommons import pictures
from bot.minicommons.pictures import scene
from bot.minicommons.plan import SCORED_SFW, MediaFault
from bot.minicommons.recipe import JPEG, PNG, SVG, Recipe, plain, simple

BAD = (
    Recipe(
        "corrupt",
        "Damaged hills.jpg",
        JPEG,
        lambda folder, _: pictures.corrupt_jpeg(folder, scene(320, 240, 60)),
        "skip:undecodable",
        "Its headers are overwritten; the wiki makes no thumbnail.",
    ),
    Recipe("empty", "Nothing.jpg", JPEG, simple(pictures.empty), "skip:empty", "A file of no bytes."),
    Recipe(
        "bomb",
        "Very large white.png",
        PNG,
        simple(pictures.bomb_png),
        "skip:too_large",
        "900 megapixels in a small file; the wiki makes no thumbnail.",
    ),
    Recipe(
        "svg-broken",
        "Half a house.svg",
        SVG,
        lambda folder, _: pictures.svg(folder, broken=True),
        "skip:rendition_unavailable",
        "An SVG that the wiki fails to render.",
        "DRAWING",
        fault=MediaFault("unrenderable"),
    ),
    Recipe(
        "stl",
        "Tetrahedron.stl",
        "application/sla",
        simple(pictures.stl),
        "skip:unsupported_type",
        "A 3D model of which there is no picture.",
        "3D",
    ),
)

STORIES = (
    Recipe(
        "deleted",
        "Gone already.jpg",
        JPEG,
        plain(400, 300, 70),
        "skip:deleted",
        "Deleted before anybody looks.",
        story="deleted",
    ),
    Recipe(
        "suppressed",
        "Hidden hills.jpg",
        JPEG,
        plain(400, 300, 71),
        "skip:hidden",
        "The wiki hides its bytes.",
        story="suppressed",
    ),
    Recipe(
        "overwritten",
        "Hills in two versions.jpg",
        JPEG,
        plain(640, 480, 72),
        SCORED_SFW,
        "First version, archived by the next upload.",
    ),
    Recipe(
        "overwrites",
        "Hills in two versions.jpg",
        JPEG,
        plain(660, 490, 73),
        SCORED_SFW,
        "Second version of the same file.",
        story="overwrites",
    ),
    Recipe(
        "moved",
        "Hils with a typo.jpg",
        JPEG,
        plain(500, 400, 74),
        SCORED_SFW,
        "Renamed right after the upload.",
        story="moved",
        moved_to="Hills without a typo.jpg",
    ),
    Recipe(
        "lagging",
        "Hills on a replica.jpg",
        JPEG,
        plain(500, 400, 75),
        SCORED_SFW,
        "The first look-ups answer `missing`, as a lagging replica does.",
        story="lagging",
    ),
    Recipe(
        "throttled",
        "Hills, later.jpg",
        JPEG,
        plain(700, 500, 76),
        SCORED_SFW,
        "Its rendition answers 429 once and then comes.",
        fault=MediaFault("status", times=1, status=429, retry_after_s=1),
    ),
    Recipe(
        "slow",
        "Hills, slowly.jpg",
        JPEG,
        plain(700, 500, 77),
        SCORED_SFW,
        "Its rendition dribbles.",
        fault=MediaFault("slow", seconds=2.0),
    ),
    Recipe(
        "late",
        "Hills, rendered late.jpg",
        JPEG,
        plain(700, 500, 78),
        SCORED_SFW,
        "Its rendition is not there at first.",
        fault=MediaFault("status", times=1, status=404),
    ),
)
